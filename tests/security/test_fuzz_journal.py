"""Damaged and forged journals: a worker serves on or says what is wrong and what to do, and rows give no orders.

Briefly by default; with the `long` tests PIGEON_FUZZ_JOURNALS of them under real workers, from PIGEON_FUZZ_SEED on.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pigeon.errors import JournalError
from pigeon.journal import queries
from pigeon.journal.queries import Filter
from pigeon.journal.store import Journal
from pigeon.worker import identity
from pigeon.worker.recovery import plan
from tests.helpers import raw
from tests.helpers.journals import STATES
from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.share import Session
from tests.helpers.waiting import patient, wait_until
from tests.security.journal_damage import Values, damage, make_journal, remove_journal

JOURNALS = int(os.environ.get("PIGEON_FUZZ_JOURNALS", "1000"))
SEED = int(os.environ.get("PIGEON_FUZZ_SEED", "0"))
BRIEF = 120


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user that has nothing to do with pigeon."""
    process = subprocess.Popen(["sleep", "100000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def foreign_things(bystander: subprocess.Popen[bytes], precious: Path) -> Values:
    """What a forged row names: a process and a file of the same user, another boot, a command of the forger's."""
    start = identity.start_ticks(bystander.pid)
    return {
        "command_pid": bystander.pid,
        "command_start": start,
        "runner_pid": bystander.pid,
        "runner_start": start,
        "runner_lock": str(precious),
        "boot_id": "another/boot",
        "command": '["sh", "-c", "touch foreign"]',
        "cwd": str(precious.parent),
        "worker_id": "../../precious",
    }


def test_a_damaged_journal_is_named(tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    """Whoever opens, reads or writes it gets an answer or a JournalError with words, and no other error."""
    precious = tmp_path / "precious"
    precious.write_text("kept")
    sound = tmp_path / "sound" / "j.db"
    path = tmp_path / "journal" / "j.db"
    for place in (sound, path):
        place.parent.mkdir(mode=0o700)
    make_journal(
        sound, [({"claim_token": f"t{n}", "session_id": raw.new_id()}, s) for n, s in enumerate(STATES)]
    )
    foreign = foreign_things(bystander, precious)
    chance = random.Random(SEED)
    named = 0
    for number in range(BRIEF):
        remove_journal(path)
        shutil.copy(sound, path)
        kind = damage(path, chance, foreign)
        try:
            ask(path)
        except JournalError as error:
            assert error.hint and str(path.parent) in error.message, (number, kind, error)
            named += 1
        except Exception as error:
            raise AssertionError(f"seed {SEED}, journal {number}: {kind}") from error
    assert 0 < named < BRIEF
    assert precious.read_text() == "kept"
    assert bystander.poll() is None


@pytest.mark.parametrize(("table", "column"), [("sessions", "command"), ("events", "detail")])
def test_json_that_is_nested_too_deeply_is_text(tmp_path: Path, table: str, column: str) -> None:
    path = tmp_path / "j.db"
    make_journal(path, [({"claim_token": "t", "session_id": raw.new_id()}, "final")])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE {table} SET {column} = ?", ("[" * 100_000,))
    ask(path)


def ask(path: Path) -> None:
    """What verbs and workers ask a journal."""
    with Journal.open_readonly(str(path)) as journal:
        ids = journal.read(lambda: queries.session_ids(journal.connection, ""))
        journal.read(lambda: queries.select(journal.connection, Filter(), 0))
        journal.read(lambda: [*queries.all_events(journal.connection)])
        journal.read(lambda: [*queries.all_waits(journal.connection)])
        for session_id in ids[:3]:
            for question in (queries.claims_of, queries.waits_of, queries.events_of):
                journal.read(lambda ask=question, id=session_id: ask(journal.connection, id))  # type: ignore[misc]
    with Journal.open(str(path), verify=True, brief=True) as journal:
        for row in journal.unfinished("/cache", "lab"):
            if plan._is_sound(row):
                plan.is_dead(f"{path}.runners", row)
        journal.proofs()
        journal.prune(1e9)


# Live


class Field:
    """A share with one session for each state that a row may have, and how they are laid anew for each journal."""

    def __init__(self, pigeon: Pigeon, foreign: Values) -> None:
        self.pigeon = pigeon
        self.foreign = foreign
        self.sound = pigeon.base / "sound" / "j.db"
        self.sound.parent.mkdir(mode=0o700)
        self.sessions: dict[str, Session] = {}
        for state in STATES:
            session = raw.publish(
                pigeon, f"echo >> {pigeon.work}/ran.{state}", lock="none", on_disconnect="keep"
            )
            raw.claim(session, f"worker_host=x\nworker_id=x-1\nclaim_token=t{state}\n")
            if state not in ("claiming", "claimed"):
                raw.append(session, "stream.jsonl", raw.event("started", pid=1))
                raw.put_status(session, "running")
            if state == "final":
                raw.put_status(session, "succeeded", exit_code=0)
            self.sessions[state] = session
        rows: list[tuple[Values, str]] = []
        for state, session in self.sessions.items():
            columns: Values = {
                "claim_token": f"t{state}",
                "session_id": session.id,
                "cache": str(pigeon.share.worker_path),
                "namespace": "test",
                "lock_mode": "cwd",
                "boot_id": identity.boot_id(),
                "runner_pid": 2**22 + 5,  # no process can have it
                "runner_start": 1,
            }
            rows.append((columns, state))
        make_journal(self.sound, rows)
        self.template = pigeon.base / "template"
        shutil.copytree(pigeon.namespace.root / "sessions", self.template)

    def lay(self, chance: random.Random) -> str:
        """Everything as it was, and the journal damaged; how."""
        sessions = self.pigeon.namespace.root / "sessions"
        shutil.rmtree(sessions)
        shutil.copytree(self.template, sessions)
        remove_journal(self.pigeon.journal)
        shutil.copy(self.sound, self.pigeon.journal)
        for path in self.pigeon.work.iterdir():
            path.unlink()
        return damage(self.pigeon.journal, chance, self.foreign)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_great_many_damaged_journals(
    pigeon: Pigeon, bystander: subprocess.Popen[bytes], request: pytest.FixtureRequest
) -> None:
    """No traceback, nothing started that may have been before, nobody signalled, and words instead of service."""
    precious = pigeon.base / "precious"
    precious.write_text("kept")
    field = Field(pigeon, foreign_things(bystander, precious))
    served: dict[bool, int] = {False: 0, True: 0}
    for number in range(SEED, SEED + JOURNALS):
        chance = random.Random(number)
        kind = field.lay(chance)
        try:
            served[try_one(pigeon, chance)] += 1
            assert precious.read_text() == "kept"
            assert bystander.poll() is None
            for path in pigeon.work.iterdir():
                assert path.name in ("ran.claiming", "ran.claimed"), path
                assert len(path.read_bytes()) == 1, path
        except AssertionError as error:
            raise AssertionError(f"journal {number}: {kind}") from error
    print(f"\n{served[True]} served on, {served[False]} said what is wrong")
    assert all(served.values()) or JOURNALS < 100


def try_one(pigeon: Pigeon, chance: random.Random) -> bool:
    """A worker with that journal, a client, some verbs. Whether it served; if not, it has said why."""
    for stale in (pigeon.namespace.root / "workers").glob("*"):
        stale.unlink()
    options = ("--journal", str(pigeon.journal))
    verbs = (("history",), ("history", "--json"), ("history", "-n", "0", "--csv"), ("history", "--stats"))
    look_at(pigeon, (*chance.choice(verbs), *options))
    began = time.monotonic()
    child = pigeon.start_worker()

    def is_up() -> bool:
        return not child.running or any((pigeon.namespace.root / "workers").glob("*.json"))

    wait_until(is_up, 10, lambda: f"words or service\n{child.tell()}")
    is_served = False
    if child.running:
        worker = Worker(child, pigeon.namespace.workers()[0])
        result = pigeon.run("echo served", options=("--claim-timeout", "5"), timeout_s=30)
        is_served = result.stdout == b"served\n"
        assert is_served or result.words.startswith("pigeon: "), result
        look_at(pigeon, ("inspect", chance.choice(pigeon.sessions()).id, "--here", *options))
        if child.running:
            assert worker.stop(30) in ((0,) if is_served else (0, 255)), worker.log
            assert is_served or "journal" in child.err, child.tell()
    if not is_served:
        assert "journal" in child.err and "hint: " in child.err, child.tell()
    assert "Traceback" not in child.err and "bug of pigeon" not in child.err, child.tell()
    assert time.monotonic() - began < patient(60)
    pigeon.started.clear()
    pigeon.workers.clear()
    return is_served


def look_at(pigeon: Pigeon, words: tuple[str, ...]) -> None:
    """A verb answers, or says what is wrong with the journal."""
    done = pigeon.run(*words)
    assert done.code in (0, 1, 255), (words, done)
    assert "bug of pigeon" not in done.words and "Traceback" not in done.words, (words, done)
    assert done.code == 0 or "pigeon: " in done.words, (words, done)
