"""Journals that something has damaged, or somebody has forged: one of many kinds, as a seed says."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pigeon.journal.store import Journal
from tests.helpers.journals import STATES, row

SIDECARS = ("-wal", "-shm", "-journal")

Values = dict[str, object]


def make_journal(path: Path, rows: list[tuple[Values, str]]) -> None:
    """A sound journal: rows, each taken step by step to its state, and something in every other table."""
    with Journal.open(str(path)) as journal:
        for columns, state in rows:
            token = str(columns["claim_token"])
            journal.begin_claim({**row(token), **columns})
            for to in STATES[1 : STATES.index(state) + 1]:
                assert journal.advance(token, 1, to=to, return_code=0 if to == "exited" else None)
            journal.begin_wait(str(columns["session_id"]), "host-1", "directory", "another", 1.0)
            journal.event(str(columns["session_id"]), "resized", cols=80)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


# Bytes


def flipped(path: Path, chance: random.Random, _: Values) -> None:
    data = bytearray(path.read_bytes())
    end = chance.choice((100, 4096, len(data)))
    for _n in range(chance.choice((1, 4, 40))):
        data[chance.randrange(end)] = chance.randrange(256)
    path.write_bytes(data)


def cut(path: Path, chance: random.Random, _: Values) -> None:
    size = path.stat().st_size
    os.truncate(path, chance.choice((0, 1, 99, 100, 4095, 4096, chance.randrange(size), size - 1)))


def holes(path: Path, chance: random.Random, _: Values) -> None:
    data = bytearray(path.read_bytes())
    pages = len(data) // 4096
    for _n in range(chance.choice((1, 3, pages))):
        at = chance.randrange(pages) * 4096
        data[at : at + 4096] = chance.choice((b"\0", b"\xff", b"A")) * 4096
    path.write_bytes(data)


def exchanged_pages(path: Path, chance: random.Random, _: Values) -> None:
    data = bytearray(path.read_bytes())
    pages = len(data) // 4096
    one, other = (chance.randrange(1, pages) * 4096 for _n in range(2))
    data[one : one + 4096], data[other : other + 4096] = data[other : other + 4096], data[one : one + 4096]
    path.write_bytes(data)


def another_thing(path: Path, chance: random.Random, _: Values) -> None:
    path.unlink()
    kind = chance.randrange(5)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.write_bytes(chance.randbytes(chance.randrange(20000)))
    elif kind == 2:
        os.mkfifo(path)
    elif kind == 3:
        path.symlink_to(path.with_name("nowhere"))
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE sessions (a)")
    if path.is_file():
        path.chmod(0o600)


def logs(path: Path, chance: random.Random, _: Values) -> None:
    """Beside it lies nonsense, or the log of another database, or of this one, torn."""
    kind = chance.randrange(4)
    if kind == 0:
        for suffix in chance.sample(SIDECARS, chance.randrange(1, 4)):
            _beside(path, suffix).write_bytes(chance.randbytes(chance.choice((0, 1, 32, 5000, 100000))))
    else:
        other = path.with_name("other.db") if kind == 1 else path
        with closing(sqlite3.connect(other, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = wal").fetchall()
            database.execute("CREATE TABLE IF NOT EXISTS more (a)")
            for _n in range(chance.randrange(1, 40)):
                database.execute("INSERT INTO more VALUES (?)", (chance.randbytes(3000),))
            copies = {suffix: _beside(other, suffix).read_bytes() for suffix in ("-wal", "-shm")}
        for suffix, data in copies.items():
            torn = bytearray(data)
            for _n in range(chance.choice((0, 1, 30))):
                torn[chance.randrange(len(torn))] = chance.randrange(256)
            _beside(path, suffix).write_bytes(torn[: chance.choice((len(torn), chance.randrange(len(torn))))])
    for suffix in SIDECARS:
        if _beside(path, suffix).exists():
            _beside(path, suffix).chmod(0o600)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def proofs(path: Path, chance: random.Random, foreign: Values) -> None:
    """What lies in the directory of the runners' proofs is none."""
    place = _beside(path, ".runners")
    place.mkdir(mode=0o700, exist_ok=True)
    for name in [*(entry.name for entry in place.iterdir()), "odd\n\x1b[31m", "x.1.alive", "t.1"]:
        file = place / name
        file.unlink(missing_ok=True)
        kind = chance.randrange(5)
        if kind == 0:
            file.symlink_to(str(foreign["runner_lock"]))
        elif kind == 1:
            os.mkfifo(file, 0o600)
        elif kind == 2:
            file.mkdir()
        else:
            file.write_bytes(
                chance.choice((b"/\0%d 1" % int(str(foreign["runner_pid"])), chance.randbytes(99)))
            )
            file.chmod(chance.choice((0o600, 0o000)))


# What it says


