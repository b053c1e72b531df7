"""Whether the client of a session that waits still lives (FORMAT.md, "Liveness"): for a dead one nothing is run."""

from __future__ import annotations

from pigeon import procfs
from pigeon.errors import DamagedSession
from pigeon.wire import files, states
from pigeon.wire.client_records import companion_of
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import CLIENT_GONE_S, HEARTBEAT_S
from pigeon.wire.tail import Tail
from pigeon.worker.scheduler.queue import DIRECTORY
from pigeon.worker.scheduler.sessions import Candidate

OVERDUE_S = HEARTBEAT_S + 2.0
"""One that has shown none for this long may have died; it is not started until it shows one."""


def is_judged(candidate: Candidate) -> bool:
    """Whether its client has to show that it lives. With `--keep` it need not, unless its session had vanished."""
    request = candidate.request
    goes_on_alone = request.keeps and not candidate.has_vanished
    return request.sends_heartbeats and not goes_on_alone and candidate.refusal is None


def _hear(namespace: Namespace, candidate: Candidate) -> bool:
    """Whether the client has named another session as one of its own job. What cannot be read now is read later."""
    try:
        records = Tail(namespace.session(candidate.session_id).control(), ()).poll()
    except (OSError, DamagedSession):
        return False  # the runner tells what is wrong with it
    known = len(candidate.companions)
    candidate.companions |= {companion_of(record) for record in records} - {""}
    return len(candidate.companions) > known


def judge(namespace: Namespace, candidate: Candidate, now: float) -> bool:
    """Look at the size of its control file. True if it may be started now, or may no longer, or is to be refused."""
    try:
        size = files.size(namespace.session(candidate.session_id).control())
    except OSError:
        candidate.silence.failed()
        return False
    first = candidate.control_bytes is None
    grew = candidate.control_bytes is not None and size > candidate.control_bytes
    candidate.control_bytes = size
    silence = candidate.silence.looked(now, grew=grew or first)
    job = candidate.request.job
    if job is not None and not candidate.has_vanished and procfs.are_gone(job.boot, job.processes):
        candidate.needs_sign_of_life = False
        candidate.refusal = (states.CANCELLED, "its client has been killed; not started")
        return True
    changed = grew and candidate.reason == DIRECTORY and _hear(namespace, candidate)
    if grew and candidate.needs_sign_of_life:
        candidate.needs_sign_of_life = False
        changed = True
    if silence >= CLIENT_GONE_S:
        candidate.needs_sign_of_life = False
        candidate.refusal = (
            states.CANCELLED,
            f"its client has shown no sign of life for {silence:.0f} s; not started",
        )
        changed = True
    elif silence >= OVERDUE_S and not candidate.needs_sign_of_life:
        candidate.needs_sign_of_life = True
        changed = True
    return changed
