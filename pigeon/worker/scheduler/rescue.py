"""What one scheduler does about the sessions of its journal whose runner died: finds them, and starts what is decided.

plan.py decides and ending.py carries an end out; here is the scheduler's side of it. Promises never to touch
a session whose runner lives or may live, nor one that this scheduler is at work on. What is left undone is found again
at the next look.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from pigeon import clock
from pigeon.journal import states as journal_states
from pigeon.journal.rows import Row
from pigeon.journal.store import Journal
from pigeon.wire import files, states
from pigeon.wire.documents import Request
from pigeon.wire.names import is_component
from pigeon.wire.worker_file import read_worker_file
from pigeon.worker import identity
from pigeon.worker.guard import Guard
from pigeon.worker.handover import Worker
from pigeon.worker.recovery import ending, plan
from pigeon.worker.recovery.plan import Recovery
from pigeon.worker.requests import Unpublished, read_request
from pigeon.worker.scheduler.agenda import Agenda
from pigeon.worker.scheduler.deaths import Deaths
from pigeon.worker.scheduler.forks import Forks
from pigeon.worker.scheduler.other_hands import WITHDRAWN_S, OtherHands
from pigeon.worker.scheduler.runners import Runners
from pigeon.worker.scheduler.sessions import (
    OWNED,
    Adopted,
    Candidate,
    Ending,
    Orphan,
    Running,
    Sessions,
    Tried,
    Waiting,
)
from pigeon.worker.scheduler.waiting_clients import is_judged


class Rescue:
    """One scheduler's. `deaths`: those that it has seen, which say whether a session may be started once more."""

    def __init__(
        self,
        worker: Worker,
        sessions: Sessions,
        runners: Runners,
        agenda: Agenda,
        deaths: Deaths,
        other_hands: OtherHands,
    ) -> None:
        self._worker = worker
        self._sessions = sessions
        self._runners = runners
        self._agenda = agenda
        self._deaths = deaths
        self._other_hands = other_hands
        self._guard = Guard("the journal's row of")
        self._said_by_others: dict[str, bytes] = {}
        """What other workers' files held at the last look."""

    def look(self) -> list[Row]:
        """Adopt runners that live without a scheduler. The rows of dead ones that nobody is at work on.

        Raises:
            JournalError: the journal cannot be read.
            OSError: the workers' files cannot be listed.
        """
        worker, sessions = self._worker, self._sessions
        mine = self._runners.tokens() | {one.row.claim_token for one in sessions.candidates() if one.row}
        # The journal is closed before anything is forked: it must not be carried across (store.py).
        with Journal.open(worker.journal_path, brief=True) as journal:
            dead, alive = plan.unfinished(journal, worker, mine)
        for session_id in sessions.of(Orphan).keys() - {row.session_id for row in (*dead, *alive)}:
            sessions.put(session_id, OWNED)  # its row was closed, or forgotten
        for row in alive:
            if not self._is_at_work(row) and not _has_scheduler(worker, row, self._said_by_others):
                candidate = sessions.candidate_of(row.session_id)
                sessions.put(row.session_id, Adopted(row, clock.monotonic(), candidate))
                worker.debug.say("queue", f"{row.session_id}: its runner lives; watched again")
        # One of this scheduler's own has only just died, or has just been forked: the next turn will tell.
        settled = self._runners.settled({row.claim_token for row in (*dead, *alive)})
        found = [row for row in dead if not self._is_at_work(row)]
        for session_id in settled:
            self._leave_adopted(session_id)
        return found

    def recover(self, rows: list[Row], forks: Forks) -> None:
        """Have these sessions tried once more, or give them an end. Raises OSError: no process is left."""
        for row in rows:
            self._guard.run(row.session_id, lambda row=row: self._recover_one(row, forks))  # type: ignore[misc]

    def watch_adopted(self) -> None:
        """Let go of sessions whose adopted runner has died."""
        for session_id in self._runners.dead():
            self._agenda.put_now("recover")
            self._leave_adopted(session_id)

    def refuse(self, candidate: Candidate, why: str = "") -> None:
        """It has cost too many runners their life: it is only ended."""
        deaths = self._deaths.of(candidate.session_id)
        candidate.refusal = (states.FAILED, f"it could not be started in {deaths} attempts{why}")

    def tell_net_to_move(self) -> None:
        """The worker stops: who lends the network from here lets its peers go elsewhere, and ends within a minute."""
        for session_id in self._runners.net_sessions():
            identity.send(identity.processes_of(session_id, None), signal.SIGUSR1)

    def _is_at_work(self, row: Row) -> bool:
        return isinstance(self._sessions.get(row.session_id), Running | Ending | Adopted)

    def _leave_adopted(self, session_id: str) -> None:
        """Its adopted runner is at work no more."""
        self._agenda.put_now("decide")
        candidate = self._sessions.of(Adopted)[session_id].candidate
        if candidate is None:
            self._sessions.put(session_id, OWNED)  # final by now, or soon
        else:
            candidate.looked_at = 0.0  # claimed, or not: that is looked at before it is tried
            retry_at = clock.monotonic() + WITHDRAWN_S
            self._sessions.put(session_id, Tried(candidate, retry_at, held_elsewhere=False))

    def _recover_one(self, row: Row, forks: Forks) -> None:
        session_id = row.session_id
        may_start = not self._deaths.are_many(session_id)
        try:
            decision = _decide(self._worker, row, may_start=may_start)
            again = _wait_again(self._worker, row) if decision in plan.TRIED_AGAIN else None
        except OSError:
            self._agenda.put("recover", clock.monotonic() + 1.0)  # it cannot be said now
            return
        if again is not None:
            if not may_start:
                self.refuse(again)
            pause_s = self._deaths.pause_s(session_id)
            retry_at = clock.monotonic() + pause_s
            self._sessions.put(session_id, Tried(again, retry_at, False) if pause_s else Waiting(again))
            self._agenda.put_now("decide")
            return
        candidate = self._sessions.candidate_of(session_id)
        if candidate is not None:
            self._other_hands.drop(candidate, "taken up from the journal")
        self._sessions.put(session_id, _begin_end(self._worker, forks, row, decision))


