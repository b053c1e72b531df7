"""`pigeon history` as a process: what it finds, what it prints and where, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pigeon import clock
from pigeon.commands import history, history_text
from pigeon.errors import UsageError
from pigeon.journal.store import Journal
from tests.helpers.journals import ROOT, row
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Result, run_to_end

DAY = 86400.0
NOW = clock.wall()


def at(age_s: float) -> float:
    """Unix seconds, so long ago."""
    return NOW - age_s


class Book:
    """A journal with sessions in it, and `pigeon history` on it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.path = base / "pigeon.db"
        self.count = 0

    def add(self, text: str | list[str], state: str = "final", **columns: object) -> str:
        """A session that stands in `state`; its id."""
        self.count += 1
        token = f"{self.count:x}" * 12
        words = ["bash", "-lc", text] if isinstance(text, str) else text
        ended = (
            {"outcome": "succeeded", "exit_code": 0, "return_code": 0, "run_s": 1.5}
            if state == "final"
            else {}
        )
        values = row(token[:12], session_id=f"{1700000000000 + self.count}-{token[:12]}", command=words)
        values.update({"seen_at": at(60), "claimed_at": at(60), "started_at": at(60), "lock_wait_s": 0.0})
        with Journal.open(str(self.path)) as journal:
            journal.begin_claim(
                {**values, **{k: v for k, v in columns.items() if k in ("cwd", "namespace", "seen_at")}}
            )
            rest = {k: v for k, v in {**ended, **columns}.items() if k not in ("cwd", "namespace")}
            assert journal.advance(token[:12], 1, frm=("claiming",), to=state, **rest)
        return str(values["session_id"])

    def run(self, *words: str | bytes, env: dict[str, str] | None = None, cwd: Path | None = None) -> Result:
        """`pigeon history --journal … words…`."""
        return self.ask("--journal", str(self.path), *words, env=env, cwd=cwd)

    def ask(self, *words: str | bytes, env: dict[str, str] | None = None, cwd: Path | None = None) -> Result:
        """`pigeon history words…`, without naming the journal."""
        environ = {
            "HOME": str(self.base),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        }
        argv: list[str | bytes] = [sys.executable, "-m", "pigeon", "history", *words]
        return run_to_end(argv, env={**environ, **(env or {})}, cwd=cwd or self.base)

    def table(self, *words: str | bytes, env: dict[str, str] | None = None) -> list[str]:
        """The lines that it prints."""
        result = self.run(*words, env=env)
        assert (result.code, result.words) == (0, ""), result.words
        return result.stdout.decode().splitlines()

    def commands(self, *words: str | bytes) -> list[str]:
        """The commands that it finds, oldest first."""
        result = self.run("--json", *words)
        assert result.code == 0, result.words
        return [record["command"][-1] for record in json.loads(result.stdout)]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


# -- which -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """One journal for all filters."""
    book = Book(tmp_path_factory.mktemp("filled"))
    old = {"seen_at": at(10 * DAY), "claimed_at": at(10 * DAY), "started_at": at(10 * DAY)}
    book.add("old", cwd="/old", **old)
    book.add("Make Ünï", cwd="/work/a", namespace="other")
    book.add("make test", cwd="/work/a", outcome="failed", exit_code=2, return_code=2, started_at=at(2 * DAY))
    book.add("make killed", cwd="/caf\udce9", outcome="failed", exit_code=137, return_code=-9)
    book.add("given up", cwd="/new\nline", outcome="cancelled", exit_code=None, return_code=None)
    book.add("runs", "starting", cwd="/work/b", started_at=at(30))
    book.add("waits", "claimed", cwd="/work/b", started_at=None)
    return book


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--cwd", "/work/a"], ["Make Ünï", "make test"]),
        (["--cwd", "/work/a/../a/"], ["Make Ünï", "make test"]),
        (["--cwd", b"/caf\xe9"], ["make killed"]),
        (["--cwd", "/new\nline"], ["given up"]),
        (["--cwd", "/work"], []),
        (["--since", "3d", "--until", "1d"], ["make test"]),
        (["--until", "1w"], ["old"]),
        (["--since", "90s"], ["Make Ünï", "make killed", "given up", "runs", "waits"]),
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
    link.symlink_to("/work/a")
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


# -- times -------------------------------------------------------------------------------------------------


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    clock.time.tzset()
    yield
    monkeypatch.undo()
    clock.time.tzset()


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
    ],
)
def test_times(typed: str, to_the_end: bool, seconds: float) -> None:
    assert history.moment(typed, 1_000_000.0, to_the_end=to_the_end) == seconds


@pytest.mark.parametrize(
    "typed", ["", "d", "2", "2y", "-2d", "2 d", "yesterday", "2026-13-01", "1e3d", "٢d", "..d"]
)
def test_times_that_are_none(typed: str) -> None:
    with pytest.raises(UsageError):
        history.moment(typed, 1_000_000.0)


# -- the table ---------------------------------------------------------------------------------------------

EVIL = "printf '\x1b]0;title\x07\x9b31m' \u202e reversed \udcff\ud800 \n second\tline \x7f"


def columns(line: str) -> int:
    """Terminal columns by a measure of its own: pyte's."""
    import wcwidth

    return int(wcwidth.wcswidth(line))