def _changed(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for sql, values in statements:
            try:
                database.execute(sql, values)
            except sqlite3.Error:
                continue  # what this table does not take is no damage of it


def _loosened(path: Path) -> None:
    """So that every column takes every value."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA writable_schema = on")
        for name, sql in database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql NOT NULL"
        ).fetchall():
            loose = str(sql).replace("NOT NULL", "").replace("STRICT", "")
            database.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (loose, name))


def _columns(path: Path, table: str = "sessions") -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [str(found[1]) for found in database.execute(f"PRAGMA table_info({table})")]


def odd_values(path: Path, chance: random.Random, _: Values) -> None:
    """Wrong types, and texts that no row of ours can have."""
    nonsense: tuple[object, ...] = (
        None,
        0,
        -1,
        1,
        2**63 - 1,
        1.5,
        float("inf"),
        b"",
        b"\0",
        b"\xff\xfe" * 50,
        "",
        "\0",
        "../../x",
        "/",
        "\x1b]0;x\x07\x9b31m\u202e\n",
        "[" * 3000,
        "y" * 70000,
        "claimed",
        "exited",
    )
    _loosened(path)
    for table in ("sessions", chance.choice(("events", "waits", "destinations", "_sqlite_migrations"))):
        names = _columns(path, table)
        for name in chance.sample(names, min(len(names), chance.randrange(1, 5))):
            where = chance.choice(("1", "rowid % 2", "rowid = 3"))
            _changed(path, (f"UPDATE {table} SET {name} = ? WHERE {where}", (chance.choice(nonsense),)))


def forged_rows(path: Path, chance: random.Random, foreign: Values) -> None:
    """They name files and processes that have nothing to do with pigeon."""
    for name, value in foreign.items():
        if chance.random() < 0.7:
            where = chance.choice(("1", "rowid % 2 = 0", "rowid % 2 = 1"))
            _changed(path, (f"UPDATE sessions SET {name} = ? WHERE {where}", (value,)))
    if chance.random() < 0.3:
        state = chance.choice(("starting", "running", "exited"))
        _changed(path, ("UPDATE sessions SET state = ? WHERE state <> 'final'", (state,)))
    if chance.random() < 0.3:
        _changed(path, ("UPDATE sessions SET command_pid = ?", (chance.choice((0, 1, -1)),)))


def other_schema(path: Path, chance: random.Random, _: Values) -> None:
    kind = chance.randrange(9)
    table = chance.choice(("sessions", "events", "waits", "destinations", "_sqlite_migrations"))
    if kind == 0:
        _changed(path, (f"DROP TABLE {table}", ()))
    elif kind == 1:
        _changed(path, (f"ALTER TABLE {table} RENAME TO other", ()))
    elif kind == 2:
        column = chance.choice(_columns(path, table))
        _changed(path, (f"ALTER TABLE {table} RENAME COLUMN {column} TO other", ()))
    elif kind == 3:
        _changed(path, (f"DROP TABLE {table}", ()), (f"CREATE VIEW {table} AS SELECT 1 AS a", ()))
    elif kind == 4:
        _changed(path, (f"DELETE FROM {table}", ()))
    elif kind == 5:
        _changed(path, ("UPDATE _sqlite_migrations SET name = 'm999_of_the_future'", ()))
    elif kind == 6:
        does = chance.choice(("DELETE FROM sessions", "SELECT RAISE(ABORT, 'no')", "DELETE FROM events"))
        when = chance.choice(("UPDATE ON sessions", "INSERT ON sessions", "INSERT ON events"))
        _changed(path, (f"CREATE TRIGGER t AFTER {when} BEGIN {does}; END", ()))
    elif kind == 7:
        with closing(sqlite3.connect(path)) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type IN ('view', 'index')")
            found = [str(name) for (name,) in names if not str(name).startswith("sqlite_")]
        for name in found:
            _changed(path, (f"DROP VIEW {name}", ()), (f"DROP INDEX {name}", ()))
    else:
        _changed(path, ("PRAGMA journal_mode = delete", ()), ("PRAGMA user_version = 77", ()), ("VACUUM", ()))


DAMAGES: dict[str, Callable[[Path, random.Random, Values], None]] = {
    "flipped": flipped,
    "cut": cut,
    "holes": holes,
    "exchanged pages": exchanged_pages,
    "another thing": another_thing,
    "logs": logs,
    "proofs": proofs,
    "odd values": odd_values,
    "forged rows": forged_rows,
    "other schema": other_schema,
}


def damage(path: Path, chance: random.Random, foreign: Values) -> str:
    """Do one or two of them to a sound journal; which. `foreign`: what rows can be made to name."""
    kinds = [chance.choice([*DAMAGES])]
    if chance.random() < 0.3:
        kinds.append(chance.choice([*DAMAGES]))
    for kind in kinds:
        if not path.is_file() or path.is_symlink():
            break  # the first has put another thing in its place
        try:
            DAMAGES[kind](path, chance, foreign)
        except (sqlite3.Error, OSError, ValueError, IndexError):
            continue  # the first has left nothing that it could act upon
    return " and ".join(kinds)


def remove_journal(path: Path) -> None:
    """With all that lies beside it."""
    for entry in path.parent.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
