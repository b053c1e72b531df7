"""Journals for tests: rows to put in, and real processes that open, write and die in a journal."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

from pigeon.journal.store import Journal
from tests.helpers.waiting import patient

ROOT = Path(__file__).resolve().parents[2]

PROLOGUE = """\
import os, signal, sys
from pigeon.errors import JournalError
from pigeon.journal.store import Journal
from tests.helpers.journals import row
path = sys.argv[1]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def say(word):
    os.write(1, f"{word}\\n".encode())
def wait():
    assert os.read(0, 1) == b"", "the test closes our stdin"
"""
"""What every child begins with."""

OPEN = "Journal.open(path).close(); say('opened')"
"""Code for a child that only opens the journal."""


def row(token: str, **columns: object) -> dict[str, object]:
    """A row for begin_claim, as a runner fills it in."""
    return {
        "claim_token": token,
        "session_id": f"1700000000000-{token[:12]:0>12}",
        "cache": "/cache",
        "namespace": "lab",
        "cwd": "/place",
        "command": ["bash", "-lc", "true"],
        "worker_id": "host-1",
        **columns,
    }


STATES = ("claiming", "claimed", "starting", "running", "exited", "final")


def advance_to(journal: Journal, token: str, state: str) -> None:
    """Take a new row there, step by step."""
    journal.begin_claim(row(token))
    for to in STATES[1 : STATES.index(state) + 1]:
        assert journal.advance(token, 1, to=to)


def set_columns(path: Path | str, token: str, **columns: object) -> None:
    """Change a claim's row behind the journal's back, as a damage or another version might."""
    changes = ", ".join(f"{name} = ?" for name in columns)
    with closing(sqlite3.connect(path)) as database, database:
        sql = f"UPDATE sessions SET {changes} WHERE claim_token = ?"
        assert database.execute(sql, [*columns.values(), token]).rowcount == 1


def child(code: str, path: Path | str, *words: str, prefix: tuple[str, ...] = (), umask: int = -1) -> Child:
    """A Python process that runs `code` with the journal's path; stdin and stdout are pipes."""
    return Child(
        [*prefix, sys.executable, "-c", PROLOGUE + textwrap.dedent(code), str(path), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=umask,
    )


class Child(subprocess.Popen[bytes]):
    """A child process; `with` ends and reaps it."""

    def line(self) -> str:
        """The next word that it says; empty when it has ended."""
        assert self.stdout is not None
        return self.stdout.readline().decode().rstrip("\n")

    def finish(self) -> str:
        """Close its stdin, wait for its end, and return what else it said; it must have ended well."""
        out, err = self.communicate(timeout=patient(60))
        assert self.returncode == 0, f"{self.returncode}\n{out.decode()}{err.decode()}"
        return out.decode()

    def died(self) -> None:
        """Wait for its end, which must be a SIGKILL."""
        out, err = self.communicate(timeout=patient(60))
        assert self.returncode == -9, f"{self.returncode}\n{out.decode()}{err.decode()}"

    def __exit__(self, *error: object) -> None:
        if self.poll() is None:
            self.kill()
        self.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()


def run(code: str, path: Path | str, *words: str, prefix: tuple[str, ...] = (), umask: int = -1) -> str:
    """Run `code` in a child to its good end; what it said."""
    with child(code, path, *words, prefix=prefix, umask=umask) as process:
        return process.finish()


def contents(directory: Path) -> dict[str, bytes]:
    """Every regular file of a directory but the shared-memory index, which readers may write."""
    files = (entry for entry in directory.iterdir() if entry.is_file() and not entry.name.endswith("-shm"))
    return {entry.name: entry.read_bytes() for entry in files}


def integrity(path: Path) -> str:
    """SQLite's own verdict on the whole file."""
    with Journal.open_readonly(str(path)) as journal:
        return str(journal.connection.execute("PRAGMA integrity_check").fetchone()[0])
