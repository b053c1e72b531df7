"""What the journal's tables hold, as typed rows, and the questions that `pigeon history` and recovery ask.

Reads only. `stored` and `loaded` are the one place that knows how a Python value stands in a column, so that what was
written is found and read again byte for byte.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pigeon.journal import states
from pigeon.text import typed

Connection = sqlite3.Connection

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


@dataclass(frozen=True)
class Filter:
    """Which rows `select` yields; None means any. `command` is a part of the command's text, in any case."""

    cwd: str | None = None
    since: float | None = None
    until: float | None = None
    states: tuple[str, ...] | None = None
    outcomes: tuple[str, ...] | None = None
    """With `states`: rows that have one of the states or one of the outcomes."""
    command: str | None = None
    namespace: str | None = None
    without: str | None = None
    """A session that is not meant: the question itself."""
    own: bool = False
    """Pigeon's own questions to a worker as well."""


def stored(value: object) -> object:
    """`value` as it stands in a column.

    A string with lone surrogates, which UTF-8 cannot express, becomes the bytes that it stands for, as a BLOB; equal
    strings always become equal values, so a filter finds them. Lists and mappings become JSON.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return _raw(value)
        return value
    if isinstance(value, list | tuple | Mapping):
        return to_json(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None  # only a hostile request says such a thing, and SQLite has no room for it
    return value


def _raw(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: only in JSON that was made to annoy
        return text.encode("utf-8", "surrogatepass")


def loaded(value: object) -> Any:
    """What `stored` made of it, as a Python value again."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def to_json(value: object) -> str:
    """Compact JSON that UTF-8 can express: readable text, with escapes for lone surrogates only."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
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


_SELECT = f"SELECT {', '.join(COLUMNS)} FROM sessions"
_UNFINISHED = (
    f"state <> '{states.FINAL}'"  # as the schema's partial index has it, not a parameter: or it is not used
)


def count(connection: Connection) -> int:
    """How many claims the journal knows."""
    return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])


def get(connection: Connection, claim_token: str) -> Row | None:
    """The row of a claim."""
    found = connection.execute(f"{_SELECT} WHERE claim_token = ?", (claim_token,)).fetchall()
    return row_of(found[0]) if found else None


def unfinished(connection: Connection, cache: str, namespace: str) -> list[Row]:
    """The rows of a namespace that have no final state, oldest claim first."""
    sql = f"{_SELECT} WHERE cache = ? AND namespace = ? AND {_UNFINISHED} ORDER BY rowid"
    return list(map(row_of, connection.execute(sql, (stored(cache), stored(namespace))).fetchall()))


def proofs(connection: Connection) -> set[str]:
    """The proofs of life (paths) that rows without a final state name, of whatever namespace."""
    sql = f"SELECT DISTINCT runner_lock FROM sessions WHERE {_UNFINISHED} AND runner_lock IS NOT NULL"
    return {str(path) for (path,) in connection.execute(sql).fetchall()}


def select(connection: Connection, wanted: Filter, limit: int = 0) -> list[Row]:
    """The newest `limit` rows that pass (0: all), oldest first. Order is that of the claims in this journal."""
    where, values = _conditions(wanted)
    cursor = connection.execute(f"{_SELECT} WHERE {where} ORDER BY rowid DESC", values)
    found: list[Row] = []
    try:
        for row in map(row_of, cursor):
            if row.is_own and not wanted.own:
                continue
            if wanted.command is None or _has_text(row, wanted.command):
                found.append(row)
                if len(found) == limit:
                    break
    finally:
        cursor.close()  # an unfinished read would keep the write-ahead log from being emptied
    found.reverse()
    return found


def _conditions(wanted: Filter) -> tuple[str, list[object]]:
    terms, values = ["1"], list[object]()
    when = "coalesce(started_at, claimed_at, seen_at)"
    for term, value in (
        ("cwd = ?", wanted.cwd),
        ("namespace = ?", wanted.namespace),
        (f"{when} >= ?", wanted.since),
        (f"{when} < ?", wanted.until),
        ("session_id <> ?", wanted.without),
    ):
        if value is not None:
            terms.append(term)
            values.append(stored(value))
    either = [
        (name, chosen) for name, chosen in (("state", wanted.states), ("outcome", wanted.outcomes)) if chosen
    ]
    if either:
        terms.append(
            "(" + " OR ".join(f"{name} IN ({', '.join('?' * len(chosen))})" for name, chosen in either) + ")"
        )
        values += [value for _, chosen in either for value in chosen]
    return " AND ".join(terms), values


def _has_text(row: Row, text: str) -> bool:
    """Compared here and not in SQL: the column is JSON, with its own quoting, and LIKE folds ASCII only."""
    wanted = text.casefold()
    return wanted in typed(row.command).casefold() or wanted in " ".join(row.command).casefold()


def session_ids(connection: Connection, prefix: str) -> list[str]:
    """The sessions whose id, or the part of it behind the dash, begins with `prefix`, oldest first.

    One that was never claimed is known by its waits, or by the events of a claim that was lost.
    """
    if not _ID_CHARACTERS.issuperset(prefix):
        return []
    terms = [f"SELECT session_id FROM {t} WHERE session_id >= ?1 AND session_id < ?2" for t in _TABLES]
    behind = "substr(session_id, instr(session_id, '-') + 1, ?3) = ?1"
    terms += [f"SELECT session_id FROM {table} WHERE {behind}" for table in ("sessions", "waits")]
    sql = f"{' UNION '.join(terms)} ORDER BY session_id"
    found = [str(one) for (one,) in connection.execute(sql, (prefix, f"{prefix}~", len(prefix))).fetchall()]
    return [prefix] if prefix in found else found


_ID_CHARACTERS = frozenset("0123456789abcdef-")
_TABLES = ("sessions", "waits", "events")


def claims_of(connection: Connection, session_id: str) -> list[Row]:
    """Every row of a session: more than one only if two workers of this journal tried it and one has not ended."""
    sql = f"{_SELECT} WHERE session_id = ? ORDER BY rowid"
    return list(map(row_of, connection.execute(sql, (stored(session_id),)).fetchall()))


def waits_of(connection: Connection, session_id: str) -> list[Wait]:
    """The waits of a session, oldest first."""
    columns = "session_id, worker_id, reason, held_by, since, waited_s"
    sql = f"SELECT {columns} FROM waits WHERE session_id = ? ORDER BY rowid"
    found = connection.execute(sql, (stored(session_id),)).fetchall()
    return [_wait(values) for values in found]


def all_waits(connection: Connection) -> Iterator[Wait]:
    """Every wait, oldest first."""
    sql = "SELECT session_id, worker_id, reason, held_by, since, waited_s FROM waits ORDER BY rowid"
    return map(_wait, connection.execute(sql).fetchall())


def all_events(connection: Connection) -> Iterator[Event]:
    """Every event, in the order in which they were written."""
    sql = "SELECT session_id, at, event, detail FROM events ORDER BY rowid"
    return map(_event, connection.execute(sql).fetchall())


def events_of(connection: Connection, session_id: str) -> list[Event]:
    """The events of a session in the order in which they were written."""
    sql = "SELECT session_id, at, event, detail FROM events WHERE session_id = ? ORDER BY rowid"
    found = connection.execute(sql, (stored(session_id),)).fetchall()
    return [_event(values) for values in found]


def _event(values: tuple[Any, ...]) -> Event:
    one, at, event, detail = values
    named = {"session_id": loaded(one), "at": at, "event": loaded(event), "detail": _object(loaded(detail))}
    return Event(**_typed(Event, named))


def _wait(values: tuple[Any, ...]) -> Wait:
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
