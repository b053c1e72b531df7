"""Whether the client of a session that waits still lives (FORMAT.md, "Liveness"): for a dead one nothing is run."""

from __future__ import annotations

from pigeon.errors import DamagedSession
from pigeon.wire import files, states
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import HEARTBEAT_S
from pigeon.wire.records import companion_of
from pigeon.wire.tail import Tail
from pigeon.worker.scheduler.queue import DIRECTORY, Waiting

SIGN_OF_LIFE_S = 2 * HEARTBEAT_S + 2.0
"""A waiting session whose client shows none for this long is cancelled."""

OVERDUE_S = HEARTBEAT_S + 2.0
"""One that has shown none for this long may have died; it is not started until it shows one."""


def _hear(namespace: Namespace, waiting: Waiting) -> bool:
    """Whether the client has named another session as one of its own job. What cannot be read now is read later."""
    try:
        records = Tail(namespace.session(waiting.session_id).control(), ()).poll()
    except (OSError, DamagedSession):
        return False  # the runner tells what is wrong with it
    known = len(waiting.companions)
    waiting.companions |= {companion_of(record) for record in records} - {""}
    return len(waiting.companions) > known


def judge(namespace: Namespace, waiting: Waiting, now: float) -> bool:
    """Look at the size of its control file. True if it may be started now, or may no longer, or is to be refused."""
    try:
        size = files.size(namespace.session(waiting.session_id).control())
    except OSError:
        waiting.silence.failed()
        return False
    grew = waiting.control_bytes >= 0 and size > waiting.control_bytes
    first = waiting.control_bytes < 0
    waiting.control_bytes = size
    silence = waiting.silence.looked(now, grew=grew or first)
    changed = grew and waiting.reason == DIRECTORY and _hear(namespace, waiting)
    if grew and waiting.needs_sign_of_life:
        waiting.needs_sign_of_life = False
        changed = True
    if silence >= SIGN_OF_LIFE_S:
        waiting.needs_sign_of_life = False
        waiting.refusal = (
            states.CANCELLED,
            f"its client has shown no sign of life for {silence:.0f} s; not started",
        )
        changed = True
    elif silence >= OVERDUE_S and not waiting.needs_sign_of_life:
        waiting.needs_sign_of_life = True
        changed = True
    return changed
