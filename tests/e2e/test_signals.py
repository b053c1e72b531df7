"""Signals, broken pipes and killed clients: the command notices, and nothing of it stays behind."""

from __future__ import annotations

import os
import signal

import pytest

from tests.helpers.crash import CrashPoint
from tests.helpers.driving import has_ended, pid_in
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, state_of
from tests.helpers.surroundings import LISTENER, PIGEON
from tests.helpers.waiting import wait_until


@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "HUP", "USR1", "USR2"])
def test_a_signal_reaches_the_command(warm: Pigeon, name: str) -> None:
    client = warm.start(LISTENER)
    wait_until(lambda: client.out == b"ready\n", 15, "the command's trap")
    client.signal(getattr(signal, f"SIG{name}"))
    result = client.wait(15)
    assert (result.stdout.decode(), result.code) == (f"ready\ngot SIG{name}\n", 9)


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_a_signal_ends_a_command_without_a_trap(warm: Pigeon, name: str) -> None:
    client = warm.start("echo ready; exec sleep 60")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    number = getattr(signal, f"SIG{name}")
    client.signal(number)
    result = client.wait(15)
    assert result.code == 128 + number
    assert b"Traceback" not in result.stderr


def test_a_broken_pipe_ends_the_command_silently(warm: Pigeon) -> None:
    script = f'{PIGEON} yes | head -1; echo "${{PIPESTATUS[*]}}"'
    result = warm.start_process("bash", "-c", script).wait(20)
    assert (result.stdout, result.stderr) == (b"y\n141 0\n", b"")
    warm.wait_quiet()


def test_a_pipe_that_breaks_before_any_output(warm: Pigeon) -> None:
    script = f'{PIGEON} "sleep 0.3; yes" | true; echo "${{PIPESTATUS[*]}}"'
    result = warm.start_process("bash", "-c", script).wait(20)
    assert (result.stdout, result.stderr) == (b"141 0\n", b"")
    warm.wait_quiet()


def test_a_killed_client_hangs_its_command_up(warm: Pigeon) -> None:
    """SIGKILL hits the process that the shell knows; the other half notices and says goodbye for both."""
    client = warm.start("trap 'exit 1' HUP TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    session = warm.sessions()[-1]
    client.kill()
    session.wait_final(20)
    warm.wait_quiet()


def test_a_command_that_ignores_the_hang_up_is_killed(warm: Pigeon) -> None:
    client = warm.start("trap '' HUP TERM INT; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    session = warm.sessions()[-1]
    client.kill()
    session.wait_final(45)
    warm.wait_quiet(20)


def test_a_background_process_does_not_hold_the_session(warm: Pigeon) -> None:
    """It keeps the pipes open, which a plain run in a pipeline would wait for; pigeon ends with the command."""
    gate = warm.work / "gate"
    gate.touch()
    result = warm.run(f"(while [ -e {gate} ]; do sleep 0.02; done) & echo started", timeout_s=10)
    assert result.stdout == b"started\n"
    gate.unlink()


def test_a_kept_command_on_pipes_outlives_its_clients_hangup(warm: Pigeon) -> None:
    """`pigeon --keep job | tee log`, and the connection to the machine breaks."""
    client, session = warm.begin("sleep 1000", options=("--keep",))
    session.wait_event("started")
    client.signal(signal.SIGHUP)
    assert client.wait(10).code == 128 + signal.SIGHUP
    session.wait_state("running")
    assert warm.run("stop", session.id).code == 0
    assert session.wait_final(30)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("name", "options", "code", "state"),
    [
        ("INT", (), 128 + signal.SIGINT, "failed"),
        ("TERM", (), 128 + signal.SIGTERM, "failed"),
        ("HUP", ("--keep",), 128 + signal.SIGHUP, "running"),
    ],
)
def test_a_signal_just_before_the_client_sees_the_start(
    pigeon: Pigeon, name: str, options: tuple[str, ...], code: int, state: str
) -> None:
    """Too late to withdraw the session: the command gets it."""
    start = CrashPoint(pigeon.base / "crash", "os.chdir", "/work", number=signal.SIGSTOP)
    pigeon.worker(env=start.env)
    client, session = pigeon.begin("exec sleep 1000", options=options)
    wait_until(lambda: start.has_happened, 15, "the runner's last step before the start")
    (pump,) = children_of(client.pid)
    os.kill(pump, signal.SIGSTOP)
    wait_until(lambda: state_of(pump) == "T", 15, "the stop")
    assert start.pid is not None
    os.kill(start.pid, signal.SIGCONT)
    session.wait_event("started")
    client.signal(getattr(signal, f"SIG{name}"))
    os.kill(pump, signal.SIGCONT)
    assert client.wait(10).code == code
    if state == "running":
        session.wait_state(state)
        assert pigeon.run("stop", session.id).code == 0
        state = "cancelled"
    assert session.wait_final(30)["state"] == state


def test_a_kept_session_is_started_although_its_client_was_hung_up(pigeon: Pigeon) -> None:
    """`nohup`, for a command that had to wait."""
    client, session = pigeon.begin("echo done > made", options=("--keep",))
    client.signal(signal.SIGHUP)
    assert client.wait(10).code == 128 + signal.SIGHUP
    assert session.status["state"] == "pending"
    pigeon.worker()
    assert session.wait_final(20)["state"] == "succeeded"
    assert (pigeon.work / "made").read_text() == "done\n"


def test_what_a_background_process_still_says_on_pipes_comes_through(warm: Pigeon) -> None:
    result = warm.run("(sleep 1; echo late) & echo first > >(sleep 0.5; cat); exit 3")
    assert sorted(result.stdout.split()) == [b"first", b"late"]
    assert result.code == 3


def test_one_that_holds_the_output_for_ever_is_left_to_it(warm: Pigeon) -> None:
    place = warm.directory("for ever")
    result = warm.run("sleep 1000 & echo $! >pid; echo done", options=("-v",), cwd=place)
    assert (result.stdout, result.code) == (b"done\n", 0)
    assert "a background process holds its output open" in result.words
    left = pid_in(place / "pid")
    assert not has_ended(left)
    os.kill(left, signal.SIGKILL)
    warm.wait_quiet()
