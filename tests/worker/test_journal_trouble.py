"""A step waits for a busy database and a full disk, and says so; bookkeeping waits for nobody."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import queries, writing
from pigeon.journal.connection import JournalUnavailable
from pigeon.journal.queries import Filter
from pigeon.journal.store import Journal
from tests.helpers.journals import advance_to, child, integrity, row, run
from tests.helpers.privileges import mount_small, needs_root, unmount


def holder_of(path: Path) -> sqlite3.Connection:
    """Another program, in the middle of a transaction."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    return holder


def test_a_step_waits_for_a_busy_database_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_STEP_BUSY_MS", 50)
    Journal.open(str(path)).close()
    holder = holder_of(path)
    told: list[str] = []

    def on_trouble(text: str) -> None:
        told.append(text)
        if len(told) % 3 == 0:
            holder.execute("COMMIT")

    with Journal.open(str(path), on_trouble=on_trouble) as journal:
        journal.begin_claim(row("a"))
        for to in ("claimed", "starting"):
            holder.execute("BEGIN IMMEDIATE")
            assert journal.advance("a", 1, to=to)
        holder.execute("BEGIN IMMEDIATE")
        assert journal.raise_epoch("a", 1, "starting")
        journal.begin_claim(row("b"))
        holder.execute("BEGIN IMMEDIATE")
        assert journal.forget("b", 1)
    holder.close()
    assert len(told) == 15
    assert all(str(path) in text and "locked" in text for text in told)


def test_what_the_callback_raises_ends_the_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_STEP_BUSY_MS", 20)
    Journal.open(str(path)).close()
    holder = holder_of(path)

    def on_trouble(text: str) -> None:
        raise TimeoutError(text)

    with Journal.open(str(path), on_trouble=on_trouble) as journal:
        with pytest.raises(TimeoutError):
            journal.begin_claim(row("a"))
        holder.close()
        assert journal.get("a") is None
        journal.begin_claim(row("a"))


def test_bookkeeping_waits_for_nobody(path: Path, journal: Journal) -> None:
    advance_to(journal, "a", "running")
    holder = holder_of(path)
    began = clock.monotonic()
    journal.event("s", "resized")
    journal.begin_wait("s", "w", "slot", None, 1.0)
    journal.end_wait("s", "w", "slot", 1.0)
    assert journal.prune(0.0) == 0
    assert clock.monotonic() - began < 10  # eight tries of 0.1 s; far from the 30 s of a reader
    holder.close()
    journal.event("s", "resumed")
    assert [event.event for event in queries.events_of(journal.connection, "s")] == ["resumed"]


@needs_root
def test_a_step_waits_for_a_full_disk(tmp_path: Path) -> None:
    mount_small(tmp_path, "700k")
    try:
        ballast = tmp_path / "ballast"
        told: list[str] = []

        def on_trouble(text: str) -> None:
            told.append(text)
            if len(told) % 2 == 0:
                ballast.unlink(missing_ok=True)

        path = str(tmp_path / "pigeon.db")
        with Journal.open(path) as journal:
            journal.begin_claim(row("old"))
        fill(ballast)
        with Journal.open(path, on_trouble=on_trouble, patient=True) as journal:
            journal.event("s", "lost")
            journal.begin_claim(row("a", error="x" * 20000))
            assert len(told) == 2
            assert "full" in told[0]
            fill(ballast)
            assert journal.advance("a", 1, to="claimed", durable=True, error="y" * 40000)
            assert len(told) == 4
            fill(ballast)
            journal.event("s", "lost", error="z" * 80000)
            found = journal.get("a")
            assert found is not None
            assert found.error == "y" * 40000
            ballast.unlink()
        assert integrity(Path(path)) == "ok"
    finally:
        unmount(tmp_path)


def fill(path: Path) -> None:
    """Until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_a_step_waits_until_writing_works_again(path: Path) -> None:
    """A file that may not grow: the kernel refuses the write itself, and the step goes on once it is allowed."""
    code = """
        import resource
        told = []
        def on_trouble(text):
            told.append(text)
            if len(told) == 2:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Journal.open(path, on_trouble=on_trouble) as journal:
            journal.begin_claim(row("a"))
            size = os.path.getsize(path + "-wal")
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            say(journal.advance("a", 1, to="claimed", error="x" * 50000))
        say(len(told))
    """
    assert run(code, path) == "True\n2\n"
    assert integrity(path) == "ok"


def test_what_still_writes_to_a_removed_journal_does_not_harm_the_next(path: Path) -> None:
    old = Journal.open(str(path))
    old.begin_claim(row("a"))
    path.unlink()
    with Journal.open(str(path)) as journal:
        journal.begin_claim(row("b"))
        old.begin_claim(row("c"))
        old.close()
        journal.begin_claim(row("d"))
        assert os.path.exists(f"{path}-wal")
    with Journal.open(str(path)) as journal:
        assert [found.claim_token for found in queries.select(journal.connection, Filter())] == ["b", "d"]
    assert integrity(path) == "ok"


def test_a_damaged_journal_is_not_waited_for(path: Path) -> None:
    with Journal.open(str(path)) as journal:
        for number in range(300):
            journal.begin_claim(row(f"{number:032x}", error="x" * 400))
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = path.read_bytes()
    path.write_bytes(data[: 16 * 4096] + b"\xaa" * (len(data) - 16 * 4096))
    with Journal.open(str(path)) as journal, pytest.raises(JournalError, match="damaged") as caught:
        for number in range(300):
            journal.advance(f"{number:032x}", 1, to="claimed")
    assert not isinstance(caught.value, JournalUnavailable)


def test_a_stopped_writer_holds_nobody_up_for_long(path: Path, journal: Journal) -> None:
    """A process that was stopped inside a transaction and killed later: the step waits, then works."""
    code = """
        journal = Journal.open(path)
        journal.connection.execute("BEGIN IMMEDIATE")
        say("holds")
        os.kill(os.getpid(), signal.SIGSTOP)
    """
    with child(code, path) as process:
        assert process.line() == "holds"
        told: list[str] = []

        def on_trouble(text: str) -> None:
            told.append(text)
            os.kill(process.pid, signal.SIGKILL)

        with Journal.open(str(path), on_trouble=on_trouble) as waiting:
            waiting.begin_claim(row("a"))
        assert told
        process.died()
    assert journal.get("a") is not None
