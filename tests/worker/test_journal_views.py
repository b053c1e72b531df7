"""The journal's views, and what pigeon/docs/journal.md promises of them, asked as other tools ask: by plain SQL."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pigeon.journal.store import Journal
from tests.helpers.book import Book, at
from tests.helpers.journals import ROOT

PAGE = (ROOT / "pigeon" / "docs" / "journal.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
VIEWS = re.findall(r"(?m)^\| `(\w+)` \| an? ", PAGE)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A journal in which everything has happened once."""
    book = Book(tmp_path)
    holder = book.add(
        "train.py", cwd="/proj", run_s=90.0, bytes_out_pty=1000, requester_user="ann", started_at=at(120)
    )
    waiter = book.add(["ls", "a b"], cwd="/proj", lock_wait_s=60.0, slot_wait_s=2.0, started_at=at(30))
    book.add("exit 3", cwd="/x", outcome="failed", exit_code=3, return_code=3, bytes_in=5)
    book.add("kill -9 $$", cwd="/x", outcome="failed", exit_code=137, return_code=-9)
    book.add("gone", cwd="/x", outcome="failed", exit_code=255, return_code=None, ended_by="recovery")
    book.add("no", cwd="/x", outcome="cancelled", return_code=None, run_s=None)
    book.add("sleep 9", "starting", cwd="/x")
    book.add(["printf", "\udcff"], cwd="/caf\udce9")
    book.add(
        "exec pigeon history -n20", cwd="/", lock_mode="none", terminal=0
    )  # a question from another machine
    book.add(["true", "pigeon ping"], cwd="/", lock_mode="none", terminal=0)
    with Journal.open(str(book.path)) as journal:
        journal.begin_wait(waiter, "w", "directory", holder, at(90))
        journal.end_wait(waiter, "w", "directory", 60.0)
    return book


def ask(book: Book, sql: str) -> list[dict[str, object]]:
    """The rows, by a connection that knows nothing of pigeon."""
    connection = sqlite3.connect(f"file:{book.path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql)]
    finally:
        connection.close()


def test_each_command_reads_as_it_was_typed_and_ended(book: Book) -> None:
    rows = {row["command"]: row for row in ask(book, "SELECT * FROM commands")}
    assert {command: row["ended"] for command, row in rows.items()} == {
        "train.py": "succeeded",
        "ls a b": "succeeded",
        "exit 3": "exit 3",
        "kill -9 $$": "signal 9",
        "gone": "lost",
        "no": "cancelled",
        "sleep 9": "running",
        '["printf","\\udcff"]': "succeeded",
    }
    waited = rows["ls a b"]
    assert (waited["wait_s"], waited["directory_wait_s"], waited["slot_wait_s"]) == (62.0, 60.0, 2.0)
    assert rows['["printf","\\udcff"]']["directory"] == "x'2F636166E9'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(waited["at"]))


def test_waiting_names_both_sides(book: Book) -> None:
    (wait,) = ask(book, "SELECT * FROM waiting")
    named = (wait["directory"], wait["command"], wait["reason"], wait["waited_s"])
    assert named == ("/proj", "ls a b", "directory", 60.0)
    assert (wait["held_by_command"], wait["held_by_user"]) == ("train.py", "ann")


def test_the_sums_are_those_of_the_commands(book: Book) -> None:
    directories = {row["directory"]: row for row in ask(book, "SELECT * FROM directories")}
    assert (directories["/proj"]["commands"], directories["/proj"]["failed"]) == (2, 0)
    assert (directories["/x"]["commands"], directories["/x"]["failed"], directories["/x"]["cancelled"]) == (
        5,
        3,
        1,
    )
    assert directories["/proj"]["longest_wait_s"] == 62.0
    days = ask(book, "SELECT * FROM days")
    assert sum(int(str(day["commands"])) for day in days) == 8
    assert sum(int(str(day["bytes_out"])) for day in days) == 1000


def test_the_page_tells_of_every_view(book: Book) -> None:
    names = [row["name"] for row in ask(book, "SELECT name FROM sqlite_master WHERE type = 'view'")]
    assert sorted(str(name) for name in names) == sorted(VIEWS)


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_of_the_page_runs_and_finds_something(book: Book, sql: str) -> None:
    assert ask(book, sql)


def test_a_session_id_of_the_page_joins_the_tables(book: Book) -> None:
    sql = "SELECT count(*) AS n FROM commands JOIN sessions USING (session_id) JOIN waits USING (session_id)"
    assert ask(book, sql) == [{"n": 1}]


def test_sqlite_utils_opens_it(book: Book) -> None:
    """Its text factory is strict: what is not UTF-8 must not come out of a view."""
    for view in VIEWS:
        words = [sys.executable, "-m", "sqlite_utils", "rows", str(book.path), view]
        done = subprocess.run(words, capture_output=True, check=True)
        assert json.loads(done.stdout), view


def test_a_process_of_before_the_views_still_writes(tmp_path: Path) -> None:
    """A runner outlives an upgrade, and goes on writing to the tables through its open connection."""
    path = tmp_path / "journal.db"
    migrations = str(ROOT / "migrations" / "migrations.py")
    words = [sys.executable, "-m", "sqlite_utils", "migrate", str(path), migrations]
    subprocess.run([*words, "--stop-before", "m002_views"], check=True, capture_output=True, umask=0o077)
    runner = sqlite3.connect(path, isolation_level=None)
    assert runner.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone() == (0,)
    Journal.open(str(path)).close()
    runner.execute("INSERT INTO waits (session_id, worker_id, reason, since) VALUES ('1-a', 'w', 'slot', 0)")
    assert runner.execute("SELECT session_id, reason FROM waiting").fetchall() == [("1-a", "slot")]
    runner.close()


@pytest.mark.long
def test_datasette_opens_it_with_the_facets_of_the_page(book: Book, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    subprocess.run([str(venv / "bin" / "pip"), "install", "-q", "datasette"], check=True)
    addresses = re.findall(r"`([a-z]+\?_[^`]+)`", PAGE)
    assert len(addresses) == 2
    # By the name that a journal has: its dot is not in the address as it is.
    journal = tmp_path / ".pigeon.db"
    with closing(sqlite3.connect(book.path)) as connection:
        connection.execute("VACUUM INTO ?", (str(journal),))
    (place,) = re.findall(r"`http://127.0.0.1:8001(/[^`]+/)`", PAGE)
    for address in addresses:
        table, _, query = address.partition("?")
        asked = f"{place}{table}.json?{query}&_size=max"
        words = [str(venv / "bin" / "datasette"), str(journal), "--get", asked]
        done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
        answer = json.loads(done.stdout)
        assert answer["rows"], address
        assert set(re.findall(r"_facet=(\w+)", query)) <= answer["facet_results"].keys()
