"""Bringing a journal's file to this version's schema: looked at first, made or migrated under a lock beside it.

What is not a journal of this version or an earlier one (corrupt, newer, another program's) is named in a JournalError
and left as it is, byte for byte: the first look goes through a read-only connection, which cannot even fold the
write-ahead log into the file.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

from sqlite_utils import Database, Migrations

import pigeon
from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import place
from pigeon.journal.connection import (
    BUSY_S,
    ERRORS,
    OTHER_PLACE,
    JournalUnavailable,
    code_of,
    connect,
    explain,
)

_LOCK_POLL_S = 0.02

MISSING = "missing"
BEHIND = "behind"
CURRENT = "current"


@cache
def migrations() -> Migrations:
    """The schema: from the package (a wheel, a zipapp) or from beside it (a checkout). Read once, as modules are.

    Raises JournalError: it is in neither place.
    """
    package = os.path.dirname(pigeon.__file__)
    loader = pigeon.__spec__.loader
    for path in (
        f"{package}/_migrations/migrations.py",
        f"{os.path.dirname(package)}/migrations/migrations.py",
    ):
        try:
            # Not open(): inside a zipapp only the loader can read.
            source = loader.get_data(path)  # type: ignore[union-attr]  # both loaders that load packages have it
        except OSError:
            continue
        names: dict[str, object] = {"__name__": "pigeon_migrations", "__file__": path}
        exec(compile(source, path, "exec"), names)
        found = names["migrations"]
        assert isinstance(found, Migrations)
        return found
    raise JournalError(
        f"this pigeon is incomplete: `{package}` has no `_migrations`", hint="install it again"
    )


class Seen(NamedTuple):
    """A journal that was found current: which file, and the number that SQLite changes with its schema.

    https://www.sqlite.org/pragma.html#pragma_schema_version
    """

    device: int
    inode: int
    schema: int


def seen(path: str, connection: sqlite3.Connection) -> Seen:
    """What to know it by. Raises OSError, sqlite3.Error."""
    found = os.stat(path)
    (schema,) = connection.execute("PRAGMA schema_version").fetchone()
    return Seen(found.st_dev, found.st_ino, schema)


def look(path: str, busy_s: float = BUSY_S) -> tuple[str, sqlite3.Connection | None]:
    """(MISSING, BEHIND or CURRENT, an open read-only connection unless missing). Changes nothing.

    Raises:
        JournalError: what lies there is no journal of this version or an earlier one, or cannot be read.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return MISSING, None
    except OSError as error:
        raise JournalUnavailable(
            f"the journal `{path}` cannot be reached: {error.strerror}", hint=OTHER_PLACE
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        raise JournalError(f"the journal `{path}` is {kind}", hint=OTHER_PLACE)
    if found.st_size == 0:
        return MISSING, None
    connection = None
    try:
        connection = _first_look(path, busy_s)
        return _standing(path, connection), connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, ERRORS):
            raise explain(path, error) from error
        raise


