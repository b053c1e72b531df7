"""Two things at once: signals, stops and orders that come just before or after the moment they were made for."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, state_of
from tests.helpers.surroundings import PIGEON
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import patient, wait_until


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does not run meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", 10, "the stop")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_raw(terminal: Terminal) -> bool:
    return not terminal.settings()[3] & termios.ICANON


def shell(pigeon: Pigeon) -> Terminal:
    """An interactive bash, whose jobs are stopped and killed as a user does it."""
    terminal = pigeon.spawn_plain("bash", "--norc", "--noediting", "-i", env={"PS1": "$ "})
    terminal.wait_for("$")
    return terminal


def guardian_in(terminal: Terminal) -> int:
    """The pid of the only job of a `shell`."""
    terminal.wait_true(lambda: children_of(terminal.process.pid))
    (pid,) = children_of(terminal.process.pid)
    return pid


def leave(terminal: Terminal) -> None:
    terminal.type("exit\r")
    terminal.wait(10)


def test_a_terminal_that_is_not_the_controlling_one_is_read(warm: Pigeon) -> None:
    """As a program has it that made the terminal itself (a test, an editor): nobody would stop who reads there."""
    master, slave = pty.openpty()
    argv = [str(word) for word in warm.command("read x; echo got $x")]
    with subprocess.Popen(
        argv,
        env=warm.env(None),
        cwd=warm.work,
        stdin=slave,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            os.write(master, b"hello\n")
            assert process.communicate(timeout=20)[0] == b"got hello\n"
        finally:
            process.kill()
            os.close(master)
            os.close(slave)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT"])
def test_a_signal_ends_what_is_still_being_printed_of_a_command_that_has_ended(
    warm: Pigeon, name: str
) -> None:
    """There is no command any more that could get it, and the reader may never read on."""
    reader, writer = os.pipe()
    known = warm.namespace.session_names()
    script = "until [ -e gate ]; do sleep 0.02; done; head -c 200000 /dev/zero"
    argv = [str(word) for word in warm.command(script, options=("-v",))]
    words = warm.base / f"words-{name}"
    with (
        words.open("wb") as stderr,
        subprocess.Popen(
            argv, env=warm.env(None), cwd=warm.work, stdin=subprocess.DEVNULL, stdout=writer, stderr=stderr
        ) as process,
    ):
        try:
            os.close(writer)
            session = warm.wait_session(known)
            session.wait_event("started")
            (pump,) = children_of(process.pid)
            with stopped(pump):
                (warm.work / "gate").touch()
                session.wait_event("exit")
            wait_until(lambda: b"succeeded, exit code 0" in words.read_bytes(), 10, "the end, seen")
            number = getattr(signal, f"SIG{name}")
            process.send_signal(number)
            assert process.wait(10) == -number
        finally:
            process.kill()
            os.close(reader)
            (warm.work / "gate").unlink(missing_ok=True)


def test_a_client_stopped_from_outside_comes_back_to_a_raw_terminal(warm: Pigeon) -> None:
    """SIGSTOP tells nobody; the shell that sees the stop makes the terminal its own."""
    terminal = warm.spawn_tty("echo ready; read -rsn1 x; echo got $x")
    terminal.wait_for("ready")
    with stopped(terminal.process.pid):
        screen = os.open(f"/proc/{terminal.process.pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
        termios.tcsetattr(screen, termios.TCSANOW, terminal.settings_before)
        os.close(screen)
    terminal.wait_true(lambda: is_raw(terminal))
    terminal.type("k")
    assert b"got k" in terminal.wait(10).stdout
    assert terminal.settings() == terminal.settings_before


def test_a_continuation_before_the_stop_takes_it_back(warm: Pigeon) -> None:
    """`kill -TSTP` and `kill -CONT` in a row: a stop that comes only then would last for ever."""
    client = warm.start_process(
        "bash", "-c", f"{PIGEON} 'echo ready; read x; echo got $x'; true", stdin=subprocess.PIPE
    )
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    (guardian,) = children_of(client.pid)
    (pump,) = children_of(guardian)
    with stopped(pump):
        os.kill(guardian, signal.SIGTSTP)
        wait_until(lambda: state_of(guardian) == "S", 5, "its wait")
        os.kill(guardian, signal.SIGCONT)
        wait_until(lambda: state_of(guardian) == "S", 5, "its wait")
    client.type(b"on\n")
    assert client.wait(10).stdout == b"ready\ngot on\n"


def test_killing_a_background_job_that_waits_for_the_terminal(warm: Pigeon) -> None:
    terminal = shell(warm)
    known = warm.namespace.session_names()
    terminal.type(f"{PIGEON} 'echo ready; exec sleep 1000' &\r")
    session = warm.wait_session(known)
    guardian = guardian_in(terminal)
    terminal.wait_for("ready")
    terminal.wait_true(lambda: state_of(guardian) == "S")
    terminal.type("kill %1\r")
    terminal.wait_true(lambda: guardian not in children_of(terminal.process.pid))
    assert session.wait_final(20)["state"] == "cancelled"
    leave(terminal)


def test_killing_a_job_that_was_suspended(warm: Pigeon) -> None:
    terminal = shell(warm)
    known = warm.namespace.session_names()
    terminal.type(f"{PIGEON} 'echo rea''dy; exec sleep 1000'\r")
    terminal.wait_for("ready")
    session = warm.wait_session(known)
    guardian = guardian_in(terminal)
    terminal.type("\r~\x1a")
    terminal.wait_for("Stopped")
    terminal.type("kill %1\r")
    terminal.wait_true(lambda: guardian not in children_of(terminal.process.pid))
    assert session.wait_final(20)["state"] == "cancelled"
    leave(terminal)


@pytest.mark.parametrize("keys", ["~.", "~d"])
def test_leaving_before_the_runner_has_noticed_the_attacher(warm: Pigeon, keys: str) -> None:
    """It looks for attachers only now and then; `~.` means the session, although it is to be kept."""
    warm.run("exec sleep 1000", options=("--detach",))
    session = warm.sessions()[-1]
    session.wait_event("started")
    terminal = warm.spawn_tty("attach", session.id)
    terminal.wait_true(lambda: is_raw(terminal))
    terminal.type("\r" + keys)
    assert terminal.wait(10).code == (255 if keys == "~." else 0)
    if keys == "~d":
        session.wait_event("attached")
        assert session.status["state"] == "running"
        assert warm.run("stop", session.id).code == 0
    assert session.wait_final(20)["state"] == "cancelled"


def test_nobody_detaches_from_a_session_that_has_ended(warm: Pigeon) -> None:
    """The command's end is what the user hears of, though it is still being printed."""
    gate = warm.work / "gate"
    known = warm.namespace.session_names()
    terminal = warm.spawn_tty(f"echo ready; until [ -e {gate} ]; do sleep 0.02; done; seq 30000; exit 7")
    terminal.wait_for("ready")
    session = warm.wait_session(known)
    (pump,) = children_of(terminal.process.pid)
    terminal.draws = False
    with stopped(pump):
        gate.touch()
        session.wait_event("exit")
        terminal.type("\r~d")
        terminal.wait_still()
    result = terminal.wait(30)
    gate.unlink()
    assert (result.code, b"detached" in result.stdout) == (7, False)


