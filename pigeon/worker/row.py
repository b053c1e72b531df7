"""What a session's row in the journal says from its birth on: which session, who asked for it, and who claims it."""

from __future__ import annotations

from pigeon.wire.documents import Request
from pigeon.worker.handover import Worker


def birth(worker: Worker, request: Request, token: str, *, seen_at: float) -> dict[str, object]:
    """The columns of a row that this worker writes, anew or again. `seen_at`: unix seconds."""
    return {
        "claim_token": token,
        "session_id": request.session_id,
        "cache": worker.namespace.cache,
        "namespace": worker.namespace.name,
        "route": request.route,
        "cwd": request.cwd,
        "command": request.command,
        "requester_host": _short(request.requester.host),
        "requester_pid": _short(request.requester.pid),
        "requester_user": _short(request.requester.user),
        "worker_id": worker.worker_id,
        "worker_host": worker.host,
        "worker_pid": worker.pid,
        "boot_id": worker.boot,
        "terminal": int(request.pty),
        "lock_mode": request.lock,
        "on_disconnect": request.on_disconnect,
        "seen_at": seen_at,
    }


def _short(value: object) -> str | int | None:
    """What a requester says of himself, cut to what a journal may hold."""
    if isinstance(value, int):
        return value
    return value[:255] if isinstance(value, str) else None
