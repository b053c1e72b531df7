"""Giving an end to a dead runner's session: only by its owner, and never against another's right to end it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon.journal.rows import Row
from pigeon.journal.store import Journal
from pigeon.wire import directories, events, files
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from pigeon.wire.reading import known_status
from pigeon.wire.states import Status
from pigeon.worker import identity
from pigeon.worker.debug import Debug
from pigeon.worker.handover import RunnerExit, Worker
from pigeon.worker.proof import ProofOfLife
from pigeon.worker.recovery import ending, plan
from tests.helpers.journals import STATES, set_columns


class Place:
    """A worker with its journal, and one claimed session whose runner is dead."""

    def __init__(self, base: Path, state: str) -> None:
        self.namespace = Namespace(str(base), "test")
        directories.make_directories(self.namespace.sessions)
        directories.make_directories(self.namespace.locks)
        self.session: SessionFiles = self.namespace.session(new_session_id())
        files.make_directory(self.session.directory)
        files.create(self.session.stream)
        files.make_directory(str(base / "j.db.runners"))
        files.create(str(base / "j.db.runners" / "t.1.99.alive"))
        files.create(self.session.claim, b"worker_id=me-1\n")
        self.publish("running")
        self.worker = Worker(
            "me-1", "me", 1, identity.boot_id(), self.namespace, str(base / "j.db"), "flock", 180.0, 1 << 30,
            1 << 20, (), Debug(enabled=False, environ={}),
        )  # fmt: skip
        with Journal.open(self.worker.journal_path) as journal:
            journal.begin_claim(
                {
                    "claim_token": "t",
                    "session_id": self.session.session_id,
                    "cache": str(base),
                    "namespace": "test",
                    "cwd": "/place",
                    "lock_mode": "cwd",
                    "boot_id": self.worker.boot,
                    "runner_lock": str(base / "j.db.runners" / "t.1.99.alive"),  # which nobody holds
                }
            )
        for to in STATES[1 : STATES.index(state) + 1]:
            self.step(to)

    def step(self, to: str) -> None:
        """What the runner did while it lived."""
        with Journal.open(self.worker.journal_path) as journal:
            assert journal.advance("t", 1, to=to, return_code=7 if to == "exited" else None)

    @property
    def row(self) -> Row:
        """As the journal has it now."""
        with Journal.open(self.worker.journal_path) as journal:
            row = journal.get("t")
        assert row is not None
        return row

    def publish(self, state: str) -> None:
        """Replace the status."""
        files.replace(self.session.status, Status(self.session.session_id, state, created_at="x").encode())

    @property
    def status(self) -> Status:
        """As the share has it now."""
        found = known_status(self.session)
        assert found is not None
        return found

    def end(self, row: Row) -> int:
        """Recover it, as it was seen."""
        return ending.end(self.worker, row)


@pytest.mark.parametrize(("state", "code"), [("starting", 255), ("running", 255), ("exited", 7)])
def test_an_end_and_its_row(tmp_path: Path, state: str, code: int) -> None:
    place = Place(tmp_path, state)
    assert place.end(place.row) == RunnerExit.DONE
    assert (place.status.state, place.status.exit_code) == ("failed", code)
    assert place.status.ended_by == "recovery"
    row = place.row
    assert (row.state, row.epoch, row.exit_code, row.ended_by) == ("final", 2, code, "recovery")
    assert os.listdir(place.worker.proof_directory) == []


def test_of_two_who_saw_the_same_row_one_ends_it(tmp_path: Path) -> None:
    place = Place(tmp_path, "running")
    seen = place.row
    assert place.end(seen) == RunnerExit.DONE
    place.publish("running")  # to see whether anything is written
    assert place.end(seen) == RunnerExit.SUPERSEDED
    assert place.status.state == "running"


def test_a_row_that_went_on_after_it_was_seen(tmp_path: Path) -> None:
    """Else a command that had ended well would be told as lost."""
    place = Place(tmp_path, "running")
    seen = place.row
    place.step("exited")
    assert place.end(seen) == RunnerExit.SUPERSEDED
    assert place.status.state == "running"
    assert place.end(place.row) == RunnerExit.DONE
    assert place.status.exit_code == 7


def test_who_recovers_lives_as_long_as_the_row_names_him(tmp_path: Path) -> None:
    place = Place(tmp_path, "running")
    proof = ProofOfLife(place.worker.proof_directory, "t.2")
    assert plan.is_dead(place.worker.proof_directory, place.row)
    with Journal.open(place.worker.journal_path) as journal:
        assert ending.take(journal, place.worker, place.row, proof)
    assert not plan.is_dead(place.worker.proof_directory, place.row)
    os.close(proof.descriptor)  # as by his death
    assert plan.is_dead(place.worker.proof_directory, place.row)
    assert place.end(place.row) == RunnerExit.DONE
    assert place.row.epoch == 3


def test_a_command_of_another_boot_is_forgotten(tmp_path: Path) -> None:
    place = Place(tmp_path, "running")
    set_columns(
        place.worker.journal_path, "t", boot_id="another/boot", command_pid=os.getpid(), command_start=1
    )
    proof = ProofOfLife(place.worker.proof_directory, "t.2")
    with Journal.open(place.worker.journal_path) as journal:
        assert ending.take(journal, place.worker, place.row, proof)
    proof.remove()
    row = place.row
    assert (row.boot_id, row.command_pid, row.command_start) == (place.worker.boot, None, None)


@pytest.mark.parametrize("has_exit", [False, True])
@pytest.mark.parametrize("state", ["running", "exited"])
def test_a_takeover_that_was_not_finished(tmp_path: Path, state: str, has_exit: bool) -> None:
    """Whoever made takeover.claim may be dead, or come at any moment: both say the same."""
    place = Place(tmp_path, state)
    files.create(place.session.takeover, b"taken_over_by=one that died\n")
    if has_exit:
        files.replace(place.session.stream, events.exited(7, 7))
    assert place.end(place.row) == RunnerExit.DONE
    assert (place.status.state, place.status.exit_code) == ("failed", 7 if has_exit else 255)
    assert place.status.ended_by == "takeover"
    assert place.row.ended_by == "takeover"


def test_the_end_that_the_owner_published_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, "exited")
    place.publish("cancelled")
    assert place.end(place.row) == RunnerExit.DONE
    assert place.status.state == "cancelled"
    assert (place.row.state, place.row.outcome) == ("final", "cancelled")
