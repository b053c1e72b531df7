"""Files laid into the share by hand: requests as no good client writes them, and a worker's side played by a test."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session

STAMP = "2026-01-31T08:09:10.123456Z"


def new_id() -> str:
    """A session id as FORMAT.md describes it."""
    return f"{int(time.time() * 1000)}-{os.urandom(6).hex()}"


def a_request(named: str, place: Path | str, text: str, **changes: Any) -> dict[str, Any]:
    """What a client of the base format would ask; a change to `...` leaves the field out."""
    request: dict[str, Any] = {
        "session_id": named,
        "created_at": STAMP,
        "command": ["bash", "-lc", text],
        "cwd": str(place),
        "env": {},
        "requester": {"host": "elsewhere", "pid": 1, "user": "tester"},
        "terminal": {"stdin_isatty": False, "stdout_isatty": False, "size": None},
        **changes,
    }
    paths = {name: str(value) for name, value in request.items() if isinstance(value, Path)}
    return {name: value for name, value in {**request, **paths}.items() if value is not ...}


def dump(value: object) -> bytes:
    """Compact JSON with sorted keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a whole file under its name in one step."""
    temporary = path.with_name(f".tmp-{os.urandom(4).hex()}")
    temporary.write_bytes(data)
    temporary.chmod(mode)
    temporary.rename(path)


def put_status(session: Session, state: str, **fields: Any) -> None:
    """Replace status.json."""
    status = {"session_id": session.id, "state": state, "created_at": STAMP, "updated_at": STAMP}
    replace(session.directory / "status.json", dump({**status, "exit_code": None, **fields}))


def lay(pigeon: Pigeon, session_id: str | None = None) -> Session:
    """An empty, unpublished session directory with its three empty `.jsonl` files."""
    sessions = pigeon.namespace.root / "sessions"
    for folder in (sessions.parents[1], sessions.parent, sessions):
        folder.mkdir(mode=0o700, exist_ok=True)
    directory = sessions / (session_id or new_id())
    directory.mkdir(mode=0o700)
    for name in ("stream.jsonl", "stdin.jsonl", "control.jsonl"):
        path = directory / name
        path.touch(mode=0o600)
    return Session(directory)


def publish(
    pigeon: Pigeon,
    text: str = "true",
    *,
    data: bytes | None = None,
    stdin: bytes | None = b"",
    name: str | None = None,
    **changes: Any,
) -> Session:
    """A pending session: a request for `text` with `changes`, or with `data` as its request.json whatever it holds.

    `stdin`: the bytes to send before the end of input; None sends no end. `name`: the directory's name.
    """
    session = lay(pigeon, name)
    request = dump(a_request(session.id, pigeon.work, text, **changes)) if data is None else data
    replace(session.directory / "request.json", request)
    if stdin is not None:
        put_stdin(session, stdin)
    put_status(session, "pending")
    return session


def put_stdin(session: Session, data: bytes) -> None:
    """All input in one record (none, if empty), and its end."""
    encoded = base64.b64encode(data).decode()
    records: list[Mapping[str, Any]] = (
        [{"type": "stdin", "seq": 0, "ts": STAMP, "data_b64": encoded}] if data else []
    )
    records.append({"type": "stdin_eof", "seq": len(records), "ts": STAMP})
    append(session, "stdin.jsonl", *records)


def append(session: Session, name: str, *records: Mapping[str, Any] | bytes) -> None:
    """Append records, or bytes as they stand."""
    data = b"".join(record if isinstance(record, bytes) else dump(record) + b"\n" for record in records)
    with (session.directory / name).open("ab") as file:
        file.write(data)


def claim(session: Session, text: str = "worker_host=elsewhere\nworker_pid=1\n") -> None:
    """Claim as a worker of the base format does."""
    fd = os.open(session.directory / "worker.claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)


def output(seq: int, data: bytes, channel: str = "stdout") -> dict[str, Any]:
    """An output record."""
    encoded = base64.b64encode(data).decode()
    return {"type": "output", "seq": seq, "ts": STAMP, "channel": channel, "data_b64": encoded}


def event(name: str, **fields: Any) -> dict[str, Any]:
    """An event record."""
    return {"type": "event", "event": name, "ts": STAMP, **fields}
