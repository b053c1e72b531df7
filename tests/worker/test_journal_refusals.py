"""What is no journal of ours is named and left as it is, byte for byte; and places that cannot hold one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from pigeon.errors import JournalError
from pigeon.journal.store import Journal
from tests.helpers.journals import child, contents, row, run
from tests.helpers.privileges import NOBODY, WITHOUT_OVERRIDE, needs_root


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, but somebody's diary\n" * 100)


def torn(path: Path) -> None:
    Journal.open(str(path)).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xaa" * 4096 + whole[8192:20480])


def foreign(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipes (name)")
    database.commit()
    database.close()


def foreign_with_migrations(path: Path) -> None:
    foreign(path)
    migrations = Migrations("cook")
    migrations()(lambda db: None)
    with Database(str(path)) as database:
        migrations.apply(database)


def newer(path: Path) -> None:
    """With rows that stand in the log only, which a careless look would fold into the file."""
    code = """
        journal = Journal.open(path)
        journal.begin_claim(row("a"))
        sql = "INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('pigeon', 'm999_from_the_future')"
        journal.connection.execute(sql)
        die()
    """
    with child(code, path) as process:
        process.died()
    assert Path(f"{path}-wal").stat().st_size > 0


BAD: list[tuple[Callable[[Path], None], str]] = [
    (garbage, "not an SQLite database"),
    (torn, "damaged"),
    (foreign, "another program"),
    (foreign_with_migrations, "another program"),
    (newer, "newer pigeon"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD, ids=[spoil.__name__ for spoil, _ in BAD])
@pytest.mark.parametrize("opened", [Journal.open, Journal.open_readonly], ids=["write", "read"])
def test_what_is_no_journal_of_ours_is_named_and_left_alone(
    path: Path, spoil: Callable[[Path], None], words: str, opened: Callable[[str], Journal]
) -> None:
    spoil(path)
    path.chmod(0o600)
    before = contents(path.parent)
    with pytest.raises(JournalError, match=words) as caught:
        opened(str(path))
    assert str(path) in caught.value.message
    assert caught.value.hint
    after = contents(path.parent)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"pigeon.db-wal"}  # an empty one, of the first look
    assert not after.get("pigeon.db-wal", b"") or "pigeon.db-wal" in before


def test_damage_further_in_is_found_when_asked_for(path: Path) -> None:
    with Journal.open(str(path)) as journal:
        for number in range(400):
            journal.begin_claim(row(f"{number:032x}", error="x" * 400))
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = b"\xaa" * 8192
    path.write_bytes(data)
    Journal.open(str(path)).close()  # a runner does not read it all
    before = path.read_bytes()
    with pytest.raises(JournalError, match="damaged"):
        Journal.open(str(path), verify=True)
    assert path.read_bytes() == before


def directory(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def open_to_others(path: Path) -> None:
    Journal.open(str(path)).close()
    path.chmod(0o620)


@pytest.mark.parametrize("spoil", [directory, fifo, below_a_file, loop, open_to_others])
def test_places_that_cannot_hold_a_journal(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path)
    with pytest.raises(JournalError) as caught:
        Journal.open(str(path))
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_directory_that_is_not_there(path: Path) -> None:
    with pytest.raises(JournalError, match="no directory") as caught:
        Journal.open(str(path.parent / "new" / "pigeon.db"))
    assert "mkdir" in str(caught.value.hint)
    assert not (path.parent / "new").exists()


def test_a_place_where_nobody_can_make_files() -> None:
    with pytest.raises(JournalError, match=r"/proc/pigeon\.db"):
        Journal.open("/proc/pigeon.db")


def test_a_directory_that_may_not_be_written(path: Path) -> None:
    path.parent.chmod(0o500)
    code = """
        try: Journal.open(path)
        except JournalError as error: say(error.message)
    """
    said = run(code, path, prefix=WITHOUT_OVERRIDE)
    assert str(path) in said
    assert "Permission denied" in said


def test_a_journal_that_may_not_be_written(path: Path) -> None:
    Journal.open(str(path)).close()
    path.chmod(0o400)
    code = """
        try: Journal.open(path)
        except JournalError as error: say(error.message)
        Journal.open_readonly(path).close(); say("read")
    """
    assert run(code, path, prefix=WITHOUT_OVERRIDE) == f"the journal `{path}` is read-only\nread\n"


@needs_root
def test_a_journal_of_another_user_is_not_believed(path: Path) -> None:
    Journal.open(str(path)).close()
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(JournalError, match="another user"):
        Journal.open(str(path))
    Journal.open_readonly(str(path)).close()
