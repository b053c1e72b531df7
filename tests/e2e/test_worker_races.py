"""Events of the worker side in the other order: what closes, ends, is removed or comes twice when nobody expects it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child, children_of
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

WINDOW_BYTES = 24 * 1024 * 1024
OUTPUT_BYTES = WINDOW_BYTES + 200 * 1024
"""A little more than the window, by less than a pipe holds: so the command ends, and its reader is behind."""


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_closed_input_is_not_asked_for_again(pigeon: Pigeon, notes: Notes) -> None:
    """All input came through a full pipe and was read to its end; while the command works on, its runner sleeps."""
    pigeon.worker()
    text = f"sleep 1; cat >/dev/null; {notes.holding('reading')}"
    client, session = pigeon.begin("sh", "-c", text, stdin=bytes(8_000_000))
    notes.wait_started("reading")
    runner = runner_of(pigeon, session)
    began, ticks = os.times().elapsed, _cpu_ticks(runner)
    wait_until(lambda: os.times().elapsed - began > 3, describe="three seconds of work")
    used = _cpu_ticks(runner) - ticks
    notes.release("reading")
    assert client.wait().code == 0
    assert used < 60, f"{used} ticks of 300, and nothing was to be done"


def _end_of_unread_output(pigeon: Pigeon, action: Callable[[Child], None]) -> None:
    """A command has ended behind a full window of output that nobody reads; after `action` its session ends."""
    fifo = pigeon.base / "unread"
    os.mkfifo(fifo)
    nobody = os.open(fifo, os.O_RDWR)  # so that it can be opened to write, and is never read
    text = f"head -c {OUTPUT_BYTES} /dev/zero; exit 3"
    words = shlex.join(os.fsdecode(word) for word in pigeon.command("-T", "sh", "-c", text))
    client = pigeon.start_process("sh", "-c", f"exec {words} > {fifo}")
    try:
        session = pigeon.wait_session()
        row = pigeon.journal_row
        wait_until(lambda: (row(session.id) or {}).get("state") == "exited", 30, "the end of the command")
        assert session.state == "running"
        action(client)
        status = session.wait_final(30)
        assert (status["state"], status["exit_code"]) == ("failed", 3)
        assert len(session.output()) == OUTPUT_BYTES
    finally:
        for pid in (*children_of(client.pid), client.pid):
            os.kill(pid, signal.SIGKILL)
        client.kill()
        os.close(nobody)


def test_an_ended_command_waits_for_no_lost_client(pigeon: Pigeon) -> None:
    """Its reader is a window behind, and says no more: the session ends all the same, and frees its directory."""
    pigeon.worker(client_timeout=10)

    def lose(client: Child) -> None:
        for pid in (*children_of(client.pid), client.pid):
            os.kill(pid, signal.SIGSTOP)

    _end_of_unread_output(pigeon, lose)
    assert pigeon.run("true").code == 0


def test_a_worker_that_is_stopped_twice_waits_for_no_reader(pigeon: Pigeon) -> None:
    worker = pigeon.worker()

    def stop(_client: Child) -> None:
        worker.signal()
        wait_until(lambda: "waiting for 1 running" in worker.log, describe="the first order's answer")
        worker.signal()
        assert worker.wait() == 0

    _end_of_unread_output(pigeon, stop)


def test_a_command_whose_client_left_goes_on_beyond_the_window(pigeon: Pigeon, notes: Notes) -> None:
    """Nobody acknowledges what it writes any more, so it waits for nobody."""
    pigeon.worker()
    text = f"({notes.holding('kept')}); head -c {WINDOW_BYTES} /dev/zero"
    client, session = pigeon.begin("sh", "-c", text, options=("--keep", "-T"))
    notes.wait_started("kept")
    session.wait_event("started")
    client.signal(signal.SIGHUP)
    client.wait()
    notes.release("kept")
    assert session.wait_final(30)["exit_code"] == 0
    assert len(session.output()) >= WINDOW_BYTES


def test_a_removed_session_keeps_nobody_from_taking_others_over(pigeon: Pigeon, notes: Notes) -> None:
    """A session that waited here was removed: no share that fails, and no reason to leave other clients waiting."""
    worker = pigeon.worker(debug=True, host_timeout=2)
    raw.publish(pigeon, notes.holding("first"))
    notes.wait_started("first")
    removed = raw.publish(pigeon)
    wait_until(lambda: f"{removed.id}: waits for directory" in worker.log, describe="the wait")
    shutil.rmtree(removed.directory)
    wait_until(lambda: f"{removed.id}: claimed by another or withdrawn" in worker.log, describe="its loss")
    silent = raw.lay(pigeon)
    raw.claim(silent)
    raw.replace(silent.directory / "request.json", raw.dump(raw.a_request(silent.id, pigeon.work, "true")))
    raw.put_status(silent, "running")
    assert silent.wait_final(20)["ended_by"] == "takeover"
    notes.release("first")
    pigeon.wait_quiet()
    assert "share fails" not in worker.log


def test_two_workers_with_one_journal_watch_each_their_own(pigeon: Pigeon, notes: Notes) -> None:
    """The second has its slots for itself, and is stopped, even twice, without the first one's sessions."""
    pigeon.worker()
    client, _ = pigeon.begin(notes.holding("long"))
    notes.wait_started("long")
    second = pigeon.worker(
        max_jobs=1
    )  # it has looked for runners without a scheduler before its first heartbeat
    record = next(one for one in pigeon.namespace.workers() if one["worker_id"] == second.id)
    assert record["running"] == []
    assert second.stop() == 0
    assert client.running
    notes.release("long")
    assert client.wait().code == 0
