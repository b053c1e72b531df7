"""What makes typing easier: `-n`, `help`, `-V`, `wait`, sessions that need not be named, hints for slips, durations."""

from __future__ import annotations

import json

import pytest

from pigeon import __version__, guess
from pigeon.cli_arguments import VERBS
from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


@pytest.fixture
def notes(warm: Pigeon) -> Notes:
    return Notes(warm.directory(f"notes-{raw.new_id()}"))


def test_a_loop_keeps_its_input(warm: Pigeon) -> None:
    pigeon = " ".join(map(str, warm.command()))
    script = f"printf '1\\n2\\n3\\n' | while read l; do {pigeon} -n \"cat; echo $l\"; done"
    done = warm.start_process("bash", "-c", script)
    assert done.wait(60) == (b"1\n2\n3\n", b"", 0)


def test_without_input_on_a_terminal_the_command_has_pipes(warm: Pigeon) -> None:
    terminal = warm.spawn_tty("-n", "test -t 0 || echo no terminal; cat; echo end")
    assert terminal.wait().code == 0
    assert terminal.text().split("\n")[:2] == ["no terminal", "end"]


def test_help_and_version(pigeon: Pigeon) -> None:
    assert pigeon.run("help").stdout == pigeon.run("--help").stdout
    assert pigeon.run("help", "stop").stdout == pigeon.run("stop", "--help").stdout
    assert pigeon.run("-V").stdout == f"pigeon {__version__}\n".encode()
    wrong = pigeon.run("help", "histroy")
    assert wrong.code == 2
    assert "did you mean `history`?" in wrong.words
    assert "did you mean `sessions`?" in pigeon.run("help", "ps").words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--hlep",), "did you mean `--help`?"),
        (("--nolock", "true"), "did you mean `--no-lock`?"),
        (("history", "--sicne", "2d"), "did you mean `--since`?"),
        (("history", "--sort", "slow"), "did you mean `slowest`?"),
        (("stop", "--signl=9", "x"), "did you mean `--signal`?"),
        (("config", "shwo"), "did you mean `show`?"),
    ],
)
def test_a_slip_is_told_with_what_was_meant(pigeon: Pigeon, words: tuple[str, ...], meant: str) -> None:
    result = pigeon.run(*words)
    assert result.code == 2
    assert meant in result.words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("histroy",), "pigeon history"),
        (("sesions", "--all"), "pigeon sessions"),
        (("status-of-nothing",), None),
        (("doctr --json",), "pigeon doctor"),
    ],
)
def test_a_verb_that_was_run_over_there(warm: Pigeon, words: tuple[str, ...], meant: str | None) -> None:
    terminal = warm.spawn_tty(*words, size=(120, 24))
    assert terminal.wait().code == 127
    assert (f"did you mean `{meant}`" in terminal.text()) if meant else "did you mean" not in terminal.text()
    quiet = warm.run(*words)
    assert quiet.code == 127
    assert "hint" not in quiet.words, "nobody reads that in a script"


def test_wait_ends_with_the_commands_code(warm: Pigeon) -> None:
    ids = []
    for code in (3, 5):
        where = warm.directory(raw.new_id())
        ids.append(warm.run(f"exit {code}", options=("--detach",), cwd=where).stdout.decode().strip())
    assert warm.run("wait", ids[1], ids[0]) == (b"", b"", 3)
    assert warm.run("wait", ids[0], ids[1].partition("-")[2][:8]).code == 5
    unknown = warm.run("wait", "no-such")
    assert (unknown.code, b"no session" in unknown.stderr) == (1, True)


def test_wait_until_it_ends_and_with_a_limit(warm: Pigeon, notes: Notes) -> None:
    where = warm.directory(raw.new_id())
    session = (
        warm.run(notes.holding("w") + "; exit 4", options=("--detach",), cwd=where).stdout.decode().strip()
    )
    notes.wait_started("w")
    limited = warm.run("wait", "--timeout=200ms", session)
    assert (limited.code, "has not ended" in limited.words) == (124, True)
    waiting = warm.start("wait", cwd=where)
    short = session.partition("-")[2][:8]
    wait_until(lambda: short in waiting.err, 15, "it says which session it takes")
    assert waiting.running
    notes.release("w")
    assert waiting.wait().code == 0


