"""What becomes of a session of this journal whose runner is dead: one table, and the facts that it is asked with.

`decide` is the only place that says what is done, and nothing overrules it. Who asks must have the facts: the scheduler
before it does anything, and the process that ends a session once more, when the row is its own and just before it
publishes, since others may have acted until then. Only a proof of death recovers (proof.is_proven_dead).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from pigeon.journal import states
from pigeon.journal.rows import Row
from pigeon.journal.store import Journal
from pigeon.wire import claim, files
from pigeon.wire.names import CLAIM_NAME, TAKEOVER_NAME, SessionFiles, is_session_id
from pigeon.worker import proof
from pigeon.worker.handover import Worker


class Recovery(Enum):
    """What to do with an unfinished session of this journal whose runner is proven dead."""

    CLAIM_AGAIN = "repeat the claim with the row's token; if it is ours, start it, else forget the row"
    START = "start it under the claim that it has"
    FORGET = "another has claimed it before the dead runner could, or removed it: forget the row"
    CLOSE = "another has the session, whatever the row says: close the row, and touch nothing else"
    END_AS_LOST = "never start it again: end what is left of its processes, publish `failed`, 255"
    END_AS_TAKEN = "others have begun to end it: publish the end that their takeover means"
    PUBLISH = "publish the result that the journal holds"
    FOLLOW = "a worker that was started for it has the session: wait for its end, and write it down"


TRIED_AGAIN = frozenset((Recovery.CLAIM_AGAIN, Recovery.START, Recovery.FOLLOW))
"""The session waits for its turn once more, be it only to be watched. All others need a process that ends it, or the
row."""


class Finding(Enum):
    """What is known of the session besides its row. Where several are true, the first counts."""

    LOST = "another's claim lies there, or the session is gone before it was claimed"
    TAKEN_OVER = "takeover.claim lies there"
    UNSTARTABLE = "nobody could write behind the end of its stream, or whoever asks can start nothing"
    SOUND = "nothing of all that"


RECOVERY: dict[str, dict[Finding, Recovery]] = {
    states.CLAIMING: {
        Finding.LOST: Recovery.FORGET,
        # Who may not have claimed it may not end it either: that its runner finds out by repeating the claim.
        Finding.TAKEN_OVER: Recovery.CLAIM_AGAIN,
        Finding.UNSTARTABLE: Recovery.CLAIM_AGAIN,
        Finding.SOUND: Recovery.CLAIM_AGAIN,
    },
    states.LAUNCHED: {
        Finding.LOST: Recovery.FOLLOW,
        Finding.TAKEN_OVER: Recovery.FOLLOW,
        Finding.UNSTARTABLE: Recovery.FOLLOW,
        Finding.SOUND: Recovery.FOLLOW,
    },
    states.CLAIMED: {
        Finding.LOST: Recovery.CLOSE,
        Finding.TAKEN_OVER: Recovery.END_AS_TAKEN,
        Finding.UNSTARTABLE: Recovery.END_AS_LOST,
        Finding.SOUND: Recovery.START,
    },
    states.STARTING: {
        Finding.LOST: Recovery.CLOSE,
        Finding.TAKEN_OVER: Recovery.END_AS_TAKEN,
        Finding.UNSTARTABLE: Recovery.END_AS_LOST,
        Finding.SOUND: Recovery.END_AS_LOST,
    },
    states.RUNNING: {
        Finding.LOST: Recovery.CLOSE,
        Finding.TAKEN_OVER: Recovery.END_AS_TAKEN,
        Finding.UNSTARTABLE: Recovery.END_AS_LOST,
        Finding.SOUND: Recovery.END_AS_LOST,
    },
    states.EXITED: {
        Finding.LOST: Recovery.CLOSE,
        Finding.TAKEN_OVER: Recovery.END_AS_TAKEN,
        Finding.UNSTARTABLE: Recovery.PUBLISH,
        Finding.SOUND: Recovery.PUBLISH,
    },
}
"""Journal state -> what is known -> decision. A runner that lives, or may live, is left alone."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the share says of the session now."""

    is_lost: bool = False
    is_taken_over: bool = False
    is_startable: bool = True

    @property
    def finding(self) -> Finding:
        """The one that counts."""
        if self.is_lost:
            return Finding.LOST
        if self.is_taken_over:
            return Finding.TAKEN_OVER
        return Finding.SOUND if self.is_startable else Finding.UNSTARTABLE


