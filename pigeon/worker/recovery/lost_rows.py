"""Sessions that carry this worker's own claim, that nobody here is at work on, and whose journal row is lost or closed.

No other worker ends them while this one lives, since its file says that it does; and recovery knows a session by its
row. So a session of its own whose stream has been silent for as long as a dead host's gets its row again, as that of
a runner that died, and recovery does the rest. A runner that lives after all, unknown to this worker, says something
every 5 s; its next step in the journal fails by the epoch that recovery has raised.
"""

from __future__ import annotations

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import states as journal_states
from pigeon.journal.store import Journal
from pigeon.wire import files, takeover
from pigeon.wire.documents import Request
from pigeon.wire.names import SessionFiles
from pigeon.worker.debug import tell
from pigeon.worker.handover import Worker
from pigeon.worker.proof import is_token, lay_proof_of_nobody
from pigeon.worker.requests import Unpublished, read_request
from pigeon.worker.row import birth

SILENCE_S = 12.0
"""At least so long: two heartbeats of a runner and a little."""


def restore(worker: Worker, session: SessionFiles) -> bool:
    """Leave the session to recovery, which knows it or knows it again. False: its row says that it has ended.

    A journal that cannot be used is recovery's business as well. Raises OSError: it cannot be said now.
    """
    token = takeover.claim_of(session).token
    if not is_token(token):
        return False
    try:
        with Journal.open(worker.journal_path, brief=True) as journal:
            row = journal.get(token)
            if row is not None:
                return not row.is_final
            proof = lay_proof_of_nobody(worker.proof_directory, token)
            journal.restore(_row(worker, session, token, proof), 1, journal_states.STARTING)
    except JournalError:
        return True
    tell(
        f"pigeon worker: session {session.session_id} is this worker's, has no runner, "
        "and the journal had lost it; it is given an end"
    )
    return True


def _row(worker: Worker, session: SessionFiles, token: str, proof: str) -> dict[str, object]:
    try:
        request, _ = read_request(session)
    except Unpublished:
        request = Request(session.session_id, ["-"], "/")
    return {**birth(worker, request, token, seen_at=_claimed_at(session)), "runner_lock": proof}


def _claimed_at(session: SessionFiles) -> float:
    """When this worker must have seen the session: a moment before its claim, by the share's clock. For people only."""
    try:
        return files.status_of(session.claim).st_mtime
    except OSError:
        return clock.wall()
