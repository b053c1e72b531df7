"""What is printed fits the terminal: help texts, tables and reports at any width, whatever the characters are wide."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from pigeon import help
from pigeon.cli_arguments import VERBS
from pigeon.report import session_view
from pigeon.report.overview import describe, table
from pigeon.report.session_view import View
from pigeon.report.text import table_lines
from pigeon.text import fold, width
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace
from pigeon.wire.states import Status

LEAST_BROKEN = 24
"""A word that is longer stays whole even where it does not fit."""


def too_wide(text: str, columns: int) -> list[str]:
    """The lines that do not fit though they could be broken."""
    return [
        line
        for line in text.split("\n")
        if width(line) > columns and any(len(word) < LEAST_BROKEN for word in line.split()[1:])
    ]


@pytest.mark.parametrize("columns", [50, 80, 120, 200])
def test_the_help_fits(columns: int) -> None:
    text = help.fitted(help.usage(), columns)
    assert too_wide(text, columns) == []
    assert text.split() == help.usage().split()
    if columns > 112:
        assert text == help.usage()


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "help"])
def test_the_help_of_each_verb_fits(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            import_module(f"pigeon.commands.{verb}").main(["--help"], {})
        assert [line for line in too_wide(capsys.readouterr().out, columns) if "{" not in line] == []


def test_a_line_is_broken_between_words_under_its_text() -> None:
    assert fold("PASS  cache        it is yours", 80, 19) == ["PASS  cache        it is yours"]
    assert fold("in   /a b /c", None) == ["in   /a b /c"]
    assert fold("  -n, --no-input   reads nothing at all", 32) == [
        "  -n, --no-input   reads nothing",
        "                   at all",
    ]
    long = "/a/path/that/is/longer/than/the/line"
    assert fold(f"in   {long} or so", 20) == [f"in   {long}", "     or so"], "it can be copied"
    assert fold("名  训练 模型 训练", 13) == ["名  训练 模型", "    训练"]


def row(**fields: Any) -> dict[str, object]:
    one = dict.fromkeys(
        "exit_code quiet_s worker worker_alive watched_by client waits_for attachable error".split()
    )
    return {**one, "session_id": "1796070803119-0a2d162b286c", "state": "pending", "age_s": 1.0, **fields}


ROWS = [
    row(cwd="/scratch/张三/模型训练实验/第一次/输出目录/结果", command="python3 train.py --名字 模型"),
    row(cwd="/scratch/ann/a very long name/of/a/directory/inner/end", command="true", state="running"),
    row(
        cwd="/scratch/ann",
        command="x" * 300,
        waits_for="the directory, held by 1796070803029-e22febf41e45",
        client="detached",
    ),
]


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_a_table_of_sessions_fits_and_says_what_matters(columns: int) -> None:
    heading, chinese, long, waits = table(ROWS, columns)
    assert all(width(line) <= columns for line in (heading, chinese, long, waits))
    assert width(heading[: heading.index("COMMAND")]) == width(long[: long.index("true")])
    assert ("结果" if columns == 60 else "目录/结果") in chinese, "a path's end"
    assert "…" not in long or "/end" in long
    if columns > 60:
        assert "e22febf4" in waits, "for whom it waits, as every verb takes it"
    assert "1796070803029" not in waits


def test_an_exit_code_is_told_where_it_is_news() -> None:
    ended = [("succeeded", 0), ("failed", 3), ("failed", None), ("cancelled", 130)]
    lines = table([row(state=state, exit_code=code, cwd="/", command="x") for state, code in ended], 80)
    states = [line[10:].partition("  ")[0] for line in lines[1:]]
    assert states == ["succeeded", "failed (3)", "failed", "cancelled"]


def test_columns_stand_under_each_other_whatever_is_in_them() -> None:
    lines = table_lines(("A", "B"), [("模型", "x"), ("ab", "x"), ("é\u0301", "x"), ("\x1b[2J", "x")], 40)
    assert {width(line[:-1]) for line in lines} == {len("\\x1b[2J") + 2}


def test_thousands_of_waiting_sessions_are_gone_through_once() -> None:
    """Not once for each of them."""
    looks = 0

    class Counted(list[View]):
        def __iter__(self) -> Iterator[View]:
            nonlocal looks
            looks += 1
            return super().__iter__()

    views = Counted()
    for number in range(6):
        files = Namespace("/nowhere", "test").session(f"17960708031{number:02}-0a2d162b286c")
        request = Request(files.session_id, ["true"], f"/scratch/{number % 2}")
        views.append(View(files, [], Status(files.session_id, "pending", created_at=""), request, None))
    rows = describe(views, {}, set())
    assert len(rows) == 6
    assert looks <= 2
    assert session_view.first_waiting(views) == {f"/scratch/{n}": views[n].session_id for n in (0, 1)}
