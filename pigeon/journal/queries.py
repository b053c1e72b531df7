"""The questions that `pigeon history` and recovery ask of the journal. Reads only; what comes back is of `rows.py`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pigeon.journal import states
from pigeon.journal.rows import COLUMNS, Event, Row, Wait, event_of, row_of, stored, wait_of
from pigeon.text import typed

Connection = sqlite3.Connection


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
    return [wait_of(values) for values in found]


def all_waits(connection: Connection) -> Iterator[Wait]:
    """Every wait, oldest first."""
    sql = "SELECT session_id, worker_id, reason, held_by, since, waited_s FROM waits ORDER BY rowid"
    return map(wait_of, connection.execute(sql).fetchall())


def all_events(connection: Connection) -> Iterator[Event]:
    """Every event, in the order in which they were written."""
    sql = "SELECT session_id, at, event, detail FROM events ORDER BY rowid"
    return map(event_of, connection.execute(sql).fetchall())


def events_of(connection: Connection, session_id: str) -> list[Event]:
    """The events of a session in the order in which they were written."""
    sql = "SELECT session_id, at, event, detail FROM events WHERE session_id = ? ORDER BY rowid"
    found = connection.execute(sql, (stored(session_id),)).fetchall()
    return [event_of(values) for values in found]