@pytest.mark.parametrize("width", [20, 60, 80, 100, 129, 130, 200])
def test_no_line_is_wider_than_the_terminal(book: Book, width: int) -> None:
    book.add(
        "git clone https://example.org/a/very/long/name/of/a/repository.git --depth 1",
        cwd="/home/me/work/project",
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
    book.add("make all", cwd="/work", lock_wait_s=75.0, bytes_in=0, bytes_out_pty=123456, run_s=12.25)
    book.add("make test", cwd="/work", outcome="failed", exit_code=2, return_code=2, run_s=0.035)
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
    when = [history_text.moment(at(60), clock.wall()) or ""]
    assert len(when[0]) in (8, 11)
    assert cells[0][1:] == ["ok", "12s", "1m15s", "0/121K", "1700000000001-111111111111", "/work", "make all"]
    assert cells[1][1:4] == ["exit 2", "35ms", "-"]
    assert [cells[2][1], cells[2][2], cells[2][-1]] == ["SIGKILL", "1h02m", "sleep 'a b'"]
    assert cells[3][1:4] == ["lost", "-", "-"]
    assert cells[4][1] == "cancelled"
    assert cells[5][1:3] == ["running", "2h00m"]


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
    assert max(len(line) for line in on_terminal(book, NO_COLOR="1").splitlines()) == 100
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        assert b"\x1b" not in on_terminal(book, **{name: value})
    assert b"\x1b[31m" in book.run(env={"FORCE_COLOR": "1"}).stdout
    assert b"\x1b" not in book.run(env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout


def on_terminal(book: Book, **variables: str) -> bytes:
    """What it prints on a terminal 100 columns wide."""
    ours, theirs = pty.openpty()
    try:
        clock_free = {"HOME": str(book.base), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        env = {**clock_free, "LANG": "C.UTF-8", "TERM": "xterm", **variables}
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


# -- for programs ------------------------------------------------------------------------------------------


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


# -- one session -------------------------------------------------------------------------------------------


def test_the_story_of_a_session(book: Book) -> None:
    session = book.add(
        "make", cwd="/work", outcome="failed", exit_code=2, return_code=2, error="it broke", signals=1
    )
    with Journal.open(str(book.path)) as journal:
        journal.begin_wait(session, "host-1", "directory", "1699999999999-aaaaaaaaaaaa", at(70))
        journal.end_wait(session, "host-1", "directory", 4.0)
        journal.event(session, "resized", cols=80)
    for typed in (session, session[:13], session.partition("-")[2][:4]):
        text = book.run(typed).stdout.decode()
        assert text.startswith(f"session   {session}\ncommand   make\ndirectory /work\n")
    for words in (
        "error     it broke",
        "exit 2 after 1.5s",
        "held by 1699999999999-aaaaaaaaaaaa",
        "signals   1",
    ):
        assert words in text
    lines = text.splitlines()[text.splitlines().index("") + 1 :]
    assert [line.split()[2] for line in lines] == ["waits", "waited", "claiming", "final", "resized"]
    assert lines[1].endswith("for the directory: 4.0s")
    assert lines[-1].endswith("cols 80")
    story = json.loads(book.run(session, "--json").stdout)
    assert story["session_id"] == session
    assert [wait["waited_s"] for wait in story["waits"]] == [4.0]
    assert [event["event"] for event in story["events"]] == ["claiming", "final", "resized"]
    assert story["claims"][0]["exit_code"] == 2


def test_a_session_that_nobody_claimed_yet(book: Book) -> None:
    book.add("x")
    with Journal.open(str(book.path)) as journal:
        journal.begin_wait("1800000000000-cccccccccccc", "host-1", "slot", None, at(70))
    assert "waits       for the slot" in book.run("18").stdout.decode()


@pytest.mark.parametrize(
    "typed", ["17", "9", "", "1700000000001-", "x", "%", "1700000000001-1111111111111", "\udcff"]
)
def test_sessions_that_are_none_or_several(book: Book, typed: str) -> None:
    book.add("one")
    book.add("two")
    with Journal.open(str(book.path)) as journal:
        journal.event("1700000000001-22222222222", "of a claim that was lost")
    result = book.run(os.fsencode(typed))
    assert (result.code, result.stdout) == (1, b"")
    assert result.words.startswith("pigeon: ")
    assert ("could be any of" in result.words) == (typed in ("17", "1700000000001-"))


# -- where -------------------------------------------------------------------------------------------------


def test_place_and_size(book: Book) -> None:
    book.add("x")
    path, size = book.table("--path")
    assert path == str(book.path)
    assert "1 sessions" in size
    assert "bytes)" in size


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
    result = book.ask(env={"PIGEON_SESSION": "1700000000001-111111111111", "PIGEON_CACHE": str(book.base)})
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
    ]
    + [["--since", "1d", "--until", "2d"], ["--no-such-option"]],
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


# -- asking a worker ---------------------------------------------------------------------------------------


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
    story = pigeon.run("history", records[0]["session_id"])
    assert b"echo hello" in story.stdout
    assert pigeon.run("history", "nope").code == 1
    assert pigeon.run("history", "--path").stdout.startswith(os.fsencode(pigeon.journal))
