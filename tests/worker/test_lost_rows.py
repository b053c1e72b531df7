"""A session of this worker's own whose journal row is lost gets a row again that says all that the first one did."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon import clock
from pigeon.journal.rows import Row
from pigeon.journal.store import Journal
from pigeon.wire import claim, directories, files
from pigeon.wire.documents import Request, Requester
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from pigeon.worker import identity
from pigeon.worker.debug import Debug
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.recovery import lost_rows, plan
from pigeon.worker.runner.journal_row import JournalRow

TOKEN = "a" * 32


class Place:
    """A share with one session that this worker has claimed, and a journal that knows nothing of it."""

    def __init__(self, base: Path) -> None:
        self.namespace = Namespace(str(base), "test")
        directories.make_directories(self.namespace.sessions)
        self.worker = Worker(
            "me-1", "me", 1, identity.boot_id(), self.namespace, str(base / "j.db"), "flock", 180.0, 1 << 30,
            1 << 20, (), Debug(enabled=False, environ={}),
        )  # fmt: skip
        self.session: SessionFiles = self.namespace.session(new_session_id())
        files.make_directory(self.session.directory)
        self.request = Request(self.session.session_id, ["make", "all"], "/place")
        self.request.requester = Requester("node7", 4711, "ann")
        self.request.pty = True
        files.create(self.session.claim, claim.worker_claim("me", 1, "me-1", TOKEN))

    @property
    def row(self) -> Row:
        """The claim's."""
        with Journal.open(self.worker.journal_path) as journal:
            row = journal.get(TOKEN)
        assert row is not None
        return row


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """As above."""
    return Place(tmp_path)


def test_it_says_who_asked_as_the_first_one_did(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    files.replace(place.session.request, place.request.encode("1"))
    assert lost_rows.restore(place.worker, place.session)
    lost = place.row
    assert (lost.requester_host, lost.requester_pid, lost.requester_user) == ("node7", 4711, "ann")
    assert (lost.command, lost.cwd, lost.terminal) == (["make", "all"], "/place", 1)
    assert lost.seen_at is not None
    assert abs(lost.seen_at - os.stat(place.session.claim).st_mtime) < 0.01

    with Journal.open(place.worker.journal_path) as journal:
        journal.raise_epoch(TOKEN, 1, lost.state)
        journal.advance(TOKEN, 2, to="final")
    os.unlink(place.worker.journal_path)
    monkeypatch.setattr("pigeon.worker.runner.journal_row.new_token", lambda: TOKEN)
    task = Assignment(place.session.session_id, place.request, lost.seen_at)
    ordinary = JournalRow(place.worker, task, None, lambda _: True)
    assert ordinary.begin("/proof")
    ordinary.close()
    born = {"runner_lock", "runner_pid", "runner_start", "state", "lock_wait_s", "slot_wait_s"}
    for name in {*vars(lost)} - born:
        assert getattr(lost, name) == getattr(place.row, name), name


def test_it_is_that_of_a_dead_runner_that_may_have_started_the_command(place: Place) -> None:
    assert lost_rows.restore(place.worker, place.session)
    row = place.row
    assert (row.state, row.session_id) == ("starting", place.session.session_id)
    assert plan.is_dead(place.worker.proof_directory, row)


def test_a_row_that_has_its_end_is_left(place: Place) -> None:
    assert lost_rows.restore(place.worker, place.session)
    with Journal.open(place.worker.journal_path) as journal:
        assert journal.advance(TOKEN, 1, to="final", final_at=clock.wall())
    before = place.row
    assert not lost_rows.restore(place.worker, place.session)
    assert place.row == before
