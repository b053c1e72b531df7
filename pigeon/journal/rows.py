"""What the journal's tables hold, as typed rows, and how a Python value stands in a column.

`stored` and `loaded` are the one place that knows the latter, so that what was written is found and read again byte for
byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pigeon.journal import states

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """One claim. The migrations say beside each column its unit and what None means."""

    claim_token: str
    session_id: str
    epoch: int
    state: str
    cache: str | None = None
    namespace: str | None = None
    route: str | None = None
    cwd: str | None = None
    command: list[str] = field(default_factory=list)
    requester_host: str | None = None
    requester_pid: int | None = None
    requester_user: str | None = None
    worker_id: str | None = None
    worker_host: str | None = None
    worker_pid: int | None = None
    boot_id: str | None = None
    runner_pid: int | None = None
    runner_start: int | None = None
    runner_lock: str | None = None
    command_pid: int | None = None
    command_start: int | None = None
    terminal: int | None = None
    lock_mode: str | None = None
    on_disconnect: str | None = None
    seen_at: float | None = None
    claimed_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    final_at: float | None = None
    lock_wait_s: float | None = None
    slot_wait_s: float | None = None
    run_s: float | None = None
    return_code: int | None = None
    exit_code: int | None = None
    outcome: str | None = None
    ended_by: str | None = None
    error: str | None = None
    bytes_in: int | None = None
    bytes_out_pty: int | None = None
    bytes_out_stdout: int | None = None
    bytes_out_stderr: int | None = None
    stream_bytes: int | None = None
    stdin_bytes: int | None = None
    signals: int | None = None
    wrapped: str | None = None
    launcher: str | None = None
    node: str | None = None
    engine_job: str | None = None

    @property
    def locks(self) -> bool:
        """Whether the command has its directory for itself."""
        return self.lock_mode == "cwd"

    @property
    def is_final(self) -> bool:
        """Whether the session has its end."""
        return self.state == states.FINAL

    @property
    def has_ended(self) -> bool:
        """Whether its command runs no more, as far as the journal knows."""
        return self.state in (states.EXITED, states.FINAL)

    @property
    def is_text(self) -> bool:
        """It was given to a shell as one text."""
        return len(self.command) == 3 and self.command[1] in ("-c", "-lc")

    @property
    def is_own(self) -> bool:
        """Pigeon's own question to a worker: `client/ask.py` makes such sessions, and so does `pigeon doctor`."""
        if (self.cwd, self.lock_mode, self.terminal) != ("/", "none", 0):
            return False
        is_asking = self.command[:2] == ["bash", "-lc"] and self.is_text
        return (is_asking and self.command[2].startswith("exec pigeon ")) or self.command == PING

    @property
    def wait_s(self) -> float:
        """Seconds of waiting before it ran: for a slot and for the directory."""
        return (self.slot_wait_s or 0.0) + (self.lock_wait_s or 0.0)

    @property
    def when(self) -> float | None:
        """Unix seconds at which it started, or, if it did not, was claimed or seen."""
        return next((at for at in (self.started_at, self.claimed_at, self.seen_at) if at is not None), None)

    @property
    def bytes_out(self) -> int | None:
        """Output bytes on all channels; None if nobody counted."""
        counts = (self.bytes_out_pty, self.bytes_out_stdout, self.bytes_out_stderr)
        known = [count for count in counts if count is not None]
        return sum(known) if known else None


PING = ["true", "pigeon ping"]
"""What `pigeon ping` has run; true(1) takes no notice of words."""

COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Row))
"""The columns of `sessions` in the order of Row's fields."""


@dataclass(frozen=True)
class Wait:
    """A session waited on one worker. `waited_s` is None while it waits, and for ever if that worker died."""

    session_id: str
    worker_id: str
    reason: str
    held_by: str | None
    since: float
    waited_s: float | None


@dataclass(frozen=True)
class Event:
    """Something happened to a session at `at` (unix seconds)."""

    session_id: str
    at: float
    event: str
    detail: dict[str, object]


def stored(value: object) -> object:
    """`value` as it stands in a column.

    A string with lone surrogates, which UTF-8 cannot express, becomes the bytes that it stands for, as a BLOB; equal
    strings always become equal values, so a filter finds them. Lists and mappings become JSON.
    """
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return _raw(value)
        return value
    if isinstance(value, int):
        # Others are only said by a hostile request, and SQLite has no room for them.
        return value if -(2**63) <= value < 2**63 else None
    return to_json(value) if isinstance(value, list | tuple | Mapping) else value


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: only in JSON that was made to annoy
        return text.encode("utf-8", "surrogatepass")


def loaded(value: object) -> Any:
    """What `stored` made of it, as a Python value again."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


def to_json(value: object) -> str:
    """Compact JSON that UTF-8 can express: readable text, with escapes for lone surrogates only."""
    text = _ENCODER.encode(value)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
_REQUIRED = {"str": "", "int": 0, "float": 0.0}
_FARTHEST_S = 1e11
"""No stamp or duration of ours is larger (the year 5138), and no calendar takes much more."""


def _typed(kind: type, values: Mapping[str, object]) -> dict[str, Any]:
    """`values` as the fields of `kind` want them. SQLite keeps whatever it is given; what does not fit counts as NULL.

    Where a field must not be None, the empty text or 0 stands for NULL: a row without them is nobody's.
    """
    found = dict(values)
    for one in fields(kind):
        name, _, optional = str(one.type).partition(" | ")
        if name in _KINDS and not _fits(name, found[one.name]):
            found[one.name] = None if optional else _REQUIRED[name]
    return found


def _fits(name: str, value: object) -> bool:
    if not isinstance(value, _KINDS[name]):
        return False
    return name != "float" or abs(value) < _FARTHEST_S  # type: ignore[arg-type]  # a number, by _KINDS


def row_of(values: tuple[object, ...]) -> Row:
    """A row from the values of COLUMNS."""
    named = dict(zip(COLUMNS, map(loaded, values), strict=True))
    return Row(**_typed(Row, {**named, "command": _words(named["command"])}))


def _words(text: object) -> list[str]:
    """The argv in a `command` column; whatever else stands there is shown as one word."""
    if not isinstance(text, str):
        return []
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return [str(word) for word in words] if isinstance(words, list) else [text]


def event_of(values: tuple[Any, ...]) -> Event:
    """An event from the values of its columns, in the order of its fields."""
    one, at, event, detail = values
    named = {"session_id": loaded(one), "at": at, "event": loaded(event), "detail": _object(loaded(detail))}
    return Event(**_typed(Event, named))


def wait_of(values: tuple[Any, ...]) -> Wait:
    """A wait from the values of its columns, in the order of its fields."""
    names = (one.name for one in fields(Wait))
    return Wait(**_typed(Wait, dict(zip(names, map(loaded, values), strict=True))))


def _object(text: object) -> dict[str, object]:
    if not isinstance(text, str):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}
