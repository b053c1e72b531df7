"""The runner that a worker forks ahead: nobody notices that it is there, whatever happens to it or to its worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.processes import is_standby, marked
from tests.helpers.waiting import wait_until


def standby_of(pigeon: Pigeon, worker: Worker) -> int:
    """Its pid, as soon as there is one."""

    def find() -> int | None:
        return next((pid for pid in marked(pigeon.mark) if is_standby(pid, {worker.pid})), None)

    pid = wait_until(find, 10, "the standby")
    assert pid is not None
    return pid


def test_it_runs_the_next_command_and_is_replaced(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    first = standby_of(pigeon, worker)
    assert pigeon.run("true").code == 0
    row = pigeon.journal_row(pigeon.sessions()[0].id)
    assert row is not None and row["runner_pid"] == first
    assert standby_of(pigeon, worker) != first


def test_one_that_was_killed_is_not_missed(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    os.kill(standby_of(pigeon, worker), signal.SIGKILL)
    assert pigeon.run("echo done").stdout == b"done\n"


def test_it_ends_with_its_worker(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    standby = standby_of(pigeon, worker)
    worker.kill()
    wait_until(lambda: standby not in marked(pigeon.mark), 20, "the end of the standby")


def test_one_that_was_stopped_with_a_task_asks_whether_it_may_still_run(pigeon: Pigeon) -> None:
    """For longer than a few seconds: meanwhile its client may have died, which only the scheduler looks at."""
    notes = Notes(pigeon.base / "notes")
    worker = pigeon.worker()
    standby = standby_of(pigeon, worker)
    os.kill(standby, signal.SIGSTOP)
    client = pigeon.start(notes.text("it"))
    wait_until(lambda: any(one["running"] for one in pigeon.namespace.workers()), 20, "the task")
    client.signal(signal.SIGKILL)
    client.wait(10)
    session = pigeon.sessions()[0]
    before = os.times().elapsed
    wait_until(lambda: os.times().elapsed - before > 6, 10, "what counts as late")
    os.kill(standby, signal.SIGCONT)
    assert session.wait_final(40)["state"] == "cancelled"
    assert notes.starts("it") == []


def test_an_order_to_stop_reaches_it_before_it_has_begun(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    standby = standby_of(pigeon, worker)
    os.kill(standby, signal.SIGSTOP)
    client = pigeon.start("sleep 1000")
    wait_until(
        lambda: any(worker_file["running"] for worker_file in pigeon.namespace.workers()), 10, "the task"
    )
    for answer in ("taking no new sessions", "hanging up"):
        worker.signal(signal.SIGTERM)
        wait_until(lambda text=answer: text in worker.log, 10, answer)  # type: ignore[misc]
    os.kill(standby, signal.SIGCONT)
    assert worker.wait(10) == 0
    session = pigeon.sessions()[0]
    assert session.state == "pending", "nobody has claimed it: it is another worker's"
    client.signal(signal.SIGTERM)
    client.wait(10)


def test_a_worker_without_stdout_and_stderr(pigeon: Pigeon) -> None:
    pigeon.worker(prefix=("bash", "-c", 'exec "$@" >&- 2>&- <&-', "-"))
    for _ in range(3):
        assert pigeon.run("echo done").stdout == b"done\n"


def test_what_keeps_runners_from_starting_is_told_once(pigeon: Pigeon) -> None:
    """Here a file comes to lie where their proofs of life belong; a worker would not have started with it."""
    proofs = Path(f"{pigeon.journal}.runners")
    worker = pigeon.worker()
    assert pigeon.run("true").code == 0
    proofs.rename(f"{proofs}.old")
    proofs.write_text("in the way")
    client = pigeon.start("echo done")
    wait_until(lambda: "proof of life" in worker.log, 10, "the reason")
    proofs.unlink()
    assert client.wait(20).code == 0
    assert worker.log.count("proof of life") == 1
    assert "Traceback" not in worker.log
