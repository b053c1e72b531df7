"""Opening the journal: made whole or not at all, by one of many, and migrated under a lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database

from pigeon.errors import JournalError
from pigeon.journal import queries, schema
from pigeon.journal.rows import COLUMNS
from pigeon.journal.store import Journal
from tests.helpers.journals import OPEN, ROOT, child, contents, integrity, row, run
from tests.helpers.privileges import WITHOUT_OVERRIDE
from tests.helpers.waiting import wait_until

# -- making ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_a_new_journal_is_private_and_complete(path: Path, umask: int) -> None:
    run("with Journal.open(path) as journal: journal.begin_claim(row('a'))", path, umask=umask)
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}
    assert path.name in modes
    assert set(modes.values()) == {0o600}, modes
    assert not [name for name in modes if ".new" in name]
    with Journal.open_readonly(str(path)) as journal:
        assert journal.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert queries.count(journal.connection) == 1
    assert integrity(path) == "ok"


def test_many_make_one_journal_at_the_same_moment(path: Path) -> None:
    code = """
        say("ready"); wait()
        with Journal.open(path) as journal:
            journal.begin_claim(row(sys.argv[2]))
    """
    children = [child(code, path, f"{number:032x}") for number in range(8)]
    try:
        assert [process.line() for process in children] == ["ready"] * 8
        for process in children:
            assert process.stdin is not None
            process.stdin.close()
        for process in children:
            process.stdin = None
            process.finish()
    finally:
        for process in children:
            process.__exit__()
    with Journal.open_readonly(str(path)) as journal:
        assert queries.count(journal.connection) == 8
        applied = journal.connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()
    assert applied == (len(schema._known()),)
    assert integrity(path) == "ok"


@pytest.mark.parametrize(
    ("event", "on", "number"),
    [
        ("open", ".lock", 1),
        ("fcntl.flock", "", 1),
        ("open", ".new", 1),
        ("sqlite3.connect", ".new", 1),
        ("open", ".new", 2),
        ("os.rename", ".new", 1),
        ("sqlite3.connect", "mode=ro", 1),
        ("sqlite3.connect", "mode=rw", 2),
    ],
)
def test_a_maker_that_is_killed_leaves_nothing_in_the_way(
    path: Path, event: str, on: str, number: int
) -> None:
    code = f"""
        left = {number}
        def hook(event, arguments):
            global left
            if event == {event!r} and {on!r} in str(arguments[0]):
                left -= 1
                if left == 0:
                    say("killed")
                    die()
        sys.addaudithook(hook)
        Journal.open(path).close()
    """
    with child(code, path) as process:
        assert process.line() == "killed"
        process.died()
    Journal.open(str(path)).close()
    assert integrity(path) == "ok"
    assert not [entry for entry in path.parent.iterdir() if ".new" in entry.name]


def test_a_journal_that_is_current_takes_no_lock(path: Path) -> None:
    Journal.open(str(path)).close()
    with open(f"{path}.lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(OPEN, path)  # would wait for 30 s, and fail


def test_a_maker_waits_for_the_one_at_work(path: Path) -> None:
    lock_path = Path(f"{path}.lock")
    with lock_path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with child(OPEN, path) as process:
            opened = f"/proc/{process.pid}/fd"

            def has_it_open() -> bool:
                assert process.poll() is None
                try:
                    return any(os.readlink(f"{opened}/{fd}") == str(lock_path) for fd in os.listdir(opened))
                except OSError:
                    return False

            wait_until(has_it_open, 20, "the child at the lock")
            assert not path.exists()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert process.finish() == "opened\n"


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch(mode=0o600)
    Journal.open(str(path)).close()
    assert integrity(path) == "ok"


def test_the_log_of_a_removed_journal_is_kept_and_not_replayed(path: Path) -> None:
    with child("journal = Journal.open(path); journal.begin_claim(row('a')); die()", path) as process:
        process.died()
    log = Path(f"{path}-wal").read_bytes()
    assert log
    path.unlink()
    with Journal.open(str(path)) as journal:
        assert queries.count(journal.connection) == 0
    kept = [entry for entry in path.parent.iterdir() if "-wal.left-" in entry.name]
    assert [entry.read_bytes() for entry in kept] == [log]


def test_two_names_of_one_journal_are_one_journal(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with Journal.open(str(link)) as journal:
        journal.begin_claim(row("a"))
    with Journal.open(str(path)) as journal:
        assert queries.count(journal.connection) == 1
    assert sorted(os.listdir(tmp_path)) == ["journal", "link.db"]


# -- migrating -------------------------------------------------------------------------------------------


def migrate(path: Path, *options: str) -> None:
    """What an operator may do by hand."""
    words = [
        sys.executable,
        "-m",
        "sqlite_utils",
        "migrate",
        str(path),
        str(ROOT / "migrations" / "migrations.py"),
    ]
    subprocess.run([*words, *options], check=True, capture_output=True, umask=0o077)


def test_what_sqlite_utils_has_migrated_is_a_journal(path: Path) -> None:
    migrate(path)
    with Journal.open_readonly(str(path)) as journal:
        assert queries.count(journal.connection) == 0
    with Journal.open(str(path)) as journal:
        journal.begin_claim(row("a"))
        assert journal.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_older_journal_is_migrated_by_a_writer_only(path: Path) -> None:
    migrate(path, "--stop-before", "m001_sessions_waits_events")
    before = contents(path.parent)
    with pytest.raises(JournalError, match="older"):
        Journal.open_readonly(str(path))
    assert contents(path.parent) == before
    Journal.open(str(path)).close()
    assert integrity(path) == "ok"


def test_each_migration_changes_the_number_by_which_a_journal_is_known(path: Path) -> None:
    """Or a runner would not notice that a newer version has changed what it knows."""
    names = [migration.name for migration in schema.migrations().pending(Database(memory=True))]
    numbers = []
    with Database(str(path)) as database:
        for after in [*names[1:], None]:
            schema.migrations().apply(database, stop_before=after)
            numbers.append(schema.seen(str(path), database.conn).schema)
    assert len(set(numbers)) == len(names)


def test_what_is_still_as_it_was_is_not_looked_through_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = schema.look

    def counted(name: str, *more: float) -> tuple[str, sqlite3.Connection | None]:
        looks.append(name)
        return look(name, *more)

    with Journal.open(str(path)) as journal:
        before = journal.seen()
    monkeypatch.setattr(schema, "look", counted)
    with Journal.open(str(path), before=before) as journal:
        journal.begin_claim(row("a"))
    assert not looks
    shutil.copy(path, f"{path}.copy")
    os.replace(f"{path}.copy", path)  # another file, even if it is the same to the byte
    with Journal.open(str(path), before=before) as journal:
        before = journal.seen()
    assert len(looks) == 1
    with Database(str(path)) as database:
        database.execute("CREATE TABLE of_another_version (a)")
        database.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('pigeon', 'm999')")
    with pytest.raises(JournalError, match="newer pigeon"):
        Journal.open(str(path), before=before)
    path.chmod(0o666)
    with pytest.raises(JournalError):
        Journal.open(str(path), before=before)


def test_a_journal_of_version_1_with_a_column_of_a_stranger(path: Path) -> None:
    database = sqlite3.connect(path)
    database.executescript((ROOT / "tests" / "data" / "journal-1.sql").read_text())
    database.close()
    path.chmod(0o600)
    with Journal.open(str(path)) as journal:
        rows = journal.unfinished("/cache", "lab")
        assert [(found.session_id, found.state) for found in rows] == [
            ("1700000000000-00000000000b", "running")
        ]
        assert journal.advance("b", 2, to="exited", return_code=-9)
        (done,) = queries.claims_of(journal.connection, "1700000000000-00000000000a")
        assert (done.command, done.outcome, done.exit_code) == (["bash", "-lc", "exit 3"], "failed", 3)
        assert queries.waits_of(journal.connection, done.session_id)[0].waited_s == 1.5
        assert queries.events_of(journal.connection, done.session_id)[-2].detail["exit_code"] == 3


def test_rows_have_the_columns_of_the_table(path: Path) -> None:
    Journal.open(str(path)).close()
    with Database(str(path)) as database:
        assert tuple(database["sessions"].columns_dict) == COLUMNS


# -- reading ---------------------------------------------------------------------------------------------


def test_a_reader_makes_nothing(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        Journal.open_readonly(str(path))
    assert os.listdir(path.parent) == []


def test_a_reader_cannot_write(path: Path) -> None:
    Journal.open(str(path)).close()
    with (
        Journal.open_readonly(str(path)) as journal,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        journal.connection.execute("DELETE FROM sessions")


def test_a_reader_sees_what_a_killed_writer_wrote(path: Path) -> None:
    with child("journal = Journal.open(path); journal.begin_claim(row('a')); die()", path) as process:
        process.died()
    with Journal.open_readonly(str(path)) as journal:
        found = journal.get("a")
    assert found is not None
    assert found.state == "claiming"


def test_a_copy_on_a_read_only_place_can_be_read(path: Path) -> None:
    with Journal.open(str(path)) as journal:
        journal.begin_claim(row("a"))
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    copy = path.parent.parent / "copy" / "pigeon.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    copy.parent.chmod(0o500)
    code = "with Journal.open_readonly(path) as journal: say(journal.get('a').state)"
    assert run(code, copy, prefix=WITHOUT_OVERRIDE) == "claiming\n"


def test_a_connection_is_not_carried_across_fork(path: Path) -> None:
    code = """
        journal = Journal.open(path)
        pid = os.fork()
        if pid == 0:
            for use in (lambda: journal.get("a"), lambda: journal.event("a", "b"), journal.close):
                try: use()
                except AssertionError: say("refused")
            os._exit(0)
        os.waitpid(pid, 0)
    """
    assert run(code, path) == "refused\n" * 3
