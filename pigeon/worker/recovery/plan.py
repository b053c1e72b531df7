"""What becomes of a session of this journal whose runner is dead: the table, and the facts that it is asked with.

Only a proof of death recovers (proof.is_proven_dead).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from enum import Enum

from pigeon.journal import states
from pigeon.journal.queries import Row
from pigeon.journal.store import Journal
from pigeon.wire import claim, files
from pigeon.wire.names import CLAIM_NAME, SessionFiles, is_session_id
from pigeon.worker import proof
from pigeon.worker.handover import Worker


class Recovery(Enum):
    """What to do with an unfinished session of this journal whose runner is proven dead."""

    CLAIM_AGAIN = "repeat the claim with the row's token; if it is ours, start it, else forget the row"
    FORGET = "another has claimed it before the dead runner could, or removed it: forget the row"
    START = "start it under the claim that it has"
    END_AS_LOST = "never start it again: end what is left of its processes, publish `failed`, 255"
    PUBLISH = "publish the result that the journal holds"


RECOVERY: dict[str, Recovery] = {
    states.CLAIMING: Recovery.CLAIM_AGAIN,
    states.CLAIMED: Recovery.START,
    states.STARTING: Recovery.END_AS_LOST,
    states.RUNNING: Recovery.END_AS_LOST,
    states.EXITED: Recovery.PUBLISH,
}
"""Journal state -> decision, for a runner that is proven dead. A runner that lives, or may live, is left alone."""


def proof_of(proof_directory: str, row: Row) -> str:
    """The proof of life of the row's runner, in this journal's own directory of them."""
    return proof.proof_of(proof_directory, row.claim_token, row.runner_lock)


def is_dead(proof_directory: str, row: Row) -> bool:
    """Whether the runner of an unfinished row is proven dead."""
    left = proof_of(proof_directory, row)
    return proof.is_proven_dead(left, row.boot_id or "", row.runner_pid, row.runner_start)


def _is_sound(row: Row) -> bool:
    """Whether it can be a row of ours: what it says becomes part of files' names. Nothing is done about any other."""
    return proof.is_token(row.claim_token) and is_session_id(row.session_id) and row.state in RECOVERY


def plan(
    journal: Journal, worker: Worker, skip: Collection[str]
) -> tuple[list[tuple[Row, Recovery]], list[Row]]:
    """(what to recover and how, rows whose runner lives or may live), for unfinished rows not in `skip` (tokens)."""
    dead, alive = [], []
    for row in journal.unfinished(worker.namespace.cache, worker.namespace.name):
        if row.claim_token in skip or not _is_sound(row):
            continue
        if is_dead(worker.proof_directory, row):
            dead.append((row, RECOVERY[row.state]))
        else:
            alive.append(row)
    return dead, alive


def is_lost(session: SessionFiles, row: Row) -> bool:
    """Whether the dead runner can have no claim any more: somebody else has made one, or the session is gone.

    Raises:
        OSError: it cannot be said now.
    """
    if row.state != states.CLAIMING:
        return False
    try:
        # Listed, since the answer that there is no such name may be an old one (FORMAT.md, "Reading").
        if CLAIM_NAME not in os.listdir(session.directory):
            return False
    except FileNotFoundError:
        return files.is_removed(session)
    return claim.read_claim(session).token != row.claim_token  # ours is whole, and has it


def ends_cleanly(session: SessionFiles) -> bool:
    """Whether stream.jsonl is empty or ends with a newline, so that another runner may write behind it."""
    try:
        size = files.size(session.stream)
        if size == 0:
            return True
        fd = files.open_checked(session.stream)
        try:
            return os.pread(fd, 1, size - 1) == b"\n"
        finally:
            os.close(fd)
    except FileNotFoundError:
        return True
