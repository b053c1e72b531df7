"""Sessions that wait here and come into other hands: claimed by another worker, withdrawn, removed.

Owns how often each is looked at. What the share does not say now is looked at again.
"""

from __future__ import annotations

from pigeon import clock
from pigeon.journal.rows import Row
from pigeon.wire import files
from pigeon.wire.names import CLAIM_NAME
from pigeon.worker.handover import Worker
from pigeon.worker.recovery import plan
from pigeon.worker.scheduler.agenda import Agenda
from pigeon.worker.scheduler.sessions import OWNED, Candidate, Sessions
from pigeon.worker.scheduler.wait_records import WaitRecorder

WITHDRAWN_S = 5.0
"""Between two looks whether a waiting session has been claimed by another or withdrawn."""


class OtherHands:
    """What one scheduler loses to others."""

    def __init__(self, worker: Worker, sessions: Sessions, agenda: Agenda, recorder: WaitRecorder) -> None:
        self._worker = worker
        self._sessions = sessions
        self._agenda = agenda
        self._recorder = recorder

    def look(self, candidate: Candidate, now: float) -> None:
        """Let go of it if it is another's by now. Raises JournalError."""
        if candidate.row is not None:
            self._drop_if_lost(candidate, candidate.row)
        elif now - candidate.seen > WITHDRAWN_S:
            self._drop_if_claimed(candidate, now)

    def drop(self, candidate: Candidate, why: str) -> None:
        """It does not wait here any more: it is in other hands. Raises JournalError."""
        self.end_wait(candidate)
        self._sessions.put(candidate.session_id, OWNED)
        self._agenda.put_now("decide")
        self._worker.debug.say("queue", f"{candidate.session_id}: {why}")

    def end_wait(self, candidate: Candidate) -> None:
        """It waits for nothing any more. Raises JournalError."""
        candidate.wait_for(None, None, clock.monotonic())
        self._recorder.close(candidate)

    def _drop_if_claimed(self, candidate: Candidate, now: float) -> None:
        if now - candidate.looked_at < WITHDRAWN_S:
            return
        candidate.looked_at = now
        directory = self._worker.namespace.session(candidate.session_id).directory
        try:
            names = files.list_names(directory)
        except FileNotFoundError:
            names = [CLAIM_NAME]  # the session has been removed
        except OSError:
            return
        if CLAIM_NAME in names:
            self.drop(candidate, "claimed by another or withdrawn")

    def _drop_if_lost(self, candidate: Candidate, row: Row) -> None:
        """A session whose dead runner had not claimed it may be claimed by another worker at any time."""
        try:
            is_lost = plan.is_lost(self._worker.namespace.session(row.session_id), row)
        except OSError:
            return
        if is_lost:
            self.drop(candidate, "claimed by another, or removed")
            self._agenda.put_now("recover")  # which forgets the row
