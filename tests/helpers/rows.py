"""Rows in a worker's journal whose runner has died before its claim."""

from __future__ import annotations

from tests.helpers import raw
from tests.helpers.crash import CrashPoint
from tests.helpers.evidence import journal_rows
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until


def wait_with_a_row(pigeon: Pigeon) -> tuple[Worker, Session]:
    """A worker that waits for a sign of life of a client that does not exist; its runner died before the claim."""
    crash = CrashPoint(pigeon.base / "crash", "os.link", "worker.claim")
    worker = pigeon.worker(env=crash.env, debug=True)
    session = raw.publish(pigeon, client={"version": "1", "features": ["heartbeat"]})
    wait_until(
        lambda: f"{session.id}: was claiming, runner dead" in worker.log, 30, "the death of the runner"
    )
    assert states_of(pigeon, session) == ["claiming"]
    return worker, session


def wait_until_forgotten(pigeon: Pigeon, session: Session, timeout_s: float = 30.0) -> None:
    """Until the journal has no row of the session."""
    wait_until(
        lambda: not states_of(pigeon, session), timeout_s, lambda: f"there are {states_of(pigeon, session)}"
    )


def states_of(pigeon: Pigeon, session: Session) -> list[str]:
    """The states of the session's rows."""
    found = journal_rows(pigeon.journal).get("sessions", [])
    return [str(row["state"]) for row in found if row["session_id"] == session.id]
