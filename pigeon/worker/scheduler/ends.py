"""What one scheduler does when a process that it forked for a session has ended: by the table of exits.py.

Owns the session's next state, when recovery and the others look again, and why a session has to be tried again.
"""

from __future__ import annotations

from pigeon.errors import JournalError
from pigeon.worker.debug import tell
from pigeon.worker.handover import Worker
from pigeon.worker.scheduler import exits
from pigeon.worker.scheduler.agenda import Agenda
from pigeon.worker.scheduler.deaths import Deaths, how_died
from pigeon.worker.scheduler.exits import Look
from pigeon.worker.scheduler.other_hands import OtherHands
from pigeon.worker.scheduler.rescue import Rescue
from pigeon.worker.scheduler.retention import NET_KEEP_S
from pigeon.worker.scheduler.sessions import IGNORED, Ending, Final, Running, Sessions, Tried

HELD_BY_NOBODY = "its directory is locked by a process that no worker has started"


class Ends:
    """One scheduler's."""

    def __init__(
        self,
        worker: Worker,
        sessions: Sessions,
        agenda: Agenda,
        deaths: Deaths,
        other_hands: OtherHands,
        rescue: Rescue,
    ) -> None:
        self._worker = worker
        self._sessions = sessions
        self._agenda = agenda
        self._deaths = deaths
        self._other_hands = other_hands
        self._rescue = rescue

    def ended(self, session_id: str, state: Running | Ending, code: int, said: str, now: float) -> None:
        """The process has ended with `code`, which is minus a signal's number where one killed it.

        `said`: the reason that it gave itself, or "". `now`: monotonic seconds.

        Raises:
            JournalError: it has found that the journal cannot be used any more.
        """
        self._agenda.put_now("decide")
        move = exits.after(exits.kind_of(state), code)
        if move.ends_worker:
            raise JournalError(
                "the journal cannot be used any more, as a runner has found",
                hint="`pigeon history` tells what is wrong with it; a worker that is started looks at it first",
            )
        if move.is_told:
            tell(f"pigeon worker: the runner of {session_id} died ({how_died(code)})")
            self._worker.debug.say("failure", f"{session_id}: its runner died ({how_died(code)})")
        if move.is_death:
            self._deaths.add(session_id)
        pause_s = self._deaths.pause_s(session_id)
        if move.look is not Look.AS_EVER:
            # Now means in this very turn: recovery has its look before anything is tried again.
            at = 0.0 if move.look is Look.NOW else now + pause_s
            self._agenda.put_before("recover", at)
        after = exits.state_after(move.to, state, now, pause_s if move.is_death else None)
        self._sessions.put(session_id, after)
        if isinstance(after, Final):
            self._deaths.forget(session_id)
            if after.is_brief:
                self._agenda.put_before("sweep", now + NET_KEEP_S)
        if isinstance(after, Tried):
            self._say_why(after, move.is_death, said, code)
        elif isinstance(state, Running) and state.is_retry:
            self._other_hands.end_wait(state.candidate)

    def _say_why(self, tried: Tried, is_death: bool, said: str, code: int) -> None:
        """Why it has to be tried again; or to be ended, if that has cost too many runners their life."""
        candidate = tried.candidate
        if not is_death:
            candidate.stuck = said or (HELD_BY_NOBODY if tried.held_elsewhere else "")
            return
        candidate.stuck = said or f"its runner died ({how_died(code)})"
        if self._deaths.are_hopeless(candidate.session_id):
            tell(f"pigeon worker: session {candidate.session_id} is left alone: not even its end can be told")
            self._sessions.put(candidate.session_id, IGNORED)
            self._deaths.give_up(candidate.session_id, candidate.stuck)
        elif self._deaths.are_many(candidate.session_id):
            self._rescue.refuse(candidate, f": {candidate.stuck}")
