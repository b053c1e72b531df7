"""What one scheduler does about the sessions of its journal whose runner died: finds them, and starts what is decided.

plan.py decides and ending.py carries an end out; here is the scheduler's side of it. Promises never to touch
a session whose runner lives or may live, nor one that this scheduler is at work on. It keeps nothing: what is left
undone is found again at the next look.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

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
from pigeon.worker.scheduler.queue import Waiting
from pigeon.worker.scheduler.runners import Runners


def look(
    worker: Worker, runners: Runners, waiting: Iterable[Waiting], said: dict[str, bytes]
) -> tuple[list[Row], list[str]]:
    """Adopt runners that live without a scheduler. The rows of those that are dead, and the sessions that are settled.

    `said`: what other workers' files held at the last look; kept here for the next.

    Raises:
        JournalError: the journal cannot be read.
        OSError: the workers' files cannot be listed.
    """
    mine = runners.forked_tokens() | {one.row.claim_token for one in waiting if one.row}
    # The journal is closed before anything is forked: it must not be carried across (store.py).
    with Journal.open(worker.journal_path, brief=True) as journal:
        dead, alive = plan.unfinished(journal, worker, mine)
    for row in alive:
        if not _has_scheduler(worker, row, said) and runners.adopt(row):
            worker.debug.say("queue", f"{row.session_id}: its runner lives; watched again")
    settled = runners.drop_settled({row.claim_token for row in (*dead, *alive)})
    # One of this scheduler's own has only just died, or has just been forked: the next turn will tell.
    return [row for row in dead if not runners.has_forked(row.session_id)], settled


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


def decide(worker: Worker, row: Row) -> Recovery:
    """What to do with the session of a dead runner.

    Raises:
        OSError: it cannot be said now. The row stays, and the next look finds it again.
    """
    decision = plan.decide(row.state, plan.look(worker.namespace.session(row.session_id), row))
    worker.debug.say("failure", f"{row.session_id}: was {row.state}, runner dead: {decision.value}")
    return decision


def wait_again(worker: Worker, row: Row) -> Waiting:
    """The session, to wait for its turn once more (plan.TRIED_AGAIN).

    It comes back as needing a sign of life: hours may have passed since it was claimed. Raises OSError as `decide`.
    """
    try:
        request, problem = read_request(worker.namespace.session(row.session_id))
    except Unpublished:
        request, problem = Request(row.session_id, ["-"], row.cwd or "/"), "its request.json is gone"
    refusal = (states.FAILED, problem) if problem else None
    waiting = Waiting(row.session_id, request, clock.wall(), clock.monotonic(), refusal=refusal, row=row)
    waiting.needs_sign_of_life = True
    return waiting


def begin_end(worker: Worker, runners: Runners, forks: Forks, row: Row, decision: Recovery) -> None:
    """Fork the process that gives the session its end, or forgets the row.

    Raises:
        OSError: no process or descriptor is left now.
    """
    work = ending.forget if decision is Recovery.FORGET else ending.end
    pid = forks.fork(lambda _: work(worker, row))
    runners.add_recovery(pid, row)
