"""How a session ended that another worker ran, as the journal's columns say it."""

from __future__ import annotations

from pigeon import clock
from pigeon.wire import takeover
from pigeon.wire.names import SessionFiles
from pigeon.wire.states import Status


def columns_of(session: SessionFiles, status: Status) -> dict[str, object]:
    """Of a final status, and of the exit event if there is one. Stamps are those of the other host's clock."""
    started, ended = clock.utc_seconds(status.started_at or ""), clock.utc_seconds(status.finished_at or "")
    try:
        return_code = takeover.exit_in(session)
    except OSError:
        return_code = None
    return {
        "outcome": status.state,
        "exit_code": status.exit_code,
        "return_code": return_code,
        "ended_by": status.ended_by,
        "error": status.error,
        "started_at": started,
        "ended_at": ended if started is not None else None,
        "run_s": max(0.0, ended - started) if started is not None and ended is not None else None,
        "stream_bytes": status.stream_bytes,
    }
