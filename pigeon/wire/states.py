"""What status.json publishes: the states, the document; and the one mapping of return codes, exit codes and signals.

No I/O: `reading.py` reads a status, `publish.py` replaces one.
"""

from __future__ import annotations

from pigeon.clock import utc_text
from pigeon.wire.documents import BadDocument, Document, ForeignDocument, integer_of, parse, text_of
from pigeon.wire.jsontext import encode

PENDING = "pending"
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"

BY_CLIENT, BY_RECOVERY, BY_TAKEOVER = "client", "recovery", "takeover"
"""Who else than the command may have ended a session (`ended_by`): its client, before it ran; its worker, after its
runner had died; another worker, or `pigeon stop --force`. An older reader passes over the field."""

FINAL = frozenset((SUCCEEDED, FAILED, CANCELLED))

TRANSITIONS: dict[str, frozenset[str]] = {
    PENDING: frozenset((RUNNING, FAILED, CANCELLED)),
    RUNNING: FINAL,
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}
"""Published state -> the states that may replace it. A final one is never replaced."""


def exit_code_of(return_code: int) -> int:
    """The shell's exit code for a return code as Python gives it: `-n` (signal n) becomes `128 + n`."""
    return return_code if return_code >= 0 else 128 - return_code


def state_of(return_code: int) -> str:
    """The final state for a command that ended with `return_code`."""
    return SUCCEEDED if return_code == 0 else FAILED


class Status:
    """status.json: the published state of a session. None: not known, or not yet.

    `ended_by` is set where not the command itself, seen through by its runner, brought the end about (wire/states.py).
    `stream_bytes`: all that a runner has written to the stream. `worker`: (host, pid) of the scheduler.
    """

    __slots__ = (
        "session_id",
        "state",
        "created_at",
        "exit_code",
        "started_at",
        "finished_at",
        "ended_by",
        "error",
        "stream_bytes",
        "worker",
    )

    def __init__(
        self,
        session_id: str,
        state: str,
        *,
        created_at: str,
        exit_code: int | None = None,
        ended_by: str | None = None,
        finished_at: str | None = None,
        error: str | None = None,
    ) -> None:
        self.session_id = session_id
        self.state = state
        self.created_at = created_at
        self.exit_code = exit_code
        self.started_at: str | None = None
        self.finished_at = finished_at
        self.ended_by = ended_by
        self.error = error
        self.stream_bytes: int | None = None
        self.worker: tuple[str, int] | None = None

    @property
    def is_final(self) -> bool:
        """No later state follows."""
        return self.state in FINAL

    def become(self, state: str) -> None:
        """The next state; the same one again where it has to be published again.

        A command so short that nobody could have seen it run goes from `pending` to its end (FORMAT.md, "status.json").
        """
        after = TRANSITIONS[self.state]
        assert (
            state == self.state or state in after or (RUNNING in after and state in TRANSITIONS[RUNNING])
        ), (
            self.state,
            state,
        )
        self.state = state

    def promises_more(self, read_bytes: int) -> bool:
        """Whether its stream has more than so many bytes, and all of it has been written."""
        return self.ended_by is None and self.stream_bytes is not None and read_bytes < self.stream_bytes

    def encode(self) -> bytes:
        """The bytes of status.json, stamped now."""
        known: Document = {
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "ended_by": self.ended_by,
            "error": self.error,
            "stream_bytes": self.stream_bytes,
            "worker": {"host": self.worker[0], "pid": self.worker[1]} if self.worker else None,
        }
        return encode(
            {
                **{field: value for field, value in known.items() if value is not None},
                "session_id": self.session_id,
                "state": self.state,
                "created_at": self.created_at,
                "updated_at": utc_text(),
                "exit_code": self.exit_code,
            }
        )


def parse_status(data: bytes, session_id: str) -> Status:
    """The status in `data`. An unknown state is kept as it is: it is not final, so nobody acts on it.

    Raises:
        BadDocument: not an object with a text `state`, or that of another session.
    """
    document = parse(data, "status.json")
    if document.get("session_id", session_id) != session_id:
        raise ForeignDocument("status.json: `session_id` is that of another session")
    state = document.get("state")
    if not isinstance(state, str):
        raise BadDocument("status.json: no `state`")
    status = Status(session_id, state, created_at=text_of(document, "created_at"))
    status.exit_code = integer_of(document, "exit_code")
    status.started_at = text_of(document, "started_at") or None
    status.finished_at = text_of(document, "finished_at") or None
    status.ended_by = text_of(document, "ended_by") or None
    status.error = text_of(document, "error") or None
    status.stream_bytes = integer_of(document, "stream_bytes")
    worker = document.get("worker")
    if isinstance(worker, dict):
        status.worker = (text_of(worker, "host"), integer_of(worker, "pid") or 0)
    return status
