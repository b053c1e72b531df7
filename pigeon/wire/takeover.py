"""Giving an end to a session whose owner has fallen silent for good (FORMAT.md, "Takeover")."""

from __future__ import annotations

from pigeon import clock
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import claim, files, states
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, BadDocument, Status, claim_text, parse_status
from pigeon.wire.names import Namespace, SessionFiles, new_token
from pigeon.wire.pacing import Silence

LOOK_S = 1.0
"""Between two looks; silence counts at most this much for each."""


class OwnerWatch:
    """How long the owner of one session has been silent: its stream and its worker's file together."""

    def __init__(self, namespace: Namespace, session: SessionFiles, owner: str) -> None:
        self._stream = session.stream
        self._worker = (
            namespace.worker(owner) if owner and "/" not in owner and not owner.startswith(".") else None
        )
        self._seen: tuple[int, bytes] | None = None
        self._silence = Silence()

    def look(self, now: float) -> float:
        """Seconds of silence so far. A look that fails starts it again."""
        try:
            found = (self._size(), self._document())
        except OSError:
            self._silence.failed()
            return 0.0
        grew = self._seen is not None and found != self._seen
        self._seen = found
        return self._silence.looked(now, grew=grew)

    def _size(self) -> int:
        try:
            return files.size(self._stream)
        except FileNotFoundError:
            return -1

    def _document(self) -> bytes:
        if self._worker is None:
            return b""
        try:
            return files.read(self._worker, MAX_DOCUMENT_BYTES)
        except FileNotFoundError:
            return b""


def wait_for_silence(namespace: Namespace, session: SessionFiles, owner: str, host_timeout_s: float) -> bool:
    """Watch until the owner has been silent for `host_timeout_s` (True) or says something (False)."""
    watch = OwnerWatch(namespace, session, owner)
    highest = 0.0
    while True:
        silence = watch.look(clock.monotonic())
        if silence >= host_timeout_s:
            return True
        if silence < highest:
            return False
        highest = silence
        clock.sleep(LOOK_S)


def end(session: SessionFiles, by: str, owner: str) -> bool:
    """Take the right to end the session, and end it as `failed`. False if it has an end already or somebody else did.

    Raises:
        OSError: it cannot be said; call again.
    """
    status = _read(session)
    if status is not None and status.is_final:
        return False
    token = new_token()
    if not claim.try_takeover(session, token, claim_text({"taken_over_by": by, "takeover_token": token})):
        return False
    status = _read(session)
    if status is not None and status.is_final:
        return False
    final = Status(
        session.session_id,
        states.FAILED,
        created_at=status.created_at if status else clock.utc_text(),
        exit_code=EXIT_PIGEON,
        ended_by="takeover",
        finished_at=clock.utc_text(),
        error=f"its worker {owner} has been silent for too long; ended by {by}; "
        "the command may have run in part, and is not run again",
    )
    files.replace(session.status, final.encode())
    return True


def _read(session: SessionFiles) -> Status | None:
    try:
        return parse_status(files.read(session.status, MAX_DOCUMENT_BYTES), session.session_id)
    except (FileNotFoundError, BadDocument):
        return None
