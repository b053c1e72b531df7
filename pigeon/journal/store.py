"""The one class that owns a connection to the journal: opens it, writes ahead, keeps books.

Promises: a *step* (begin_claim, advance, raise_epoch, forget, restore) is in the database when it returns, however
long the disk was full or the database busy; it is one compare-and-set, so of two processes that try the same step one
wins.
*Bookkeeping* (event, waits, prune) never holds anybody up for long and may be lost. Refuses: a file that is not
a journal of this version or an earlier one, and reading what it has not been given.

**A Journal belongs to the process that opened it**: SQLite's locks do not survive fork, and a child that merely closes
an inherited connection can corrupt the file. Whoever forks closes first; the child opens its own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import place, queries, schema, soundness, states
from pigeon.journal.connection import BRIEF_S, BUSY_S, ERRORS, connect, explain
from pigeon.journal.rows import COLUMNS, Row, stored, to_json
from pigeon.journal.schema import Seen
from pigeon.journal.writing import Result, Trouble, Writer, until_it_passes

_TOLD = ("return_code", "exit_code", "outcome", "ended_by", "error", "runner_pid", "command_pid")
"""Columns of a step that its event repeats, so that the story of a session can be read from its events."""

_LOG_PAGES = 200
"""Size at which the write-ahead log is folded into the file. Whoever opens the journal while nobody else has it open
reads the whole log (0.3 ms for 200 pages, 1.3 for SQLite's 1000); folding it costs two fsyncs, here every 40 steps."""

_COLUMNS = frozenset(COLUMNS)

_PRUNE_ROWS = 500
"""For each transaction: a few milliseconds, so that no step has to wait for a big clean-up."""


class Journal:
    """An open journal. A context manager; leaving it closes it."""

    def __init__(self, writer: Writer, guard: sqlite3.Connection) -> None:
        self.path = writer.path
        self._writer = writer
        self._db = writer.db
        self._guard = guard

    # Opening

    @classmethod
    def open(
        cls,
        path: str,
        *,
        on_trouble: Trouble | None = None,
        patient: bool = False,
        brief: bool = False,
        verify: bool = False,
        before: Seen | None = None,
    ) -> Journal:
        """Open a journal to write, making or migrating it if need be; no lock is taken if it is current.

        `on_trouble` is called with a text each time a step has to go on waiting; what it raises ends the wait.
        `patient`: opening is a step as well, so a full disk or a busy database is waited for.
        `brief`: nor is a busy database waited for as long as otherwise; for a scheduler, which must go on.
        `verify` reads the whole file first: for the start of a worker, not for a runner.
        `before`: as its worker has `seen` it then. If it still is that, its schema is not looked through again.

        Raises:
            JournalError: it cannot be used. What lies there is left as it is.
        """
        busy_s = BRIEF_S if brief else BUSY_S
        if patient:
            return until_it_passes(lambda: cls._open(path, on_trouble, busy_s, verify, before), on_trouble)
        return cls._open(path, on_trouble, busy_s, verify, before)

    @classmethod
    def _open(
        cls, path: str, on_trouble: Trouble | None, busy_s: float, verify: bool, before: Seen | None
    ) -> Journal:
        path = place.settled(path)
        guard = schema.settle(path, busy_s, before)
        try:
            if verify:
                soundness.verify(path, guard)
            connection = connect(path, mode="rw")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchall()
        except BaseException as error:
            guard.close()
            if isinstance(error, ERRORS):
                raise explain(path, error) from error
            raise
        return cls(Writer(path, connection, on_trouble), guard)

    @classmethod
    def open_readonly(cls, path: str) -> Journal:
        """Open a journal to read. Neither makes nor migrates nor writes anything.

        Raises:
            JournalError: it is missing, corrupt, of another version, or cannot be read.
        """
        path = os.path.realpath(path)
        standing, guard = schema.look(path)
        if guard is None:
            raise JournalError(
                f"there is no journal `{path}`", hint="`pigeon worker` makes one when it starts"
            )
        if standing == schema.BEHIND:
            guard.close()
            raise JournalError(
                f"the journal `{path}` was written by an older pigeon",
                hint="`pigeon worker` migrates it when it starts",
            )
        guard.execute("PRAGMA query_only = on")
        return cls(Writer(path, guard, None), guard)

    def close(self) -> None:
        """Close the connection; harmless if it is closed already."""
        self._writer.check_process()
        self._db.close()
        # Last: while this read-only connection is there, closing the other one does not fold the write-ahead log into
        # the file, which would cost each short-lived runner two fsyncs for each step.
        self._guard.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell_trouble(self, on_trouble: Trouble) -> None:
        """From now on, whom to call; see `open`."""
        self._writer.on_trouble = on_trouble

    # Steps

    def begin_claim(self, row: Mapping[str, object], *, durable: bool = False, **detail: object) -> None:
        """Write that a claim is about to be made: a row in state `claiming`, epoch 1. `detail`: more for its event."""
        columns = _known({**row, "epoch": 1, "state": states.CLAIMING})
        names = ", ".join(columns)
        sql = f"INSERT INTO sessions ({names}) VALUES ({', '.join('?' * len(columns))})"
        token = str(row["claim_token"])

        def write(again: bool) -> None:
            if again and queries.get(self._db.conn, token) is not None:
                return  # the attempt whose commit was reported to have failed had not
            self._db.execute(sql, list(columns.values()))
            self._record(token, states.CLAIMING, {"worker_id": row.get("worker_id"), **detail})

        self._writer.step(write, durable=durable)

    def advance(
        self,
        claim_token: str,
        epoch: int,
        *,
        to: str,
        durable: bool = False,
        **columns: object,
    ) -> bool:
        """Take the step to the state `to` (states.STEPS), and set `columns`. False: the row is in other hands or
        states.

        `durable`: on the disk, not only in the system's memory, before this returns.
        """
        frm = states.origins(to)
        changes = _known({**columns, "state": to})
        sql = (
            f"UPDATE sessions SET {', '.join(f'{name} = ?' for name in changes)}"
            f" WHERE claim_token = ? AND epoch = ? AND state IN ({', '.join('?' * len(frm))})"
        )
        values = [*changes.values(), claim_token, epoch, *frm]
        detail = {name: columns[name] for name in _TOLD if columns.get(name) is not None}

        def write(again: bool) -> bool:
            if self._db.execute(sql, values).rowcount == 1:
                self._record(claim_token, to, detail)
                return True
            return again and self._is_at(claim_token, epoch, to)

        return self._writer.step(write, durable=durable)

    def raise_epoch(self, claim_token: str, epoch: int, state: str, **owner: object) -> bool:
        """Take a session over that was last seen with `epoch` in `state`, which is not `final`.

        Whoever knows only `epoch` fails from now on. The columns of the new owner are set in the same step: he holds
        his proof of life already, so at no time does the row name a dead one while he is at work. False: it has
        changed since it was seen, so another was first.
        """
        changes = _known(owner)
        sql = (
            f"UPDATE sessions SET epoch = epoch + 1{''.join(f', {name} = ?' for name in changes)}"
            " WHERE claim_token = ? AND epoch = ? AND state = ? AND state <> ?"
        )
        values = [*changes.values(), claim_token, epoch, state, states.FINAL]

        def write(again: bool) -> bool:
            if self._db.execute(sql, values).rowcount == 1:
                self._record(claim_token, "taken_over", {"epoch": epoch + 1})
                return True
            row = queries.get(self._db.conn, claim_token) if again and changes else None
            return (
                row is not None
                and row.epoch == epoch + 1
                and all(getattr(row, name) == value for name, value in changes.items())
            )

        return self._writer.step(write)

    def forget(self, claim_token: str, epoch: int) -> bool:
        """Remove the row of a claim that was lost. False: it is not there, or is more than `claiming`."""

        def write(again: bool) -> bool:
            found = queries.get(self._db.conn, claim_token) if again else None
            mine = f"claim_token = ? AND epoch = ? AND state = '{states.CLAIMING}'"
            told = f"SELECT session_id, ?, 'claim_lost' FROM sessions WHERE {mine}"
            sql = f"INSERT INTO events (session_id, at, event) {told}"
            self._db.execute(sql, (clock.wall(), claim_token, epoch))
            gone = self._db.execute(f"DELETE FROM sessions WHERE {mine}", (claim_token, epoch)).rowcount == 1
            return gone or (again and found is None)

        return self._writer.step(write)

    def restore(self, row: Mapping[str, object], epoch: int, state: str, *, durable: bool = False) -> bool:
        """Write a row anew that the journal has lost, since its file was replaced. False: it has one of that claim.

        Only for who owns the session: nobody is kept from it by an epoch that is lost as well.
        """
        columns = _known({**row, "epoch": epoch, "state": state})
        token = str(row["claim_token"])
        sql = (
            f"INSERT INTO sessions ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
            " ON CONFLICT (claim_token) DO NOTHING"
        )

        def write(again: bool) -> bool:
            if self._db.execute(sql, list(columns.values())).rowcount == 1:
                self._record(token, "restored", {"state": state})
                return True
            return again and self._is_at(token, epoch, state)

        return self._writer.step(write, durable=durable)

    def _is_at(self, claim_token: str, epoch: int, state: str) -> bool:
        row = queries.get(self._db.conn, claim_token)
        return row is not None and (row.epoch, row.state) == (epoch, state)

    def _record(self, claim_token: str, event: str, detail: Mapping[str, object]) -> None:
        told = "SELECT session_id, ?, ?, ? FROM sessions WHERE claim_token = ?"
        sql = f"INSERT INTO events (session_id, at, event, detail) {told}"
        self._db.execute(sql, (clock.wall(), event, to_json(detail) if detail else None, claim_token))

    # Bookkeeping

    def event(self, session_id: str, event: str, **detail: object) -> None:
        """Write down that something happened to a session now. May be lost."""
        values = (session_id, clock.wall(), event, to_json(detail) if detail else None)
        sql = "INSERT INTO events (session_id, at, event, detail) VALUES (?, ?, ?, ?)"
        self._writer.keep(lambda: self._db.execute(sql, values).rowcount)

    def begin_wait(
        self, session_id: str, worker_id: str, reason: str, held_by: str | None, since: float
    ) -> None:
        """A session waits, since `since` (unix seconds), for a slot, the directory or its client. May be lost.

        If it was waiting for the same behind another holder, that wait ends where this one begins.
        """
        one = (session_id, worker_id, reason)

        def write() -> int:
            which = "session_id = ? AND worker_id = ? AND reason = ? AND waited_s IS NULL"
            self._db.execute(f"UPDATE waits SET waited_s = max(0.0, ? - since) WHERE {which}", (since, *one))
            sql = "INSERT INTO waits (session_id, worker_id, reason, held_by, since) VALUES (?, ?, ?, ?, ?)"
            return self._db.execute(sql, (*one, stored(held_by), since)).rowcount

        self._writer.keep(write)

    def end_wait(self, session_id: str, worker_id: str, reason: str, waited_s: float) -> None:
        """The wait is over, after `waited_s` seconds of a monotonic clock. May be lost."""
        sql = "UPDATE waits SET waited_s = ? WHERE session_id = ? AND worker_id = ? AND reason = ? AND waited_s IS NULL"
        self._writer.keep(lambda: self._db.execute(sql, (waited_s, session_id, worker_id, reason)).rowcount)

    def prune(self, older_than_s: float) -> int:
        """Remove sessions that have been final for longer, with their events and waits; how many sessions went.

        By this host's wall clock, the only one that survives a restart. What has no final state stays.
        """
        before = clock.wall() - older_than_s
        ended_at = "coalesce(final_at, ended_at, claimed_at, 0)"
        old = f"SELECT rowid FROM sessions WHERE state = '{states.FINAL}' AND {ended_at} < ?"
        removed = self._remove_in_turns("sessions", old, before)
        for table, stamp in (("events", "at"), ("waits", "since"), ("destinations", "last_at")):
            lost = f"{stamp} < ? AND session_id NOT IN (SELECT session_id FROM sessions)"
            self._remove_in_turns(table, f"SELECT rowid FROM {table} WHERE {lost}", before)
        self._writer.keep(
            lambda: len(self._db.conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()), atomic=False
        )
        return removed

    def _remove_in_turns(self, table: str, chosen: str, before: float) -> int:
        sql = f"DELETE FROM {table} WHERE rowid IN ({chosen} LIMIT {_PRUNE_ROWS})"
        removed = 0
        while count := self._writer.keep(lambda: self._db.execute(sql, (before,)).rowcount):
            removed += count
        return removed

    # Reading

    @property
    def connection(self) -> queries.Connection:
        """For the functions of `queries`, inside `read`."""
        self._writer.check_process()
        return self._db.conn

    def read(self, question: Callable[[], Result]) -> Result:
        """What `question` makes of `connection`. Raises JournalError if the journal cannot be read."""
        return self._writer.read(question)

    def seen(self) -> Seen:
        """What this journal is to be known by; see `open`."""
        return self.read(lambda: schema.seen(self.path, self._guard))

    def read_schema(self) -> None:
        """What SQLite does at a connection's first use, now; the views make it a tenth of a runner's work."""
        self.read(lambda: self.connection.execute("SELECT 1 FROM sqlite_master LIMIT 0").fetchall())

    def get(self, claim_token: str) -> Row | None:
        """The row of a claim."""
        return self.read(lambda: queries.get(self.connection, claim_token))

    def unfinished(self, cache: str, namespace: str) -> list[Row]:
        """The rows of a namespace without a final state, oldest claim first: what recovery looks at."""
        return self.read(lambda: queries.unfinished(self.connection, cache, namespace))

    def proofs(self) -> set[str]:
        """The proofs of life that are still needed."""
        return self.read(lambda: queries.proofs(self.connection))


def _known(columns: Mapping[str, object]) -> dict[str, object]:
    """`columns` as they are stored; a name that the table has not is a bug of the caller's."""
    assert _COLUMNS.issuperset(columns), f"the journal has no columns {sorted(columns.keys() - _COLUMNS)}"
    return {name: stored(value) for name, value in columns.items()}
