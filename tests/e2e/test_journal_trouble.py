"""A journal that cannot be used for a while ends no worker: it says so once, tries on, and says when it works again.

One that is damaged ends it, with words and without a traceback.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.evidence import journal_rows
from tests.helpers.journals import child
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.privileges import WITHOUT_OVERRIDE
from tests.helpers.processes import children_of, is_standby
from tests.helpers.waiting import wait_until

FAILS = "pigeon worker: the journal fails: "
WORKS = "pigeon worker: the journal works again\n"

HOLDS = """
    import sqlite3, time
    def hold():
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE sessions SET epoch = epoch WHERE 0")
        connection.execute("COMMIT")  # what this mode has locked it keeps
        return connection
    while True:
        try:
            connection = hold()
            break
        except sqlite3.OperationalError:
            time.sleep(0.01)
    say("holds")
    wait()
"""
"""Another program that lets nobody even read, as soon as no process of pigeon has the journal open."""


def forbid(path: Path) -> None:
    """Nobody may open the journal from now on; those that have it open go on."""
    path.chmod(0)


def allow(path: Path) -> None:
    """As it was."""
    path.chmod(0o600)


def wait_told(worker: Worker, text: str, timeout_s: float = 30.0) -> None:
    """Until the worker has said so, and still runs."""
    wait_until(lambda: text in worker.log or not worker.child.running, timeout_s, f"the words `{text}`")
    assert worker.child.running, worker.child.tell()


def waits_of(pigeon: Pigeon) -> list[dict[str, object]]:
    """What the journal has of sessions that waited."""
    return journal_rows(pigeon.journal)["waits"]


def end_standby(worker: Worker) -> None:
    """It has the journal open. The worker makes another, not at once."""

    def find() -> list[int]:
        return [pid for pid in children_of(worker.pid) if is_standby(pid, [worker.pid])]

    for pid in wait_until(find, 10, "the standby"):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_journal_that_may_not_be_opened_is_waited_for(pigeon: Pigeon, notes: Notes) -> None:
    """Met by the record of waits first, then by the runner that ends; the wait's own end is written later."""
    worker = pigeon.worker(max_jobs=1, prefix=WITHOUT_OVERRIDE)
    first = pigeon.start(notes.holding("a"))
    notes.wait_started("a")
    second, _ = pigeon.begin(notes.text("b"))
    wait_until(lambda: waits_of(pigeon), 10, "the record of a wait")
    forbid(pigeon.journal)
    third, _ = pigeon.begin(notes.text("c"))
    wait_told(worker, FAILS)
    notes.release("a")
    allow(pigeon.journal)
    wait_told(worker, WORKS)
    for client in (first, second, third):
        assert client.wait().code == 0
    assert worker.log.count(FAILS) == worker.log.count(WORKS) == 1
    wait_until(lambda: all(row["waited_s"] is not None for row in waits_of(pigeon)), 10, "the waits' ends")
    assert [row["state"] for row in journal_rows(pigeon.journal)["sessions"]] == ["final"] * 3


@pytest.mark.slow
def test_a_runner_that_died_meanwhile_is_recovered_when_the_journal_works(
    pigeon: Pigeon, notes: Notes
) -> None:
    worker = pigeon.worker(prefix=WITHOUT_OVERRIDE)
    client, session = pigeon.begin(notes.holding("a"))
    notes.wait_started("a")
    (runner,) = (row["runner_pid"] for row in journal_rows(pigeon.journal)["sessions"])
    assert isinstance(runner, int)
    forbid(pigeon.journal)
    os.kill(runner, signal.SIGKILL)
    wait_told(worker, FAILS)
    allow(pigeon.journal)
    wait_told(worker, WORKS)
    assert session.wait_final()["ended_by"] == "recovery"
    assert client.wait().code == 255
    assert worker.log.count(FAILS) == worker.log.count(WORKS) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_journal_that_another_program_holds_is_waited_for(pigeon: Pigeon) -> None:
    """Longer than SQLite itself waits."""
    worker = pigeon.worker()
    end_standby(worker)
    with child(HOLDS, pigeon.journal) as holder:
        assert holder.line() == "holds"
        wait_told(worker, FAILS, 100)
        holder.finish()
    wait_told(worker, WORKS, 60)
    assert "is held by another process" in worker.log
    assert pigeon.run("true").code == 0


@pytest.mark.slow
def test_a_damaged_journal_ends_the_worker(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    assert pigeon.run("true").code == 0
    with pigeon.journal.open("r+b") as file:
        file.write(b"no database any more" * 200)
    assert worker.wait(30) == 255
    assert f"pigeon: the journal `{pigeon.journal}` " in worker.log
    assert FAILS not in worker.log
