"""`pigeon history` as a process: what it finds, where it looks, whom it asks, and what it refuses."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.commands import history
from pigeon.errors import UsageError
from pigeon.report.moments import moment
from tests.helpers.book import Book, at
from tests.helpers.journals import ROOT
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import run_to_end

DAY = 86400.0


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


# -- which -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """One journal for all filters."""
    book = Book(tmp_path_factory.mktemp("filled"))
    long_ago = at(10 * DAY)
    book.add("old", cwd="/old", seen_at=long_ago, claimed_at=long_ago, started_at=long_ago)
    book.add("Make Ünï", cwd="/place/a", namespace="other")
    book.add(
        "make test", cwd="/place/a", outcome="failed", exit_code=2, return_code=2, started_at=at(2 * DAY)
    )
    book.add("make killed", cwd="/caf\udce9", outcome="failed", exit_code=137, return_code=-9)
    book.add("given up", cwd="/new\nline", outcome="cancelled", exit_code=None, return_code=None)
    book.add("runs", "starting", cwd="/place/b", started_at=at(30))
    book.add("waits", "claimed", cwd="/place/b", started_at=None)
    return book


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--cwd", "/place/a"], ["Make Ünï", "make test"]),
        (["--cwd", "/place/a/../a/"], ["Make Ünï", "make test"]),
        (["--cwd", b"/caf\xe9"], ["make killed"]),
        (["--cwd", "/new\nline"], ["given up"]),
        (["--cwd", "/place"], []),
        (["--since", "3d", "--until", "1d"], ["make test"]),
        (["--until", "1w"], ["old"]),
        (["--since", "12h"], ["Make Ünï", "make killed", "given up", "runs", "waits"]),
        (["--failed"], ["make test", "make killed"]),
        (["--state", "failed", "--state", "cancelled"], ["make test", "make killed", "given up"]),
        (["--state", "running"], ["runs"]),
        (["--state", "claimed", "--failed"], ["make test", "make killed", "waits"]),
        (["--state", "succeeded"], ["old", "Make Ünï"]),
        (["--state", "final", "-n", "1"], ["given up"]),
        (["--command", "MAKE"], ["Make Ünï", "make test", "make killed"]),
        (["--command", "make ÜNÏ"], ["Make Ünï"]),
        (["--command", "bash -lc runs"], ["runs"]),
        (["--command", "%"], []),
        (["-n", "2"], ["runs", "waits"]),
        (["-n2", "--command", "make"], ["make test", "make killed"]),
        (["--namespace", "other"], ["Make Ünï"]),
        (["-n", "0"], ["old", "Make Ünï", "make test", "make killed", "given up", "runs", "waits"]),
    ],
    ids=str,
)
def test_filters(filled: Book, words: list[str | bytes], found: list[str]) -> None:
    assert filled.commands(*words) == found


def test_a_directory_is_resolved_as_the_client_resolves_it(filled: Book, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/place/a")
    assert filled.commands("--cwd", str(link)) == ["Make Ünï", "make test"]


def test_the_newest_twenty_stand_last(book: Book) -> None:
    for number in range(23):
        book.add(f"command {number}")
    assert book.commands() == [f"command {number}" for number in range(3, 23)]
    assert len(book.commands("-n0")) == 23


def test_settings_before_the_verb_count_too(filled: Book) -> None:
    argv = [
        sys.executable,
        "-m",
        "pigeon",
        "--namespace",
        "other",
        "history",
        "--journal",
        str(filled.path),
        "--json",
    ]
    env = {"HOME": str(filled.base), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    result = run_to_end(argv, env=env, cwd=filled.base)
    assert [record["namespace"] for record in json.loads(result.stdout)] == ["other"]


# -- times -----------------------------------------------------------------------------------------------


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
@pytest.mark.parametrize(
    ("typed", "to_the_end", "seconds"),
    [
        ("90s", False, 1_000_000 - 90),
        ("1.5h", False, 1_000_000 - 5400),
        ("2d", True, 1_000_000 - 2 * DAY),
        ("999999w", False, 0.0),
        ("2026-01-31", False, 1769814000.0),
        ("2026-01-31", True, 1769814000.0 + DAY),
        ("2026-03-29", True, 1774738800.0 + 23 * 3600),  # the day on which summer time begins
        ("2026-01-31T08:09", False, 1769843340.0),
        ("2026-01-31 08:09:10", True, 1769843350.0),
        ("2026-01-31T08:09:10Z", False, 1769846950.0),
        ("2026-01-31T08:09:10.250000+02:00", False, 1769839750.25),
        ("1h30m", False, 1_000_000 - 5400),
        ("now", False, 1_000_000.0),
        ("today", False, 946800.0),  # 1970-01-12, an hour before it in UTC
        ("today", True, 946800.0 + DAY),
        ("yesterday", False, 946800.0 - DAY),
        ("yesterday", True, 946800.0),
    ],
)
def test_times(typed: str, to_the_end: bool, seconds: float) -> None:
    assert moment(typed, 1_000_000.0, to_the_end=to_the_end) == seconds


@pytest.mark.parametrize(
    "typed", ["", "d", "2", "2y", "-2d", "2 d", "tomorrow", "1h30", "2026-13-01", "1e3d", "٢d", "..d"]
)
def test_times_that_are_none(typed: str) -> None:
    with pytest.raises(UsageError):
        moment(typed, 1_000_000.0)


# -- where -----------------------------------------------------------------------------------------------


def test_the_place_stands_alone_for_other_programs(book: Book) -> None:
    book.add("x")
    result = book.run("--path")
    assert (result.code, result.stdout, result.words) == (0, f"{book.path}\n".encode(), "")


def test_the_journal_that_the_environment_names(book: Book) -> None:
    book.add("x")
    result = book.ask("--json", env={"PIGEON_JOURNAL": str(book.path)})
    assert len(json.loads(result.stdout)) == 1


def test_the_default_journal(book: Book) -> None:
    book.path = book.base / ".pigeon.db"
    book.add("x")
    assert len(json.loads(book.ask("--json").stdout)) == 1


def test_no_journal_and_nobody_to_ask(book: Book) -> None:
    result = book.ask()
    assert result.code == 255
    assert str(book.base / ".pigeon.db") in result.words
    assert "hint" in result.words
    result = book.ask(env={"PIGEON_SESSION": "1700000000001-010101010101", "PIGEON_CACHE": str(book.base)})
    assert result.code == 255
    assert os.listdir(book.base) == []


def test_a_journal_that_was_named_and_is_not_there(book: Book) -> None:
    result = book.run(env={"PIGEON_CACHE": str(book.base)})
    assert result.code == 255
    assert f"there is no journal `{book.path}`" in result.words


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "-1"],
        ["-n", "x"],
        ["--since", "soon"],
        ["--json", "--csv"],
        ["--state", "odd"],
        ["a", "b"],
        ["a", "--csv"],
        ["a", "--html", "x"],
        ["a", "--stats"],
        ["--stats", "year"],
        ["--sort", "odd"],
        ["--html", "x", "--json"],
        ["--since", "1d", "--until", "2d"],
        ["--no-such-option"],
    ],
    ids=str,
)
def test_wrong_usage(book: Book, words: list[str]) -> None:
    book.add("x")
    result = book.run(*words)
    assert (result.code, result.stdout) == (2, b"")
    assert "pigeon" in result.words
    assert "Traceback" not in result.words


def test_help_names_every_option(book: Book) -> None:
    said = book.ask("--help").stdout.decode()
    for (
        option
    ) in "--cwd --since --until --failed --state --command -n --json --csv --path --journal NO_COLOR".split():
        assert option in said


# -- asking a worker -------------------------------------------------------------------------------------


def test_the_question_means_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = [
        "--cwd",
        ".",
        "--since",
        "2d",
        "--until",
        "1h",
        "--failed",
        "--state",
        "running",
        "-n",
        "3",
        "--json",
    ]
    arguments = history._parser().parse_args([*typed, "--command", "-x 'y'", "17"])
    question = history._question(arguments, {"namespace": "lab"}, 1_700_000_000.0)
    words = history.words(question)
    assert words == [
        "history",
        "-n3",
        f"--cwd={tmp_path}",
        "--since=2023-11-12T22:13:20.000000Z",
        "--until=2023-11-14T21:13:20.000000Z",
        "--state=running",
        "--state=failed",
        "--command=-x 'y'",
        "--namespace=lab",
        "--json",
        "17",
    ]
    monkeypatch.chdir("/")
    again = history._question(history._parser().parse_args(words[1:]), {"namespace": "lab"}, 1_900_000_000.0)
    assert again == question


def test_a_machine_without_a_journal_asks_a_worker(pigeon: Pigeon) -> None:
    pigeon.worker()
    there = pigeon.directory("there")
    assert pigeon.run("echo hello; exit 3", cwd=there).code == 3
    assert pigeon.run("echo elsewhere").code == 0
    result = pigeon.run("history", "--cwd", ".", "--json", cwd=there)
    assert result.code == 0, result.words
    records = json.loads(result.stdout)
    assert [record["command"][-1] for record in records] == ["echo hello; exit 3"]
    assert (records[0]["exit_code"], records[0]["bytes_out_stdout"]) == (3, 6)
    table = pigeon.run("history", "--cwd", ".", "--since", "1h", cwd=there)
    assert b"exit 3" in table.stdout
    newest = pigeon.run("history", "-n1", "--json", "--command", "echo")
    assert [record["command"][-1] for record in json.loads(newest.stdout)] == ["echo elsewhere"]
    story = pigeon.run("history", records[0]["session_id"])
    assert b"echo hello" in story.stdout
    assert pigeon.run("history", "nope").code == 1
    assert pigeon.run("history", "--path").stdout.startswith(os.fsencode(pigeon.journal))
