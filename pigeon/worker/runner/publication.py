"""What one runner publishes of its session: status.json, the request without its secrets, the last of the stream.

Owns the session's status from `pending` to its end, the temporary name and the reserved room by which it gets there
(wire/publish.py), and how long the last records are worth waiting for. Promises that a final status that finds no room
gets the reserved one. Refuses to write over a takeover. When each step is taken, and the journal row that goes before
it, are the runner's business.
"""

from __future__ import annotations

from collections.abc import Callable

from pigeon import clock
from pigeon.wire import files, states
from pigeon.wire.names import SessionFiles, new_token
from pigeon.wire.publish import OwnStatus, blank_quietly, blank_request
from pigeon.wire.room import NO_ROOM
from pigeon.wire.states import Status
from pigeon.worker.handover import Worker
from pigeon.worker.relay.control import Control
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.runner.ownership import PATIENCE_S, Ownership, Superseded

ROOM_S = 10.0
"""How long the end of a session that nobody waits for waits for room."""


class Publication:
    """One session's. `created_at`: when its client made it, as the request says."""

    def __init__(self, worker: Worker, session: SessionFiles, ownership: Ownership, created_at: str) -> None:
        self.session = session
        self._ownership = ownership
        self._status = Status(session.session_id, states.PENDING, created_at=created_at)
        self._own_status = OwnStatus(session, new_token())
        self._status.worker = (worker.host, worker.pid)

    def stream_offset(self) -> int:
        """Where this runner begins to write; makes the file that an older client has not made yet. Raises OSError."""
        try:
            return files.size(self.session.stream)
        except FileNotFoundError:
            pass
        try:
            files.create(self.session.stream)
        except FileExistsError:
            pass
        return 0

    def running(self, started_at: float | None) -> bool:
        """Tell the state, and take the secrets out of the request (FORMAT.md, "Secrets at rest").

        False: the session has been taken over.

        Raises:
            OSError: not all of it is done; call again.
        """
        self._status.become(states.RUNNING)
        self._status.started_at = clock.utc_text(started_at)
        if not self._own_status.publish(self._status.encode()):
            return False
        blank_request(self.session)
        try:
            self._own_status.reserve()
        except OSError:
            pass  # there is no room any more; then the end has to wait for some
        return True

    def blank_quietly(self) -> None:
        """Take the secrets out of the request of a session that ends without having been seen to run."""
        blank_quietly(self.session)

    def write_last(self, outbound: Outbound, control: Control, is_alone: Callable[[], bool]) -> None:
        """Write what is left, however long it takes. On a full share what the client acknowledges makes room; on one
        that stays full it is cut if nobody waits for it: the status is the end then, and makes it possible to clean up.
        Raises Superseded.
        """
        began = clock.monotonic()

        def flush() -> None:
            now = clock.monotonic()
            try:
                outbound.flush(now)
            except OSError as error:
                is_left = is_alone()  # which reads what the client says
                if (printed := control.take_printed()) is not None:
                    outbound.acknowledge(*printed)
                if not (error.errno in NO_ROOM and now - began > ROOM_S and is_left):
                    raise

        self._ownership.until_it_works(flush, patience_s=PATIENCE_S)

    def final(
        self,
        state: str,
        code: int,
        error: str | None,
        *,
        stream_bytes: int,
        started_at: float | None = None,
        ended_by: str | None = None,
    ) -> None:
        """Publish the end, however long it takes, and give the reserved room back. Raises Superseded.

        `started_at`: None for a command that was never started. `ended_by`: who, if not the command itself.
        """
        status = self._status
        status.become(state)
        status.exit_code = code
        status.ended_by, status.error, status.stream_bytes = ended_by, error, stream_bytes
        status.finished_at = clock.utc_text()
        if started_at is not None:
            status.started_at = clock.utc_text(started_at)
        data = status.encode()

        def publish() -> bool:
            try:
                return self._own_status.publish(data)
            except OSError as error:
                if error.errno in NO_ROOM:
                    self._own_status.release()
                raise

        if not self._ownership.until_it_works(publish, patience_s=PATIENCE_S):
            raise Superseded("another worker has taken the session over")
        self._own_status.release()
