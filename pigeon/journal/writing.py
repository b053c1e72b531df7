"""Writing to SQLite in two ways: a step, which is waited for, and bookkeeping, which waits for nobody.

Owns the connection's settings (busy timeout, synchronous) and what each of SQLite's errors means for a writer.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlite_utils import Database

from pigeon import clock
from pigeon.backoff import Backoff
from pigeon.journal.connection import BUSY_S, ERRORS, PASSING, JournalUnavailable, code_of, explain

Result = TypeVar("Result")
Trouble = Callable[[str], None]

_STEP_BUSY_MS = 2000
"""A step waits for ever, in turns of this length, so that somebody is told in time whom it waits for."""

_BOOKKEEPING_BUSY_MS = 100
"""Writers hold the database for a millisecond; who holds it for longer is stuck, and bytes must go on moving."""

_OF_ONE_ROW = (
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
    sqlite3.SQLITE_MISUSE,
    0,
)
"""Codes (0: none) of what is wrong with one session's values, or with a statement of ours, and not with the journal."""


def _is_triggered(error: Exception) -> bool:
    """A trigger has refused it: the journal has none of ours."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_TRIGGER


def until_it_passes(attempt: Callable[[], Result], on_trouble: Trouble | None) -> Result:
    """Repeat `attempt` for as long as it raises JournalUnavailable."""
    backoff = Backoff()
    while True:
        try:
            return attempt()
        except JournalUnavailable as error:
            if on_trouble is not None:
                on_trouble(f"{error.message}; waiting")
        clock.sleep(backoff.failed())


class Writer:
    """A connection and its settings. Belongs to the process that made it."""

    def __init__(self, path: str, connection: sqlite3.Connection, on_trouble: Trouble | None) -> None:
        self.path = path
        # No foreign plug-ins in a worker, and no statement of their setting up: opening is on every command's path.
        self.db = Database(connection, recursive_triggers=False, execute_plugins=False)
        self.on_trouble = on_trouble
        self._pid = os.getpid()
        self._pragmas: dict[str, object] = {}

    def check_process(self) -> None:
        """Fail if this is a forked child: it must not even close what it has inherited."""
        assert os.getpid() == self._pid, "a journal must not be carried across fork"

    def step(self, write: Callable[[bool], Result], *, durable: bool = False) -> Result:
        """Commit what `write` does, for as long as it takes. It is told whether an earlier attempt failed.

        At the first attempt its first statement must be a write: SQLite refuses to turn a reader into a writer.
        `durable`: the disk has it when this returns; otherwise the system has, which survives any process.

        Raises:
            JournalError: the database is damaged, which no waiting mends.
        """
        failed, backoff = False, Backoff()
        while True:
            try:
                self._set("busy_timeout", _STEP_BUSY_MS)
                self._set("synchronous", "FULL" if durable else "NORMAL")
                with self._retrying() if failed else self.db.atomic():
                    return write(failed)
            except ERRORS as error:
                self._tell(error)
            failed = True
            clock.sleep(backoff.failed())

    @contextmanager
    def _retrying(self) -> Iterator[None]:
        """The transaction of a later attempt, which reads before it writes."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise

    def _tell(self, error: Exception) -> None:
        """Report an error that a step waits for; raise one that waiting does not mend."""
        if code_of(error) in _OF_ONE_ROW and not _is_triggered(error):
            raise error  # the rows of others can be written all the same
        if code_of(error) not in PASSING:
            raise explain(self.path, error) from error
        if self.on_trouble is not None:
            self.on_trouble(f"the journal `{self.path}` cannot be written yet ({error}); waiting")

    def keep(self, write: Callable[[], int], *, atomic: bool = True) -> int:
        """Try once, briefly. A database that is busy, full or damaged loses this and stops nobody; then 0."""
        try:
            self._set("busy_timeout", _BOOKKEEPING_BUSY_MS)
            self._set("synchronous", "NORMAL")
            if not atomic:
                return write()
            with self.db.atomic():
                return write()
        except ERRORS:
            return 0

    def read(self, question: Callable[[], Result]) -> Result:
        """The answer of a function that only reads.

        Raises:
            JournalError: the database cannot be read.
        """
        try:
            self._set("busy_timeout", int(BUSY_S * 1000))
            return question()
        except ERRORS as error:
            raise explain(self.path, error) from error

    def _set(self, pragma: str, value: object) -> None:
        """Settings of the connection, changed only where they differ."""
        self.check_process()
        if self._pragmas.get(pragma) != value:
            self.db.conn.execute(f"PRAGMA {pragma} = {value}").fetchall()
            self._pragmas[pragma] = value
