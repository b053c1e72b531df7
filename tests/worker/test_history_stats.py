"""`pigeon history --stats` and `--sort`, and whose sessions count."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pigeon import clock
from pigeon.journal.rows import Row
from pigeon.report.statistics import program
from tests.helpers.book import Book, at

DAY = 86400.0


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """Two days, two directories, and a question from another machine."""
    book = Book(tmp_path)
    book.add("git pull", cwd="/a", started_at=at(DAY), run_s=10.0, bytes_out_stdout=2048)
    book.add("FOO=1 /usr/bin/git push", cwd="/a", run_s=30.0, lock_wait_s=75.0, slot_wait_s=5.0)
    book.add(
        ["make", "all"], cwd="/b", outcome="failed", exit_code=2, return_code=2, run_s=5.0, bytes_in=9000
    )
    book.add("no", cwd="/b", outcome="cancelled", return_code=None, run_s=None)
    book.add("exec pigeon history -n20", cwd="/", lock_mode="none", terminal=0)
    return book


def stats(book: Book, *words: str) -> dict[str, dict[str, object]]:
    result = book.run("--json", *words)
    assert result.code == 0, result.words
    return {record["group"]: record for record in json.loads(result.stdout)}


def test_by_directory(book: Book) -> None:
    found = stats(book, "--stats", "directory")
    assert list(found) == ["/a", "/b"]
    a, b = found["/a"], found["/b"]
    assert (a["commands"], a["failed"], a["run_s"], a["wait_s"], a["longest_wait_s"]) == (
        2,
        0,
        40.0,
        80.0,
        80.0,
    )
    assert (b["commands"], b["failed"], b["cancelled"], b["bytes_in"]) == (2, 1, 1, 9000)


def test_by_day_newest_first_and_by_default(book: Book) -> None:
    days = list(stats(book, "--stats"))
    assert days == [clock.local_text(at(60))[:10], clock.local_text(at(DAY))[:10]]


def test_by_program(book: Book) -> None:
    assert list(stats(book, "--stats", "command")) == ["git", "make", "no"]
    assert list(stats(book, "--stats", "command", "--sort", "bytes")) == ["make", "git", "no"]
    assert list(stats(book, "--stats", "command", "--since", "1h", "-n1")) == ["git"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["bash", "-lc", "A=1 b=2 ls"], "ls"),
        (["/usr/bin/env", "x"], "env"),
        (["bash", "-lc", "   "], "-"),
        (["bash", "-lc", "x=1"], "-"),
        ([], "-"),
    ],
)
def test_the_program_of_a_command(words: list[str], name: str) -> None:
    assert program(Row("t", "s", 1, "final", command=words)) == name


def test_the_table_of_sums(book: Book) -> None:
    lines = book.table("--stats", "directory")
    assert lines[0].split() == "DIRECTORY COMMANDS FAILED RAN WAITED LONGEST IN/OUT (commands)".split()
    assert lines[1].split()[:6] == ["/a", "2", "-", "40s", "1m20s", "1m20s"]
    assert lines[1].endswith("█" * 12)
    assert lines[-1].split()[:3] == ["total", "4", "1"]
    few = book.table("--stats", "command", "-n", "1")
    assert few[-1].split()[:4] == ["total", "of", "3", "4"]
    plain = book.run("--stats", "directory", env={"PYTHONIOENCODING": "ascii"}).stdout
    assert b"############" in plain
    for line in book.table("--stats", "directory", env={"COLUMNS": "40"}):
        assert len(line) <= 40
    assert "no session" in book.run("--stats", "--command", "nothing").words


def test_csv_of_sums(book: Book) -> None:
    rows = list(csv.DictReader(io.StringIO(book.run("--stats", "directory", "--csv").stdout.decode())))
    assert [(row["group"], row["commands"]) for row in rows] == [("/a", "2"), ("/b", "2")]


def test_sorting_puts_the_largest_first(book: Book) -> None:
    assert book.commands("--sort", "slowest", "-n2") == ["FOO=1 /usr/bin/git push", "git pull"]
    assert book.commands("--sort", "waited", "-n1") == ["FOO=1 /usr/bin/git push"]
    assert book.commands("--sort", "bytes", "-n1") == ["all"]


def test_the_wait_of_the_table_is_the_sum_of_all(book: Book) -> None:
    (line,) = [line for line in book.table() if line.endswith("git push")]
    assert "1m20s" in line.split()


def test_pigeons_own_questions_are_hidden_unless_all_is_asked_for(book: Book) -> None:
    assert "exec pigeon history -n20" not in book.commands()
    assert "exec pigeon history -n20" in book.commands("--all")
    book.add(["true", "pigeon ping"], cwd="/", lock_mode="none", terminal=0)
    assert "pigeon ping" not in book.commands()
    book.add("exec pigeon history", cwd="/home", lock_mode="none", terminal=0)  # typed by somebody, elsewhere
    assert "exec pigeon history" in book.commands()
