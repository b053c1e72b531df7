"""What `pigeon history` prints: a table that fits, a story, JSON and CSV; nothing that a terminal would act upon."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pigeon import clock
from pigeon.journal.store import Journal
from pigeon.report import history_table
from tests.helpers.book import Book, at
from tests.helpers.journals import ROOT, STATES
from tests.helpers.processes import run_to_end

DAY = 86400.0


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


# -- the table -------------------------------------------------------------------------------------------

EVIL = "printf '\x1b]0;title\x07\x9b31m' \u202e reversed \udcff\ud800 \n second\tline \x7f"


def columns(line: str) -> int:
    """Terminal columns by a measure of its own: pyte's."""
    import wcwidth

    return int(wcwidth.wcswidth(line))


@pytest.mark.parametrize("width", [20, 60, 80, 100, 129, 130, 200])
def test_no_line_is_wider_than_the_terminal(book: Book, width: int) -> None:
    book.add(
        "git clone https://example.org/a/very/long/name/of/a/repository.git --depth 1",
        cwd="/home/ann/project",
    )
    book.add(
        "echo 你好世界你好世界你好世界你好世界你好世界你好世界 👍🏽 ☺️ e\u0301",
        cwd="/家/工作/プロジェクト/データ/フォルダ",
    )
    book.add(EVIL, cwd="/tmp/\x1b[2J/\udcff")
    for line in book.table(env={"COLUMNS": str(width)}):
        assert line.isprintable(), line
        assert 0 <= columns(line) <= width, line


def test_what_the_table_says(book: Book) -> None:
    book.add("make all", cwd="/place", lock_wait_s=75.0, bytes_in=0, bytes_out_pty=123456, run_s=12.25)
    book.add("make test", cwd="/place", outcome="failed", exit_code=2, return_code=2, run_s=0.035)
    book.add(["sleep", "a b"], cwd="/w", outcome="failed", exit_code=137, return_code=-9, run_s=3723.0)
    book.add(
        "gone", cwd="/w", outcome="failed", exit_code=255, return_code=None, ended_by="recovery", run_s=None
    )
    book.add(
        "no", cwd="/w", outcome="cancelled", return_code=None, run_s=None, started_at=None, claimed_at=None
    )
    book.add("runs", "starting", cwd="/w", started_at=clock.wall() - 7200)
    heading, *lines = book.table(env={"TZ": "UTC"})
    assert heading.split() == "WHEN ENDED TOOK WAIT IN/OUT SESSION DIRECTORY COMMAND".split()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    when = [history_table.moment(at(60), clock.wall()) or ""]
    assert len(when[0]) in (8, 11)
    assert cells[0][1:] == [
        "ok",
        "12s",
        "1m15s",
        "0/121K",
        "1700000000001-010101010101",
        "/place",
        "make all",
    ]
    assert cells[1][1:4] == ["exit 2", "35ms", "-"]
    assert [cells[2][1], cells[2][2], cells[2][-1]] == ["SIGKILL", "1h02m", "sleep 'a b'"]
    assert cells[3][1:4] == ["lost", "-", "-"]
    assert cells[4][1] == "cancelled"
    assert cells[5][1:3] == ["running", "2h"]


def test_a_shell_that_was_written_out_is_shown(book: Book) -> None:
    session = book.add(["sh", "-c", "exit 7"])
    book.add("exit 8")
    assert [line.rpartition("  ")[2] for line in book.table()[1:]] == ["sh -c 'exit 7'", "exit 8"]
    assert "command   sh -c 'exit 7'" in book.run(session).stdout.decode().splitlines()
    assert json.loads(book.run("--json").stdout)[0]["command"] == ["sh", "-c", "exit 7"]


def test_nothing_reaches_the_terminal_as_it_is(book: Book) -> None:
    session = book.add(
        EVIL, cwd="/\x1b[2J", error="\x1b[31mred", outcome="failed", exit_code=1, return_code=1
    )
    with Journal.open(str(book.path)) as journal:
        journal.event(session, "said\x1b[5m", text="\x9b5n\x1b]0;x\x07")
        journal.begin_wait(session, "w", "directory", "\x1b[31m", at(60))
    for words in (
        [],
        ["--csv"],
        ["--json"],
        [session],
        [session, "--json"],
        ["\x1b[31m"],
        ["--since", "\x1b[31m"],
    ):
        result = book.run(*words)
        shown = result.stdout + result.stderr
        assert shown
        assert not set(shown) & ({*range(32), 0x7F} - {0x0A}), words
        text = shown.decode()
        assert not set(text) & {"\x9b", "\u202e"}, words