def decide(state: str, facts: Facts) -> Recovery:
    """What to do with a session whose row is in `state`, and whose runner is dead. Pure.

    Raises:
        KeyError: the state is final, or none of the journal's: a bug of ours.
    """
    return RECOVERY[state][facts.finding]


# The facts


def look(session: SessionFiles, row: Row) -> Facts:
    """What `decide` has to know before anything is done.

    Raises:
        OSError: it cannot be said now. No reason to end the session: look again.
    """
    if row.state not in states.NOT_STARTED:
        return Facts()  # it is ended, and whoever does that looks for himself
    try:
        if is_lost(session, row):
            return Facts(is_lost=True)
        if row.state == states.CLAIMING:
            return Facts()
        return Facts(is_taken_over=is_taken_over(session), is_startable=has_said_nothing(session))
    except FileNotFoundError:
        return Facts()  # removed just now: whoever tries it will see
    except OSError as error:
        if files.may_pass(error):
            raise
        return Facts(is_startable=False)


def is_lost(session: SessionFiles, row: Row) -> bool:
    """Whether the dead runner can have no claim any more: somebody else has made one, or the session is gone.

    Raises:
        OSError: it cannot be said now.
    """
    if row.state != states.CLAIMING:
        return is_anothers(session, row)
    try:
        # Listed, since the answer that there is no such name may be an old one (FORMAT.md, "Reading").
        if CLAIM_NAME not in files.list_names(session.directory):
            return False
    except FileNotFoundError:
        return files.is_removed(session)
    return not _is_of(claim.read_claim(session), row)  # ours is whole, and has it


def is_anothers(session: SessionFiles, row: Row) -> bool:
    """Whether the claim says that the session is somebody else's, whatever the row says."""
    try:
        found = claim.read_claim(session)
        return bool(found.token) and not _is_of(found, row)
    except OSError:
        return False  # the share does not say now; the row was ours to begin with


def _is_of(found: claim.Claim, row: Row) -> bool:
    """Whether it is the row's own claim, or that of the worker which was started for this row."""
    return row.claim_token in (found.token, found.launch)


def is_taken_over(session: SessionFiles) -> bool:
    """Whether others have begun to end it. Raises OSError."""
    return TAKEOVER_NAME in files.list_names(session.directory)


def has_said_nothing(session: SessionFiles) -> bool:
    """Whether stream.jsonl is empty.

    A runner writes to it only behind its `starting` row: what has been said was said by one that got further than its
    row tells, and its command may have been started.

    Raises:
        OSError: it cannot be said now.
    """
    try:
        return files.size(session.stream) == 0
    except FileNotFoundError:
        return True


# Who is dead


def proof_of(proof_directory: str, row: Row) -> str:
    """The proof of life of the row's runner, in this journal's own directory of them."""
    return proof.proof_of(proof_directory, row.claim_token, row.runner_lock)


def is_dead(proof_directory: str, row: Row) -> bool:
    """Whether the runner of an unfinished row is proven dead."""
    left = proof_of(proof_directory, row)
    return proof.is_proven_dead(left, row.boot_id or "", row.runner_pid, row.runner_start)


def unfinished(journal: Journal, worker: Worker, skip: Collection[str]) -> tuple[list[Row], list[Row]]:
    """(rows whose runner is dead, rows whose runner lives or may live), without those in `skip` (tokens).

    Raises:
        JournalError: the journal cannot be read.
    """
    dead: list[Row] = []
    alive: list[Row] = []
    for row in journal.unfinished(worker.namespace.cache, worker.namespace.name):
        if row.claim_token in skip or not _is_sound(row):
            continue
        (dead if is_dead(worker.proof_directory, row) else alive).append(row)
    return dead, alive


def _is_sound(row: Row) -> bool:
    """Whether it can be a row of ours: what it says becomes part of files' names. Nothing is done about any other."""
    return proof.is_token(row.claim_token) and is_session_id(row.session_id) and row.state in RECOVERY
