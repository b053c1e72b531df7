"""What one scheduler does about the sessions of its journal whose runner died: finds them, and starts what is decided.

plan.py decides and ending.py carries an end out; here is the scheduler's side of it. Promises never to touch
a session whose runner lives or may live, nor one that this scheduler is at work on. It keeps nothing: what is left
undone is found again at the next look.
"""

from __future__ import annotations

import os
import signal
from dataclasses import replace

from pigeon import clock
from pigeon.journal.queries import Row
from pigeon.journal.store import Journal
from pigeon.wire import files, states
from pigeon.wire.documents import Request
from pigeon.wire.names import is_component
from pigeon.wire.worker_file import read_worker_file
from pigeon.worker import identity
from pigeon.worker.handover import Worker
from pigeon.worker.recovery import ending, plan
from pigeon.worker.recovery.plan import Recovery
from pigeon.worker.requests import Unpublished, read_request
from pigeon.worker.scheduler.forks import Forks
from pigeon.worker.scheduler.runners import Runners
from pigeon.worker.scheduler.sessions import (
    OWNED,
    Adopted,
    Candidate,
    Ending,
    Orphan,
    Running,
    Sessions,
)
from pigeon.worker.scheduler.waiting_clients import is_judged


def look(
    worker: Worker, sessions: Sessions, runners: Runners, said: dict[str, bytes]
) -> tuple[list[Row], list[str]]:
    """Adopt runners that live without a scheduler. The rows of those that are dead, and the sessions whose adopted
    runner is at work on them no more.

    `said`: what other workers' files held at the last look; kept here for the next.

    Raises:
        JournalError: the journal cannot be read.
        OSError: the workers' files cannot be listed.
    """
    mine = runners.tokens() | {one.row.claim_token for one in sessions.candidates() if one.row}
    # The journal is closed before anything is forked: it must not be carried across (store.py).
    with Journal.open(worker.journal_path, brief=True) as journal:
        dead, alive = plan.unfinished(journal, worker, mine)
    for session_id in sessions.of(Orphan).keys() - {row.session_id for row in (*dead, *alive)}:
        sessions.put(session_id, OWNED)  # its row was closed, or forgotten
    for row in alive:
        if not _is_at_work(sessions, row) and not _has_scheduler(worker, row, said):
            candidate = sessions.candidate_of(row.session_id)
            sessions.put(row.session_id, Adopted(row, clock.monotonic(), candidate))
            worker.debug.say("queue", f"{row.session_id}: its runner lives; watched again")
    # One of this scheduler's own has only just died, or has just been forked: the next turn will tell.
    settled = runners.settled({row.claim_token for row in (*dead, *alive)})
    return [row for row in dead if not _is_at_work(sessions, row)], settled


def _is_at_work(sessions: Sessions, row: Row) -> bool:
    return isinstance(sessions.get(row.session_id), Running | Ending | Adopted)


def tell_net_to_move(runners: Runners) -> None:
    """The worker stops: who lends the network from here lets its peers go elsewhere, and ends within a minute."""
    for session_id in runners.net_sessions():
        identity.send(identity.processes_of(session_id, None), signal.SIGUSR1)


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


def decide(worker: Worker, row: Row, *, may_start: bool) -> Recovery:
    """What to do with the session of a dead runner. `may_start`: it has not cost too many their life already.

    Raises:
        OSError: it cannot be said now. The row stays, and the next look finds it again.
    """
    facts = plan.look(worker.namespace.session(row.session_id), row)
    decision = plan.decide(row.state, replace(facts, is_startable=facts.is_startable and may_start))
    worker.debug.say("failure", f"{row.session_id}: was {row.state}, runner dead: {decision.value}")
    return decision


def wait_again(worker: Worker, row: Row) -> Candidate:
    """The session, to wait for its turn once more (plan.TRIED_AGAIN).

    It comes back as needing a sign of life: hours may have passed since it was claimed. Raises OSError as `decide`.
    """
    try:
        request, problem = read_request(worker.namespace.session(row.session_id))
    except Unpublished:
        request, problem = Request(row.session_id, ["-"], row.cwd or "/"), "its request.json is gone"
    refusal = (states.FAILED, problem) if problem else None
    candidate = Candidate(row.session_id, request, clock.wall(), clock.monotonic(), refusal=refusal, row=row)
    candidate.needs_sign_of_life = is_judged(candidate)
    return candidate


def begin_end(worker: Worker, forks: Forks, row: Row, decision: Recovery) -> Ending:
    """Fork the process that gives the session its end, or forgets the row.

    Raises:
        OSError: no process or descriptor is left now.
    """
    work = ending.forget if decision is Recovery.FORGET else ending.end
    return Ending(row, forks.fork(lambda _: work(worker, row)))