def test_it_cuts_and_colours_on_a_terminal_only(book: Book) -> None:
    book.add("echo " + "long " * 100, outcome="failed", exit_code=3, return_code=3)
    assert b"\x1b" not in book.run().stdout
    assert len(book.run().stdout.splitlines()[-1]) > 500
    assert b"\x1b[31mexit 3\x1b[m" in on_terminal(book)
    assert max(len(line) for line in on_terminal(book, NO_COLOR="1").decode().splitlines()) == 100
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        assert b"\x1b" not in on_terminal(book, **{name: value})
    assert b"\x1b[31m" in book.run(env={"FORCE_COLOR": "1"}).stdout
    assert b"\x1b" not in book.run(env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout


def on_terminal(book: Book, **variables: str) -> bytes:
    """What it prints on a terminal 100 columns wide."""
    ours, theirs = pty.openpty()
    try:
        plain = {"HOME": str(book.base), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        env = {**plain, "LANG": "C.UTF-8", "TERM": "xterm", **variables}
        subprocess.run(["stty", "cols", "100", "rows", "24"], stdin=theirs, check=True)
        words = [sys.executable, "-m", "pigeon", "history", "--journal", str(book.path)]
        with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
            os.close(theirs)
            theirs = -1
            out = b""
            try:
                while data := os.read(ours, 65536):
                    out += data
            except OSError:
                pass  # EIO: everybody has closed the terminal
        assert process.returncode == 0, out
        return out
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_an_encoding_that_lacks_most_characters(book: Book) -> None:
    book.add("echo 你好 " + "x" * 200)
    env = {"COLUMNS": "100", "PYTHONIOENCODING": "ascii"}
    lines = book.run(env=env).stdout.decode("ascii").splitlines()
    assert lines[1].endswith("...")
    assert "\\u4f60" in lines[1]


def test_no_session_matches(book: Book) -> None:
    book.add("x")
    result = book.run("--command", "nothing like this")
    assert (result.code, result.stdout) == (0, b"")
    assert "no session" in result.words
    assert book.run("--command", "nothing", "--json").stdout == b"[]\n"


def test_a_reader_that_goes_away(book: Book) -> None:
    for number in range(30):
        book.add(f"echo {number} " + "x" * 8000)
    words = f"{sys.executable} -m pigeon history -n0 --journal {book.path} | head -1"
    env = {"HOME": str(book.base), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    script = f"{words}; exit ${{PIPESTATUS[0]}}"
    result = run_to_end(["bash", "-c", script], env=env, cwd=book.base)
    assert (result.code, result.words) == (141, "")


# -- for programs ----------------------------------------------------------------------------------------


def test_json(book: Book) -> None:
    book.add(["printf", "\udcff\n"], cwd="/caf\udce9", terminal=1, bytes_out_stdout=3, final_at=1700000000.25)
    result = book.run("--json")
    assert result.stdout.isascii()
    (record,) = json.loads(result.stdout)
    assert record["command"] == ["printf", "\udcff\n"]
    assert (record["cwd"], record["terminal"], record["bytes_out_stdout"]) == ("/caf\udce9", True, 3)
    assert record["final_at"] == "2023-11-14T22:13:20.250000Z"
    assert record["error"] is None
    assert record["outcome"] == "succeeded"


def test_csv(book: Book) -> None:
    book.add('say "a, b"\nand more', cwd="/x,y", bytes_out_pty=5, bytes_out_stderr=6)
    first, second = csv.reader(io.StringIO(book.run("--csv").stdout.decode()))
    fields: dict[str, Any] = dict(zip(first, second, strict=True))
    assert fields["command"] == 'say "a, b"\\nand more'
    assert (fields["cwd"], fields["bytes_out"], fields["error"], fields["exit_code"]) == (
        "/x,y",
        "11",
        "",
        "0",
    )


# -- one session -----------------------------------------------------------------------------------------


def test_the_story_of_a_session(book: Book) -> None:
    session = book.add(
        "make", cwd="/place", outcome="failed", exit_code=2, return_code=2, error="it broke", signals=1
    )
    with Journal.open(str(book.path)) as journal:
        journal.begin_wait(session, "host-1", "directory", "1699999999999-aaaaaaaaaaaa", at(70))
        journal.end_wait(session, "host-1", "directory", 4.0)
        journal.event(session, "resized", cols=80)
    for typed in (session, session[:13], session.partition("-")[2][:4]):
        text = book.run(typed).stdout.decode()
        assert text.startswith(f"session   {session}\ncommand   make\ndirectory /place\n")
    for words in (
        "error     it broke",
        "exit 2 after 1.5s",
        "held by 1699999999999-aaaaaaaaaaaa",
        "signals   1",
    ):
        assert words in text
    lines = text.splitlines()[text.splitlines().index("") + 1 :]
    assert [line.split()[2] for line in lines] == ["waits", "waited", *STATES, "resized"]
    assert lines[1].endswith("for the directory: 4.0s")
    assert lines[-1].endswith("cols 80")
    story = json.loads(book.run(session, "--json").stdout)
    assert story["session_id"] == session
    assert [wait["waited_s"] for wait in story["waits"]] == [4.0]
    assert [event["event"] for event in story["events"]] == [*STATES, "resized"]
    assert story["claims"][0]["exit_code"] == 2


def test_a_session_that_nobody_claimed_yet(book: Book) -> None:
    book.add("x")
    with Journal.open(str(book.path)) as journal:
        journal.begin_wait("1800000000000-cccccccccccc", "host-1", "slot", None, at(70))
    assert "waits       for the slot" in book.run("18").stdout.decode()


@pytest.mark.parametrize(
    "typed", ["17", "9", "", "1700000000001-", "x", "%", "1700000000001-0101010101011", "\udcff"]
)
def test_sessions_that_are_none_or_several(book: Book, typed: str) -> None:
    book.add("one")
    book.add("two")
    with Journal.open(str(book.path)) as journal:
        journal.event("1700000000001-02222222222", "of a claim that was lost")
    result = book.run(os.fsencode(typed))
    assert (result.code, result.stdout) == (1, b"")
    assert result.words.startswith("pigeon: ")
    assert ("could be any of" in result.words) == (typed in ("17", "1700000000001-"))
