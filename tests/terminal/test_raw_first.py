"""Nothing of a session is shown before the user's terminal is raw, whatever keeps the half that makes it so."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, state_of
from tests.helpers.share import Session
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import wait_until


@contextlib.contextmanager
def no_start(pigeon: Pigeon) -> Iterator[None]:
    """Nobody starts a session meanwhile."""
    pid = pigeon.workers[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(pid) == "T", 15, "the worker's stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def with_half_a_client(pigeon: Pigeon, *words: str, cwd: Path) -> tuple[Terminal, Session]:
    """A session whose client can do everything but change its terminal: that half was stopped before the start."""
    with no_start(pigeon):
        known = pigeon.namespace.session_names()
        window = pigeon.spawn_tty(*words, cwd=cwd)
        session = pigeon.wait_session(known)
        os.kill(window.process.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(window.process.pid) == "T", 15, "the client's stop")
    return window, session


def wait_for_a_look(session: Session, window: Terminal) -> None:
    """Until the half on the share has said that it lives, and so has looked at the stream, once more."""

    def beats() -> int:
        return [record["type"] for record in session.records("control.jsonl")].count("heartbeat")

    wanted = beats() + 1
    window.wait_true(lambda: beats() >= wanted, 30)


def shown(window: Terminal) -> bytes:
    """What the terminal has got, but for pigeon's own words about a session that nobody has started."""
    window.pump()
    return re.sub(rb"pigeon: waiting[^\n]*\n", b"", window.raw)


@pytest.mark.slow
def test_output_waits_until_the_terminal_is_raw(warm: Pigeon) -> None:
    """A cooked terminal would make `\\r\\r\\n` of each end of a line."""
    window, session = with_half_a_client(warm, r"printf 'one\ntwo\n'", cwd=warm.directory("waits"))
    session.wait_event("exit")
    wait_for_a_look(session, window)
    assert shown(window) == b""
    assert window.settings() == window.settings_before
    window.process.send_signal(signal.SIGCONT)
    assert window.wait().code == 0
    assert shown(window) == b"one\r\ntwo\r\n"
    assert window.settings() == window.settings_before


@pytest.mark.slow
def test_a_session_that_runs_on_is_shown_whole(warm: Pigeon) -> None:
    """More than is read at a time, and then a question to the terminal."""
    text = r"stty -echo; seq 300000; printf '\033[6n'; read -r -d R answer; seq 3"
    window, session = with_half_a_client(warm, text, cwd=warm.directory("whole"))
    wait_until(lambda: session.output().endswith(b"\x1b[6n"), 30, "the output")
    wait_for_a_look(session, window)
    assert shown(window) == b""
    window.draws = False
    window.process.send_signal(signal.SIGCONT)
    window.wait_true(lambda: window.raw.endswith(b"\x1b[6n"))
    window.type(b"\x1b[1;1R")
    assert window.wait().code == 0
    lines = b"".join(b"%d\r\n" % number for number in range(1, 300_001))
    assert shown(window) == lines + b"\x1b[6n1\r\n2\r\n3\r\n"


def test_a_session_without_output_ends(warm: Pigeon) -> None:
    window, session = with_half_a_client(warm, "exit 7", cwd=warm.directory("silent"))
    (pump,) = children_of(window.process.pid)
    session.wait_final()
    wait_until(lambda: state_of(pump) == "Z", 15, "the end of the half on the share")
    window.process.send_signal(signal.SIGCONT)
    assert window.wait().code == 7
    assert (shown(window), window.settings()) == (b"", window.settings_before)


def test_the_other_half_is_killed_while_output_waits(warm: Pigeon) -> None:
    window, session = with_half_a_client(warm, "echo one; exec sleep 60", cwd=warm.directory("killed"))
    wait_until(lambda: session.output() == b"one\r\n", 15, "the output")
    window.process.kill()
    window.process.wait()
    assert session.wait_final(20)["state"] == "cancelled"
    assert window.settings() == window.settings_before
    warm.wait_quiet()


def test_without_a_terminal_nothing_waits(warm: Pigeon) -> None:
    place = warm.directory("pipes")
    with no_start(warm):
        client, session = warm.begin("echo one; until [ -e gone ]; do sleep 0.02; done", cwd=place)
        client.signal(signal.SIGSTOP)
    wait_until(lambda: client.out == b"one\n", 15, client.tell)
    client.signal(signal.SIGCONT)
    (place / "gone").touch()
    assert client.wait().code == 0
    assert session.wait_final()["state"] == "succeeded"


def test_attaching_in_the_background(warm: Pigeon) -> None:
    """The replayed screen waits for the foreground, too."""
    place = warm.directory("background")
    result = warm.run(
        r"printf 'one\ntwo\n'; until [ -e gone ]; do sleep 0.02; done", options=("--detach",), cwd=place
    )
    session = Session(warm.namespace.root / "sessions" / result.stdout.decode().strip())
    wait_until(lambda: session.output() == b"one\r\ntwo\r\n", 15, "the output")
    window = warm.spawn_plain("bash", "--norc", "-i", env={"PS1": "$ "}, cwd=place)
    window.wait_for(lambda text: text.endswith("$"))
    window.type(shlex.join([str(word) for word in warm.command("attach", session.id)]) + " &\r")
    window.wait_true(lambda: children_of(window.process.pid))
    (client,) = children_of(window.process.pid)
    session.wait_event("attached")
    assert b"two" not in window.raw
    window.wait_true(lambda: state_of(client) == "S")
    window.type("\rfg\r")
    window.wait_for("two")
    assert b"one\r\ntwo\r\n" in window.raw
    assert b"\r\r\n" not in window.raw[window.raw.index(b"one") :]
    (place / "gone").touch()
    window.wait_for(lambda text: text.endswith("$"))
    window.type("exit\r")
    assert window.wait().code == 0