def test_asked_twice_to_end_while_nobody_takes_the_output(warm: Pigeon) -> None:
    """The command would be waited for until its output has been taken."""
    reading, writing = os.pipe()
    try:
        known = warm.namespace.session_names()
        script = f"exec {PIGEON} 'exec cat /dev/zero' >&{writing}"
        client = subprocess.Popen(
            ["bash", "-c", script],
            env=warm.env(None),
            cwd=warm.work,
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
        )
        session = warm.wait_session(known)
        wait_until(lambda: select.select([], [writing], [], 0)[1] == [], 20, "a full pipe")
        client.send_signal(signal.SIGTERM)
        session.wait_event("started")
        wait_until(
            lambda: any(r.get("signal") == 15 for r in session.records("control.jsonl")),
            20,
            "the first to be passed on",
        )
        client.send_signal(signal.SIGTERM)
        assert client.wait(patient(15)) == -signal.SIGTERM
        session.wait_final(30)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_detached_session_whose_id_cannot_be_printed(warm: Pigeon) -> None:
    script = f"{PIGEON} --detach 'exit 3' >/dev/full"
    result = warm.start_process("bash", "-c", script).wait(20)
    session = warm.sessions()[-1]
    assert (result.code, session.wait_final(20)["exit_code"]) == (255, 3)
    assert session.id in result.words and "no space left" in result.words.lower()
