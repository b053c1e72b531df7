"""Whether a journal is one through and through: what the start of a worker looks at, and no other opening.

A damaged file would be found out later by whoever needs the part that is wrong, in the middle of a session.
"""

from __future__ import annotations

import sqlite3
from functools import cache

from sqlite_utils import Database

from pigeon.errors import JournalError
from pigeon.journal import schema
from pigeon.journal.connection import KEEP_A_COPY


def verify(path: str, connection: sqlite3.Connection) -> None:
    """Read the whole file, and compare its tables with those that the migrations make.

    What others have added (columns, indexes, tables) is no fault.

    Raises:
        JournalError: it is damaged.
        sqlite3.Error: as `connection.ERRORS`.
    """
    found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(1)").fetchall()]
    if found != ["ok"]:
        raise _damaged(path, found[0])
    for table, columns in _tables().items():
        kind = connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        if kind != ("table",):
            raise _damaged(path, f"it has no table `{table}`")
        lacking = columns - _columns(connection, table)
        if lacking:
            raise _damaged(path, f"its table `{table}` has no column `{min(lacking)}`")


def _damaged(path: str, what: str) -> JournalError:
    return JournalError(f"the journal `{path}` is damaged ({what}); it was left as it is", hint=KEEP_A_COPY)


@cache
def _tables() -> dict[str, frozenset[str]]:
    """The columns of each table of this version."""
    with Database(memory=True) as made:
        schema.migrations().apply(made)
        names = made.conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = [str(name) for (name,) in names if not str(name).startswith("sqlite_")]
        return {table: _columns(made.conn, table) for table in tables}


def _columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    return frozenset(str(found[1]) for found in connection.execute(f"PRAGMA table_info({table})"))
