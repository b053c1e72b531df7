"""The verbs where outputs fail, arguments make no sense, and names hold what a terminal would act upon."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Result

ESCAPE = "\x1b[31m"
VERBS = ["--help", "sessions --help", "sessions --all", "history --path", "config show", "clean -n"]


def in_shell(pigeon: Pigeon, text: str, cwd: Path | None = None) -> Result:
    """A shell text in which `"$@"` stands for pigeon; Python buffers its output, as it does for a user."""
    argv = ["bash", "-c", text, "bash", *map(os.fsdecode, pigeon.command())]
    env = {**pigeon.env(), "PIGEON_JOURNAL": str(pigeon.journal)}
    env.pop("PYTHONUNBUFFERED", None)
    done = subprocess.run(
        argv, env=env, cwd=cwd or pigeon.work, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    result = Result(done.stdout, done.stderr, done.returncode)
    for words in ("Traceback", "Exception ignored", "unexpected error"):
        assert words not in result.words
    return result


def with_journal(pigeon: Pigeon) -> None:
    """A share with a session, and a journal."""
    worker = pigeon.worker()
    assert pigeon.run("true").code == 0
    assert worker.stop() == 0


def test_outputs_that_fail(pigeon: Pigeon) -> None:
    with_journal(pigeon)
    for words in VERBS:
        full = in_shell(pigeon, f'"$@" {words} > /dev/full')
        assert (full.code, full.words) == (
            255,
            "pigeon: cannot write the output: No space left on device\n",
        ), words
        closed = in_shell(pigeon, f'"$@" {words} >&-')
        assert (closed.code, closed.words) == (0, ""), words
        unread = in_shell(
            pigeon, f'mkfifo p; exec 3<>p 4>p 3<&-; "$@" {words} >&4; code=$?; rm p; exit $code'
        )
        assert (unread.code, unread.words) == (141, ""), words


@pytest.mark.parametrize(
    ("words", "code"), [("inspect nobody", 1), ("sessions --bogus", 2), ("--bogus", 2), ("", 2)]
)
def test_an_error_that_cannot_be_told_has_its_code(pigeon: Pigeon, words: str, code: int) -> None:
    (pigeon.namespace.root / "sessions").mkdir(parents=True, exist_ok=True)
    for redirection in ("2> /dev/full", "2>&-", ""):
        assert in_shell(pigeon, f'"$@" {words} {redirection}').code == code, redirection


@pytest.mark.parametrize(
    "words",
    [
        ("sessions", "--" + ESCAPE),
        ("inspect", ESCAPE),
        ("logs", "a\nb"),
        ("doctor", "--cache", "/" + ESCAPE),
        ("sessions", "--cache", "/" + ESCAPE),
    ],
    ids=repr,
)
def test_no_name_reaches_the_terminal_raw(pigeon: Pigeon, words: tuple[str, ...]) -> None:
    result = pigeon.run(*words)
    assert result.code in (1, 2, 255)
    assert b"\x1b" not in result.stdout + result.stderr
    assert len(result.words.splitlines()) <= 2


def test_fields_are_one_a_line(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, command=["bash", "-lc", f"echo '{ESCAPE}'\ntrue"])
    result = pigeon.run("inspect", session.id, "--here", "-o", "command,state")
    assert result.stdout.splitlines() == [b"echo '\\x1b[31m'\\ntrue", b"pending"]


def test_a_file_with_the_name_of_a_session(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon)
    (pigeon.namespace.root / "sessions" / raw.new_id()).write_text("")
    for words in (("sessions",), ("sessions", "--all"), ("clean", "-n")):
        assert pigeon.run(*words).code == 0, words
    assert session.id in pigeon.run("sessions").stdout.decode()


def test_a_share_that_is_a_file(pigeon: Pigeon) -> None:
    path = pigeon.base / "file"
    path.write_text("")
    result = pigeon.run("sessions", "--cache", str(path))
    assert result.code == 255
    assert f"`{path}` cannot be used: Not a directory" in result.words


@pytest.mark.parametrize("words", ["sessions --cwd .", "history --cwd .", "doctor --release ."])
def test_a_directory_that_has_been_removed(pigeon: Pigeon, words: str) -> None:
    gone = pigeon.directory(f"gone-{raw.new_id()}")
    result = in_shell(pigeon, f'rmdir {shlex.quote(str(gone))}; "$@" {words}', cwd=gone)
    assert result.code == 2
    assert "the current directory cannot be used" in result.words


@pytest.mark.parametrize("columns", ["999999999999", "9" * 5000])
def test_columns_without_end(pigeon: Pigeon, columns: str) -> None:
    with_journal(pigeon)
    result = pigeon.run("history", "--journal", str(pigeon.journal), env={"COLUMNS": columns})
    assert (result.code, len(result.stdout.splitlines())) == (0, 2), result.words


@pytest.mark.parametrize("seconds", ["-5", "nan"])
def test_clean_takes_no_age_that_is_none(pigeon: Pigeon, seconds: str) -> None:
    result = pigeon.run("clean", f"--older-than={seconds}")
    assert (result.code, result.stdout) == (2, b"")
    assert "--older-than" in result.words


@pytest.mark.parametrize("digits", ["0x" + "f" * 5000, "9" * 5000])
def test_numbers_without_end_in_a_file(pigeon: Pigeon, digits: str) -> None:
    path = pigeon.base / "long.toml"
    path.write_text(f"[worker]\nmax_jobs = {digits}\n")
    result = pigeon.run("config", "show", "--config", str(path))
    assert result.code == 2
    assert result.words.startswith(f"pigeon: `{path}`")


def test_a_mark_of_the_byte_order_is_named(pigeon: Pigeon) -> None:
    path = pigeon.base / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbfnamespace = 'marked'\r\n")
    result = pigeon.run("config", "show", "--config", str(path))
    assert result.code == 2
    assert "begins with a byte order mark" in result.words


def test_a_fifo_in_the_default_place(pigeon: Pigeon) -> None:
    """Neither read as an empty file nor waited for."""
    home = pigeon.directory(f"home-{raw.new_id()}")
    place = home / ".config" / "pigeon" / "config.toml"
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    env = {"PIGEON_CONFIG": None, "HOME": str(home), "XDG_CONFIG_HOME": None}
    for words in (("config", "show"), ("true",)):
        result = pigeon.run(*words, env=env)
        assert result.code == 2
        assert f"`{place}` is a FIFO" in result.words


@pytest.mark.parametrize("option", ["--detach", "-t", "-T", "--keep", "--no-lock"])
def test_options_of_commands_are_refused_for_verbs(pigeon: Pigeon, option: str) -> None:
    result = pigeon.run("sessions", options=(option,))
    assert (result.code, result.stdout) == (2, b"")
    assert "-- sessions` runs a program of that name" in result.words


def test_a_name_in_an_error_of_a_command_does_nothing_to_the_terminal(pigeon: Pigeon) -> None:
    result = pigeon.run("true", options=("--cache", "/x\x1b[31m"))
    assert result.code == 255
    assert "\x1b" not in result.words and r"/x\x1b[31m" in result.words
