"""Giving an end to a session whose owner has fallen silent for good (FORMAT.md, "Takeover")."""

from __future__ import annotations

import os

from pigeon import clock
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON
from pigeon.wire import claim, files, publish, states
from pigeon.wire.documents import BadDocument
from pigeon.wire.names import Namespace, SessionFiles, is_component
from pigeon.wire.pacing import Silence
from pigeon.wire.reading import known_status
from pigeon.wire.records import EXIT, Exit, decode_line, event_of
from pigeon.wire.states import Status
from pigeon.wire.worker_file import parse_worker_file, read_worker_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TAIL_BYTES = 4096
"""The last record of a stream, if it is an exit event, is far shorter."""

LOOK_S = 1.0
"""Between two looks; silence counts at most this much for each."""


class OwnerWatch:
    """How long the owner of one session has been silent: its worker's file and its stream together.

    `read`: gives what stands in the file of a worker id, for who watches many sessions of one owner. `must_list`: a
    file that tells what its worker runs, and does not name the session, counts as silence.
    """

    def __init__(
        self,
        namespace: Namespace,
        session: SessionFiles,
        owner: str,
        read: Callable[[str], bytes] | None = None,
        *,
        must_list: bool = False,
    ) -> None:
        self._named = session.session_id if must_list else None
        self._stream = session.stream
        self._owner = owner if is_component(owner) else ""
        self._read = read or (lambda worker_id: read_worker_file(namespace, worker_id))
        self._document: bytes | None = None
        self._size: int | None = None
        self._silence = Silence()
        self.was_heard = False
        """Whether the owner has said anything while he was watched."""
        self.silent_s = 0.0
        """What the last look found."""

    def look(self, now: float) -> float:
        """Seconds of silence so far. A look that fails starts it again."""
        try:
            grew = self._has_changed()
        except OSError:
            self._silence.failed()
            self.silent_s = 0.0
            return 0.0
        self.was_heard |= grew
        self.silent_s = self._silence.looked(now, grew=grew)
        return self.silent_s

    def _has_changed(self) -> bool:
        """Whether one of the two differs from the last look; the stream of a worker that lives is not looked at."""
        document = self._read(self._owner) if self._owner else b""
        before, self._document = self._document, document
        if before not in (None, document) and not self._leaves_out(document):
            return True
        try:
            size = files.size(self._stream)
        except FileNotFoundError:
            size = -1
        previous, self._size = self._size, size
        return previous not in (None, size)

    def _leaves_out(self, document: bytes) -> bool:
        """Whether the worker says that it does not run the session; an older one does not say what it runs."""
        if self._named is None:
            return False
        try:
            return parse_worker_file(document, self._owner).leaves_out(self._named)
        except BadDocument:
            return False


def wait_for_silence(namespace: Namespace, session: SessionFiles, owner: str, host_timeout_s: float) -> bool:
    """Watch until the owner has been silent for `host_timeout_s` (True) or says something (False).

    A worker that lives and does not run the session is no owner any more: its runner has died, or left it.
    """
    watch = OwnerWatch(namespace, session, owner, must_list=True)
    while True:
        if watch.look(clock.monotonic()) >= host_timeout_s:
            return True
        if watch.was_heard:
            return False
        clock.sleep(LOOK_S)


def end(session: SessionFiles, token: str, by: str, owner: str, *, stalled: bool = False) -> bool:
    """Take the right to end the session, and end it. False if it has an end already or somebody else will.

    `token`: one of the caller's own for this session; a repeated call knows its claim by it. `stalled`: another took
    the right and was then silent for as long as the owner: he died in between, and whatever he still writes says the
    same. So the end is written for him.

    Raises:
        OSError: it cannot be said; call again.
    """
    status = known_status(session)
    if status is not None and status.is_final:
        return False
    won = claim.try_takeover(session, token, claim.takeover(by, token))
    if not won and not stalled:
        return False
    return publish.end(session, token, outcome(session, by, owner))


def outcome(session: SessionFiles, by: str, owner: str) -> Status:
    """The end of a session that has been taken over; to be asked for only once takeover.claim is there.

    From then on its owner writes nothing more, so an exit event that stands in the stream is the outcome, and one that
    does not will not come.
    """
    silent = f"its worker {owner} has been silent for too long"
    code = exit_in(session)
    if code is not None:
        state, exit_code = states.state_of(code), states.exit_code_of(code)
        error = f"{silent} after the command had ended; ended by {by}"
    elif claim_of(session).is_withdrawal:
        state, exit_code = states.CANCELLED, EXIT_CANCELLED
        error = f"its client gave it up, and died before it could say so; ended by {by}"
    else:
        state, exit_code = states.FAILED, EXIT_PIGEON
        error = f"{silent}; ended by {by}; the command may have run in part, and is not run again"
    return Status(
        session.session_id,
        state,
        created_at=clock.utc_text(),
        exit_code=exit_code,
        ended_by=states.BY_TAKEOVER,
        finished_at=clock.utc_text(),
        error=error,
    )


def claim_of(session: SessionFiles) -> claim.Claim:
    """The claim; an empty one where there is none that can be read. Raises OSError if that may pass."""
    try:
        return claim.read_claim(session)
    except OSError as error:
        if files.may_pass(error):
            raise
        return claim.Claim({})


def exit_in(session: SessionFiles) -> int | None:
    """The return code in the exit event, if the stream has one: it is the last record."""
    try:
        fd = files.open_checked(session.stream)
    except (FileNotFoundError, files.Refused):
        return None
    try:
        size = os.fstat(fd).st_size
        lines = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).split(b"\n")
    finally:
        os.close(fd)
    try:
        record = decode_line(lines[-2]) if len(lines) > 1 else {}
    except ValueError:
        return None  # the middle of a long record, or one that was torn
    return Exit(record).return_code if event_of(record) == EXIT else None