def test_the_only_session_of_a_directory_need_not_be_named(warm: Pigeon, notes: Notes) -> None:
    where = warm.directory(raw.new_id())
    nothing = warm.run("stop", cwd=where)
    assert nothing.code == 1
    assert "no session runs or waits in this directory" in nothing.words
    one = (
        warm.run(f"echo hello; {notes.holding('one')}", options=("--detach", "-T"), cwd=where)
        .stdout.decode()
        .strip()
    )
    notes.wait_started("one")
    assert warm.run("logs", cwd=where).stdout == b"hello\n"
    assert json.loads(warm.run("inspect", "--json", cwd=where).stdout)["session_id"] == one
    elsewhere = warm.run("stop", cwd=warm.directory(raw.new_id()))
    assert one.partition("-")[2][:8] in elsewhere.words, "what runs elsewhere is named"
    two = warm.run(notes.holding("two"), options=("--detach", "--no-lock"), cwd=where).stdout.decode().strip()
    notes.wait_started("two")
    several = warm.run("stop", cwd=where)
    assert several.code == 1
    for session in (one, two):
        assert session.partition("-")[2][:8] in several.words
    assert warm.run("stop", two, cwd=where).code == 0
    assert warm.run("stop", cwd=where).code == 0
    warm.wait_quiet()


@pytest.mark.parametrize(("typed", "shown"), [("90s", "90"), ("5m", "300"), ("1h30m", "5400"), ("12", "12")])
def test_durations_in_options_files_and_verbs(pigeon: Pigeon, typed: str, shown: str) -> None:
    def value(*options: str) -> str:
        said = pigeon.run("config", "show", options=options).stdout.decode()
        return next(line.split()[1] for line in said.splitlines() if line.startswith("client.claim_timeout"))

    assert value("--claim-timeout", typed) == shown
    file = pigeon.base / "durations.toml"
    quoted = f'"{typed}"' if not typed.isdigit() else typed
    file.write_text(f'cache = "{pigeon.share.client_path}"\n[client]\nclaim_timeout = {quoted}\n')
    assert value("--config", str(file)) == shown
    assert pigeon.run("clean", "--older-than", typed).code == 0


@pytest.mark.parametrize("typed", ["soon", "5 parsecs", "-5m", "nan", "2y", ""])
def test_what_is_no_duration(pigeon: Pigeon, typed: str) -> None:
    result = pigeon.run("true", options=(f"--claim-timeout={typed}",))
    assert result.code == 2
    assert "client.claim_timeout" in result.words
    assert pigeon.run("clean", f"--older-than={typed}").code == 2


def test_a_word_of_the_shell_over_there_that_may_have_meant_a_verb(warm: Pigeon) -> None:
    terminal = warm.spawn_tty("jobs", size=(120, 24))
    assert terminal.wait().code == 0
    assert "did you mean `pigeon sessions`? (`jobs` was run over there)" in terminal.text()
    assert warm.run("jobs").words == "", "nobody reads that in a script"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ps", "pigeon sessions"),
        ("jobs", "pigeon sessions"),
        ("fg", "pigeon attach"),
        ("kill 1b82d2fe", "pigeon stop 1b82d2fe"),
        ("kill 1796070309248-e02a4f0c7dde", "pigeon stop 1796070309248-e02a4f0c7dde"),
        ("stats", "pigeon history --stats"),
        ("run make all", "pigeon make all"),
        ("ps aux", None),
        ("kill 12345678", None),
        ("kill -9 4711", None),
        ("kill %1", None),
        ("fg %1", None),
        ("", None),
    ],
)
def test_what_other_tools_call_it(typed: str, meant: str | None) -> None:
    for words in (typed.split(), [typed]):
        hint = guess.verb(words, VERBS)
        assert hint is None if meant is None else f"`{meant}`" in str(hint)
