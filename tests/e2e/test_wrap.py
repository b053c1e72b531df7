"""`worker.wrap`: words before every command on the worker's host, and who is at fault when something is wrong."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from pigeon.errors import ConfigError
from pigeon.worker.words import WRAP, check, filled
from tests.helpers.pigeon import Pigeon


def test_what_is_filled_in() -> None:
    words = ["run", "{cwd}:{session}", "{{cwd}}", "{tty:-t}", "{tty:--at={cwd}}"]
    known = {"cwd": "/a b", "session_id": "17-ab"}
    assert filled(words, WRAP, **known, pty=True) == ["run", "/a b:17-ab", "{cwd}", "-t", "--at=/a b"]
    assert filled(words, WRAP, **known, pty=False) == ["run", "/a b:17-ab", "{cwd}"]
    assert filled([], WRAP, **known, pty=True) == []
    for bad in ["{cwdd}"], ["a{"], ["a}"], ["{tty:}"], ["{tty:-t}", "x"]:
        with pytest.raises(ConfigError):
            check(bad, WRAP)
    check(words, WRAP)


def test_every_command_is_wrapped_and_the_journal_says_in_what(pigeon: Pigeon) -> None:
    pigeon.worker(wrap=["nice", "-n", "7"])
    done = pigeon.run("nice; exit 7")
    nicer = min(os.nice(0) + 7, 19)
    assert (done.stdout, done.code) == (b"%d\n" % nicer, 7)
    (session,) = pigeon.namespace.session_names()
    with closing(sqlite3.connect(pigeon.journal)) as journal:
        ((command, words),) = journal.execute("SELECT command, wrapped FROM sessions").fetchall()
    assert ("nice; exit 7" in command, words) == (True, "nice -n 7")
    said = pigeon.run("inspect", "--journal", str(pigeon.journal), session).stdout.decode()
    assert "wrapped in nice -n 7" in said


def test_codes_signals_bytes_and_terminals_are_the_commands(pigeon: Pigeon) -> None:
    pigeon.worker(wrap=["env", "WHERE={cwd}", "sh", "-c", 'exec "$@"', "sh"])
    assert pigeon.run('echo "$WHERE"').stdout.decode().strip() == str(pigeon.work)
    assert pigeon.run("kill -TERM $$").code == 143
    assert pigeon.run("sh", "-c", "exit 255").code == 255
    data = bytes(range(256)) * 4000
    assert pigeon.run("cat", stdin=data).stdout == data
    missing = pigeon.run("sh", "-c", "exec no-such-program")
    assert missing.code == 127


def test_the_terminal_decides_over_words(pigeon: Pigeon) -> None:
    pigeon.worker(wrap=["env", "{tty:ON=terminal}", "AS=wrapped"])
    assert pigeon.run('echo "$ON|$AS"').stdout == b"|wrapped\n"
    terminal = pigeon.spawn_tty('echo "$ON|$AS"')
    terminal.wait_for("terminal|wrapped")
    assert terminal.wait().code == 0


def test_a_wrapper_that_is_not_there_is_not_the_commands_fault(pigeon: Pigeon) -> None:
    pigeon.worker(wrap=["no-such-wrapper"])
    done = pigeon.run("true")
    assert done.code == 255
    assert "the worker's wrapper" in done.words and "no-such-wrapper" in done.words


def test_the_wrapper_is_found_on_the_workers_path(pigeon: Pigeon) -> None:
    own = pigeon.work / "bin"
    own.mkdir()
    (own / "nice").write_text("#!/bin/sh\necho hijacked\n")
    (own / "nice").chmod(0o755)
    pigeon.worker(wrap=["nice"])
    assert pigeon.run("echo fine", env={"PATH": f"{own}:/usr/bin:/bin"}).stdout == b"fine\n"


def test_a_wrapper_that_means_nothing_starts_no_worker(pigeon: Pigeon) -> None:
    child = pigeon.start_worker(wrap=["nice", "{cwdd}"])
    assert child.wait().code == 2
    assert "worker.wrap" in child.out.decode()
