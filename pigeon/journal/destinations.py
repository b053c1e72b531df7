"""The journal's table of where lent networks were connected to: written by who lends one, read by the verbs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields

from pigeon.journal.connection import BUSY_S, connect
from pigeon.journal.queries import Connection
from pigeon.journal.rows import loaded, stored


@dataclass(frozen=True)
class Destination:
    """One host and port of one session; with `session_id` "" of several. The migrations say what each column means."""

    session_id: str
    host: str
    port: int
    connections: int
    refused: int
    open: int
    sent: int
    received: int
    waiting_since: float | None
    first_at: float
    last_at: float


_COLUMNS = tuple(field.name for field in fields(Destination))


def write(path: str, found: Iterable[Destination]) -> None:
    """Put these in the place of what is known of them. Raises sqlite3.Error: try again with all of them later."""
    sql = f"INSERT OR REPLACE INTO destinations ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    connection = connect(os.path.realpath(path), mode="rw", busy_s=BUSY_S)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(sql, [[stored(getattr(one, name)) for name in _COLUMNS] for one in found])
        connection.execute("COMMIT")
    finally:
        connection.close()


def of_session(connection: Connection, session_id: str) -> list[Destination]:
    """Of one session, in the order of their first connection."""
    sql = f"SELECT {', '.join(_COLUMNS)} FROM destinations WHERE session_id = ? ORDER BY first_at, host, port"
    return [Destination(*map(loaded, row)) for row in connection.execute(sql, (session_id,)).fetchall()]


def summed(connection: Connection, since: float | None, limit: int) -> list[Destination]:
    """Over all sessions, newest last; at most `limit` (0: all), with something at `since` (unix seconds) or later."""
    sql = (
        "SELECT '', host, port, sum(connections), sum(refused), sum(open), sum(sent), sum(received),"
        " min(waiting_since), min(first_at), max(last_at) FROM destinations"
        " GROUP BY host, port HAVING max(last_at) >= ? ORDER BY max(last_at) DESC LIMIT ?"
    )
    rows = connection.execute(sql, (since or 0.0, limit or -1)).fetchall()
    return [Destination(*map(loaded, row)) for row in reversed(rows)]
