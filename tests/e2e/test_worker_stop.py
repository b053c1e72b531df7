"""How a worker ends: the first signal drains, the second hangs up, and nothing is left without an end."""

from __future__ import annotations

import os
import re
import signal
import threading

import pytest

from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_at_once(pigeon: Pigeon, number: int) -> None:
    worker = pigeon.worker()
    assert len(pigeon.namespace.workers()) == 1
    worker.signal(number)
    assert worker.wait(15) == 0
    assert pigeon.namespace.workers() == []


def test_the_first_signal_drains(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker()
    clients = [pigeon.start(notes.holding(name), cwd=pigeon.directory(name)) for name in ("a", "b")]
    for name in ("a", "b"):
        notes.wait_started(name)
    worker.signal()
    wait_until(lambda: re.search(r"waiting for 2\b", worker.log), 10, "a line that says how many run")
    late, session = pigeon.begin(notes.text("late"), cwd=pigeon.directory("late"))
    notes.release("a")
    assert clients[0].wait().code == 0
    assert worker.child.running
    assert clients[1].running
    notes.release("b")
    assert clients[1].wait().code == 0
    assert worker.wait() == 0
    assert session.claim is None
    assert not notes.starts("late")
    pigeon.worker()
    assert late.wait().code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_hangs_up(pigeon: Pigeon, number: int) -> None:
    worker = pigeon.worker()
    client = pigeon.start("echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    worker.signal(number)
    wait_until(lambda: "waiting for 1 running" in worker.log, 10, "the first signal's line")
    worker.signal(number)
    result = client.wait(20)
    assert result.code != 0
    assert pigeon.sessions()[0].wait_final()["state"] in ("failed", "cancelled")
    worker.wait(20)
    pigeon.wait_quiet()
    row = pigeon.journal_row(pigeon.sessions()[0].id)
    assert row is not None
    assert row["state"] == "final"
    assert row["error"]


def test_the_second_signal_ends_a_command_that_ignores_it(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    client = pigeon.start("trap '' HUP TERM INT; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    worker.signal()
    wait_until(lambda: "waiting for 1 running" in worker.log, 10, "the first signal's line")
    worker.signal()
    assert client.wait(40).code != 0
    assert pigeon.sessions()[0].wait_final()["state"] in ("failed", "cancelled")
    worker.wait(20)
    pigeon.wait_quiet()


def test_a_closed_terminal_of_the_worker_is_no_error_for_the_session(pigeon: Pigeon) -> None:
    """The window that the worker was started in is closed; what runs there goes on to its end."""
    window = pigeon.spawn_plain(
        *pigeon.command("worker", "--journal", str(pigeon.journal), "--debug"), cwd=pigeon.base
    )
    wait_until(lambda: window.pump() or pigeon.namespace.workers(), 15, "the worker's file")
    wait_until(lambda: pigeon.namespace.workers(), 15, "the worker's file")
    gate = pigeon.base / "gate"
    gate.touch()
    client = pigeon.start(f"echo one; while [ -e {gate} ]; do sleep 0.02; done; echo two")
    wait_until(lambda: client.out == b"one\n" or window.pump(), 15, "the command")
    wait_until(lambda: client.out == b"one\n", 15, "the command")
    window.hang_up()
    window.process.kill()
    window.process.wait()
    gate.unlink()
    assert client.wait(20).stdout == b"one\ntwo\n"
    pigeon.wait_quiet()


def test_a_killed_scheduler_does_not_take_its_runners_along(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker()
    client = pigeon.start("echo begun; " + notes.holding("held"))
    notes.wait_started("held")
    worker.kill()
    notes.release("held")
    result = client.wait(20)
    assert (result.stdout, result.code) == (b"begun\n", 0)
    pigeon.wait_quiet()


def test_the_next_scheduler_watches_what_still_runs(pigeon: Pigeon, notes: Notes) -> None:
    worker = pigeon.worker(max_jobs=1)
    client = pigeon.start(notes.holding("held"))
    notes.wait_started("held")
    worker.kill()
    following = pigeon.worker(max_jobs=1)
    ids = [entry["session_id"] for entry in wait_until(lambda: running(pigeon, following.id), 15, "adoption")]
    assert ids == [pigeon.sessions()[0].id]
    other, _ = pigeon.begin(notes.text("other"), cwd=pigeon.directory("other"))
    notes.release("held")
    assert (client.wait().code, other.wait().code) == (0, 0)
    assert notes.interval("held").end <= notes.interval("other").start, "the adopted session holds its slot"


def running(pigeon: Pigeon, worker_id: str) -> list[dict[str, str]]:
    """What a worker says that it runs."""
    return next((w["running"] for w in pigeon.namespace.workers() if w["worker_id"] == worker_id), [])


def test_a_killed_runner_ends_its_session(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    client = pigeon.start("echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    row = pigeon.journal_row(pigeon.sessions()[0].id)
    assert row is not None
    assert row["runner_pid"] != worker.pid
    os.kill(int(row["runner_pid"]), signal.SIGKILL)
    result = client.wait(20)
    assert result.code == 255
    status = pigeon.sessions()[0].wait_final()
    assert (status["state"], status["exit_code"], status["ended_by"]) == ("failed", 255, "recovery")
    assert status["error"]
    pigeon.wait_quiet()
    assert pigeon.run("echo next").stdout == b"next\n"


def test_no_thread_of_ours_is_left() -> None:
    """The harness forks; a thread in it would make that unsafe."""
    wait_until(lambda: threading.active_count() == 1, 15, lambda: f"one thread, not {threading.enumerate()}")
