"""A journal that cannot be used for a while ends no worker: it says so once, tries on, and says when it works again.

One that is damaged ends it, with words and without a traceback.
"""

from __future__ import annotations

import fcntl
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
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

FAILS = "pigeon worker: the journal fails: "
WORKS = "pigeon worker: the journal works again\n"

HOLDS = """
    import sqlite3
    from tests.helpers.waiting import wait_until
    def hold():
        connection = sqlite3.connect(path, isolation_level=None, timeout=0)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE sessions SET epoch = epoch WHERE 0")
        connection.execute("COMMIT")  # what this mode has locked it keeps
        return connection
    def held():
        try:
            return hold()
        except sqlite3.OperationalError:
            return None
    connection = wait_until(held, 60, "a journal that nobody has open")
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


def remove(path: Path) -> None:
    """As somebody does who takes it for a left-over."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def is_free(path: Path) -> bool:
    """Whether a lock file is there that nobody holds now."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


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


def test_a_journal_that_is_removed_gets_its_session_back(pigeon: Pigeon, notes: Notes) -> None:
    """The share says whose the session is; the result is in the journal that lies there now before it is told."""
    worker = pigeon.worker()
    client, session = pigeon.begin(f"echo begun; ({notes.holding('a')}); exit 3")
    notes.wait_started("a")
    runner_of(pigeon, session)
    remove(pigeon.journal)
    notes.release("a")
    result = client.wait()
    assert (result.stdout, result.code) == (b"begun\n", 3)
    assert (session.state, session.events()[-1]) == ("failed", "exit")
    wait_until(lambda: (pigeon.journal_row(session.id) or {}).get("state") == "final", 10, "the row's end")
    row = pigeon.journal_row(session.id)
    assert row is not None
    assert (row["return_code"], row["outcome"], row["cwd"]) == (3, "failed", str(pigeon.work.resolve()))
    assert f"the journal had lost session {session.id}" in worker.log
    assert pigeon.run("true").code == 0


@pytest.mark.slow
def test_a_runner_that_dies_without_a_row_is_recovered(pigeon: Pigeon, notes: Notes) -> None:
    """Its worker lives, so nobody else may end the session, and the journal knows nothing of it."""
    worker = pigeon.worker(host_timeout=1)
    client, session = pigeon.begin(notes.holding("a"))
    notes.wait_started("a")
    runner = runner_of(pigeon, session)
    remove(pigeon.journal)
    os.kill(runner, signal.SIGKILL)
    status = session.wait_final(60)
    assert (status["ended_by"], status["exit_code"]) == ("recovery", 255)
    assert client.wait().code == 255
    assert "has no runner, and the journal had lost it" in worker.log
    pigeon.wait_quiet()  # what was left of the command is ended, too
    assert pigeon.run("true").code == 0
    assert pigeon.run("history", "--journal", str(pigeon.journal)).code == 0
    assert len(notes.starts("a")) == 1


@pytest.mark.slow
def test_who_waits_for_the_journal_lets_the_directory_go(pigeon: Pigeon) -> None:
    """Nothing is claimed yet: the session may be withdrawn, or run by another worker, and others want the directory."""
    worker = pigeon.worker(prefix=WITHOUT_OVERRIDE)
    end_standby(worker)
    forbid(pigeon.journal)
    client, session = pigeon.begin("echo ran")
    lock = pigeon.namespace.lock_path(pigeon.work.resolve())
    wait_until(lock.exists, 15, "the attempt")
    wait_until(lambda: is_free(lock), 30, "a free directory")
    assert session.claim is None
    wait_told(worker, FAILS)
    allow(pigeon.journal)
    assert client.wait(60).stdout == b"ran\n"


def test_too_few_descriptors_are_said_at_once(pigeon: Pigeon) -> None:
    child = pigeon.start_worker(prefix=("sh", "-c", 'ulimit -n 40; exec "$@"', "sh"))
    assert child.wait().code == 255
    assert b"may have no more than 40 files open, and needs 64" in child.out


def test_as_many_descriptors_as_it_asks_for_are_enough(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(prefix=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"))
    names = [str(number) for number in range(4)]
    clients = [pigeon.start(notes.holding(n), cwd=pigeon.directory(n)) for n in names]
    for name in names:
        notes.wait_started(name)
        notes.release(name)
    assert [client.wait().code for client in clients] == [0] * 4
    window = pigeon.spawn_tty("ulimit -n")
    window.wait_for("64")
    assert window.wait().code == 0