def _first_look(path: str, busy_s: float) -> sqlite3.Connection:
    """A read-only connection that has read something."""
    connection = connect(path, mode="ro", busy_s=busy_s)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except ERRORS as error:
        connection.close()
        readable = code_of(error) in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
        if not readable or (os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal")):
            raise
        # A copy on a read-only disk, say: SQLite cannot put its files beside it, and nobody can change it either.
        connection = connect(path, mode="ro&immutable=1")
    return connection


@cache
def _known() -> frozenset[str]:
    """The names of all migrations of this version."""
    with Database(memory=True) as nothing:
        return frozenset(migration.name for migration in migrations().pending(nothing))


def _standing(path: str, connection: sqlite3.Connection) -> str:
    applied = _applied(connection)
    if applied is None:
        raise JournalError(
            f"`{path}` is a database of another program, not a journal of pigeon; it was left as it is",
            hint=OTHER_PLACE,
        )
    unknown = sorted(applied - _known())
    if unknown:
        raise JournalError(
            f"the journal `{path}` was written by a newer pigeon (it has `{unknown[-1]}`); it was left as it is",
            hint=f"use that version of pigeon, or {OTHER_PLACE}",
        )
    return CURRENT if applied >= _known() else BEHIND


def _has_log(connection: sqlite3.Connection) -> bool:
    """Whether it is in write-ahead mode: what `sqlite-utils migrate` has made is not."""
    return bool(connection.execute("PRAGMA journal_mode").fetchone() == ("wal",))


def _applied(connection: sqlite3.Connection) -> set[str] | None:
    """The migrations that the file has; None if it is another program's."""
    applied = set[str]()
    try:
        sql = "SELECT name FROM _sqlite_migrations WHERE migration_set = 'pigeon'"
        applied = {str(name) for (name,) in connection.execute(sql).fetchall()}
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
    if not applied:  # nothing of ours: no harm if it holds nothing at all
        sql = (
            "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~' AND tbl_name <> ?"
        )
        (tables,) = connection.execute(sql, (Migrations.migrations_table,)).fetchone()
        return None if tables else applied
    return applied


def settle(path: str, busy_s: float = BUSY_S, before: Seen | None = None) -> sqlite3.Connection:
    """Make `path` (without symbolic links) a journal of this version if it is not one; a read-only connection to it.

    `before`: what it was when it was found current. If it still is that, the connection has not read the schema, which
    is most of the work.

    Raises:
        JournalError: it cannot be made one, or may not be.
    """
    connection = (_as_before(path, busy_s, before) if before else None) or _current(path, busy_s)
    if connection is not None:
        return connection
    try:
        with _locked(path):
            _bring_up(path)
    except ERRORS as error:
        raise explain(path, error) from error
    except OSError as error:
        raise JournalError(
            f"the journal `{path}` cannot be made: {error.strerror}", hint=OTHER_PLACE
        ) from error
    connection = _current(path, busy_s)
    if connection is None:
        raise JournalError(f"the journal `{path}` was changed while it was being opened", hint="try again")
    return connection


def _as_before(path: str, busy_s: float, before: Seen) -> sqlite3.Connection | None:
    connection = None
    try:
        connection = connect(path, mode="ro", busy_s=busy_s)
        if seen(path, connection) == before:
            _check_ours(path)
            return connection
    except (OSError, *ERRORS, JournalError):
        pass  # who looks at all of it says why
    if connection is not None:
        connection.close()
    return None


def _current(path: str, busy_s: float) -> sqlite3.Connection | None:
    """A read-only connection to the journal if nothing needs to be done to it."""
    standing, connection = look(path, busy_s)
    if connection is None:
        return None
    try:
        _check_ours(path)
        if standing == CURRENT and _has_log(connection):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _bring_up(path: str) -> None:
    """Under the lock: look again, since whoever held it before may have done everything."""
    standing, connection = look(path)
    if connection is not None:
        connection.close()
    if standing == MISSING:
        _create(path)
    else:
        _migrate(path)


def _migrate(path: str) -> None:
    with Database(connect(path, mode="rw"), recursive_triggers=False, execute_plugins=False) as db:
        db.enable_wal()
        migrations().apply(db)


def _create(path: str) -> None:
    """Build the journal under another name, then give it its own in one step: nobody sees half of it."""
    for suffix in place.SIDECARS:
        # SQLite would replay a removed database's log into the new one. It may be all that is left: keep it.
        if os.path.lexists(path + suffix):
            os.rename(path + suffix, f"{path}{suffix}.left-{int(clock.wall())}")
    new = f"{path}.new"
    try:
        _remove(new)  # of a maker that was killed; the lock says that it is nobody else's
        os.close(_private_file(new, os.O_EXCL))
        _migrate(new)
        _sync(new)
        os.rename(new, path)
        _sync(os.path.dirname(path))
    finally:
        _remove(new)


def _remove(path: str) -> None:
    for name in (path, *(path + suffix for suffix in place.SIDECARS)):
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass


def _private_file(path: str, flags: int) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    os.fchmod(fd, 0o600)  # whatever the umask; SQLite gives its log the mode of the database
    return fd


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock beside the journal. Its file is never removed."""
    name = path + place.LOCK
    fd = _private_file(name, 0)
    try:
        deadline = clock.monotonic() + BUSY_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() > deadline:
                    raise JournalError(
                        f"another process has been migrating the journal for {BUSY_S:.0f} s (it holds `{name}`)",
                        hint="wait for it, or see with `fuser` which one it is",
                    ) from None
                clock.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(fd)


def _check_ours(path: str) -> None:
    """Recovery acts on what the journal says: only what nobody else can write is believed."""
    found = os.stat(path)
    if found.st_uid != os.geteuid():
        raise JournalError(
            f"the journal `{path}` belongs to another user (uid {found.st_uid})", hint=OTHER_PLACE
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise JournalError(f"the journal `{path}` can be written by other users", hint=f"`chmod 600 {path}`")
    if not os.access(path, os.W_OK):
        raise JournalError(f"the journal `{path}` is read-only", hint=f"`chmod 600 {path}`, or {OTHER_PLACE}")
