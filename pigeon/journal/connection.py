"""Connections to the journal's file, and SQLite's errors in words. Never creates a file."""

from __future__ import annotations

import os
import sqlite3
from urllib.parse import quote

from pigeon.errors import JournalError

BUSY_S = 30.0
"""How long SQLite itself waits for another process; a migration of a big journal takes seconds."""

BRIEF_S = 0.5
"""The same for who must not be held up, and tries again later: a worker without heartbeats for 3 s counts as gone."""

OTHER_PLACE = "pass `--journal PATH` with another place"
"""A hint that helps against whatever is wrong with a place."""


def connect(path: str, *, mode: str, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection to a file that exists. `mode`: `ro` or `rw`, as sqlite.org/uri.html has it; never creates one.

    `busy_s`: how long it waits for another process.

    Raises:
        sqlite3.Error: as SQLite says it.
    """
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, timeout=busy_s, isolation_level=None
    )
    connection.text_factory = _text
    return connection


def _text(value: bytes) -> str:
    """Other programs may have written what is not UTF-8; reading it is not worth an error."""
    return value.decode("utf-8", "surrogateescape")


ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the module raises for a file that it cannot use: SQLite's words about a damaged one may quote bytes of it."""

KEEP_A_COPY = f"keep a copy, then move it away to begin a new one, or {OTHER_PLACE}"

_REASONS = {
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; it was left as it is",
    sqlite3.SQLITE_CORRUPT: "is damaged; it was left as it is",
    sqlite3.SQLITE_FORMAT: "is damaged; it was left as it is",
    sqlite3.SQLITE_FULL: "cannot be written: no space is left on its disk",
    sqlite3.SQLITE_BUSY: "is held by another process",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: it or its directory may not be read or written",
    sqlite3.SQLITE_READONLY: "cannot be written",
}

_REMEDIES = {
    sqlite3.SQLITE_NOTADB: f"move it away to begin a new one, or {OTHER_PLACE}",
    sqlite3.SQLITE_CORRUPT: KEEP_A_COPY,
    sqlite3.SQLITE_FORMAT: KEEP_A_COPY,
    sqlite3.SQLITE_ERROR: KEEP_A_COPY,
    sqlite3.SQLITE_FULL: "make room on that disk",
    sqlite3.SQLITE_BUSY: "see with `fuser` which process holds it",
}


class JournalUnavailable(JournalError):
    """A JournalError that passes when another process ends its transaction, or somebody mends the disk."""


PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
    )
)
"""SQLite's codes for that."""


def code_of(error: Exception) -> int:
    """SQLite's code for what went wrong (sqlite.org/rescode.html), without its extension; 0: none was given."""
    if isinstance(error, UnicodeDecodeError):
        return sqlite3.SQLITE_CORRUPT
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def explain(path: str, error: Exception) -> JournalError:
    """SQLite's error in words: what about the journal, and what to do."""
    code = code_of(error)
    reason = _REASONS.get(code, f"cannot be used: {error}")
    kind = JournalUnavailable if code in PASSING else JournalError
    return kind(f"the journal `{path}` {reason}", hint=_REMEDIES.get(code, OTHER_PLACE))


def may_pass(error: JournalError) -> bool:
    """Whether the journal may work again by itself. A damaged one, or another program's, does not.

    A directory that cannot be searched or read at the moment is an OSError before SQLite is asked anything.
    """
    return isinstance(error, JournalUnavailable) or isinstance(error.__cause__, OSError)