def _has_scheduler(worker: Worker, row: Row, said: dict[str, bytes]) -> bool:
    """Whether another living worker with this journal forked the runner, and so watches it.

    Of a runner in another pid namespace only its worker's file tells, by changing between two looks.

    A runner whose scheduler died has another parent, which is no worker. Raises OSError: it cannot be said now.
    """
    if row.boot_id != worker.boot and row.worker_id and is_component(row.worker_id):
        document = read_worker_file(worker.namespace, row.worker_id)
        before, said[row.worker_id] = said.get(row.worker_id), document
        return bool(document) and before != document
    parent = identity.parent_of(row.runner_pid) if row.runner_pid and row.boot_id == worker.boot else None
    if parent is None or parent == os.getpid():
        return False
    return f"{worker.host}-{parent}.json" in files.list_names(worker.namespace.workers)


def _decide(worker: Worker, row: Row, *, may_start: bool) -> Recovery:
    """What to do with the session of a dead runner. `may_start`: it has not cost too many their life already.

    Raises:
        OSError: it cannot be said now. The row stays, and the next look finds it again.
    """
    facts = plan.look(worker.namespace.session(row.session_id), row)
    decision = plan.decide(row.state, replace(facts, is_startable=facts.is_startable and may_start))
    worker.debug.say("failure", f"{row.session_id}: was {row.state}, runner dead: {decision.value}")
    return decision


def _wait_again(worker: Worker, row: Row) -> Candidate:
    """The session, to wait for its turn once more (plan.TRIED_AGAIN).

    It comes back as needing a sign of life: hours may have passed since it was claimed. Raises OSError as `_decide`.
    """
    try:
        request, problem = read_request(worker.namespace.session(row.session_id))
    except Unpublished:
        request, problem = Request(row.session_id, ["-"], row.cwd or "/"), "its request.json is gone"
    refusal = (states.FAILED, problem) if problem else None
    candidate = Candidate(row.session_id, request, clock.wall(), clock.monotonic(), refusal=refusal, row=row)
    # What another worker runs is only watched: that is no matter of its client's.
    candidate.needs_sign_of_life = is_judged(candidate) and row.state != journal_states.LAUNCHED
    return candidate


def _begin_end(worker: Worker, forks: Forks, row: Row, decision: Recovery) -> Ending:
    """Fork the process that gives the session its end, or forgets the row.

    Raises:
        OSError: no process or descriptor is left now.
    """
    work = ending.forget if decision is Recovery.FORGET else ending.end
    return Ending(row, forks.fork(lambda _: work(worker, row)))
