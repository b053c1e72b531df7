"""Living workers and clients among nonsense, in the long run: each serves on, or ends in time and says why.

Their numbers are PIGEON_FUZZ_SESSIONS and PIGEON_FUZZ_CLIENTS; PIGEON_FUZZ_SEED begins another row of them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child
from tests.helpers.share import Session
from tests.helpers.waiting import patient, wait_until
from tests.security.test_fuzz import a_request, a_status, a_worker_file, an_end, mutated

SESSIONS = int(os.environ.get("PIGEON_FUZZ_SESSIONS", "1000"))
CLIENTS = int(os.environ.get("PIGEON_FUZZ_CLIENTS", "300"))
SEED = int(os.environ.get("PIGEON_FUZZ_SEED", "0"))

AT_ONCE = 6
"""Clients that wait side by side: each is asleep nearly always."""

WORDS_S = 10.0
"""No hang lasts longer without words."""

LEAVES_S = 2.0
"""A client ends within this after SIGTERM, whatever the share holds (`client/terminal/leaving.py`)."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

VICTIMS = ("request.json", "status.json", "worker.claim", "stream.jsonl", "stdin.jsonl", "control.jsonl")


def damaged_session(pigeon: Pigeon, chance: random.Random, text: str) -> Session:
    """A published session, one of whose files is nonsense."""
    session = raw.publish(pigeon, text, lock="none", on_disconnect="keep")
    victim = chance.choice(VICTIMS)
    path = session.directory / victim
    content = {"request.json": a_request, "status.json": a_status}.get(victim, a_worker_file)()
    if chance.random() < 0.5:
        content["session_id"] = session.id
    path.unlink(missing_ok=True)
    path.write_bytes(mutated(content, chance))
    path.chmod(chance.choice((0o600, 0o600, 0o600, 0o666, 0o000)))
    return session


def test_a_great_many_damaged_sessions_on_a_living_worker(pigeon: Pigeon) -> None:
    """No traceback, nothing of another's run, and all along the worker serves others without delay."""
    chance = random.Random(SEED + 3)
    worker = pigeon.worker(max_jobs=4, host_timeout=3)
    for number in range(SESSIONS):
        session = damaged_session(pigeon, chance, f"touch ran.{number}")
        if chance.random() < 0.1:
            foreign = session.directory / "request.json"
            foreign.unlink(missing_ok=True)
            foreign.write_bytes(
                raw.dump(raw.a_request(session.id, pigeon.work, "touch foreign", lock="none"))
            )
            foreign.chmod(0o666)
        if number % 50 == 0:
            began = time.monotonic()
            assert pigeon.run("echo served", timeout_s=60).stdout == b"served\n"
            assert time.monotonic() - began < patient(WORDS_S), worker.log
        assert worker.child.running, worker.log
    # Refusals have their turn in order, so when this one has had it, the worker has been through all.
    raw.publish(pigeon, data=b"{").wait_final(patient(600))
    assert pigeon.run("echo served", timeout_s=60).stdout == b"served\n"
    assert not (pigeon.work / "foreign").exists()
    assert "Traceback" not in worker.log
    for words in (["sessions", "--all"], ["clean", "--dry-run"]):
        assert "bug of pigeon" not in pigeon.run(*words, timeout_s=120).words


class Subject:
    """One client, of whose files one is replaced by nonsense as soon as its session is published."""

    def __init__(self, pigeon: Pigeon, chance: random.Random, number: int) -> None:
        known = pigeon.namespace.session_names()
        self.client: Child = pigeon.start("true", options=("--claim-timeout", "2"))
        session = pigeon.wait_session(known)
        victim = chance.choice(
            ("status.json", "worker.claim", "stream.jsonl", f"../../workers/x-{number}.json")
        )
        makes: dict[str, Any] = {"status.json": a_status, "stream.jsonl": an_end}
        content = makes.get(victim, a_worker_file)()
        if victim == "status.json":
            content["session_id"] = session.id
            content["state"] = chance.choice(("failed", "running", "pending", "nonsense"))
        self.data = mutated(content, chance) + (b"\n" if victim == "stream.jsonl" else b"")
        self.victim = victim
        path = Path(session.directory) / victim
        temporary = path.with_name(f"fuzz-{os.urandom(4).hex()}")
        temporary.write_bytes(self.data)
        temporary.chmod(0o600)
        temporary.rename(path)
        self.began = time.monotonic()

    def tell(self) -> str:
        return f"{self.victim}: {self.data!r}\n{self.client.tell()}"


def test_a_great_many_clients_against_nonsense(pigeon: Pigeon) -> None:
    """Each ends with words or has said within 10 s why it waits; and who waits, as it must, ends at once if told to."""
    chance = random.Random(SEED + 4)
    for begun in range(0, CLIENTS, AT_ONCE):
        subjects = [Subject(pigeon, chance, begun + n) for n in range(min(AT_ONCE, CLIENTS - begun))]
        for one in subjects:
            left_s = one.began + WORDS_S - time.monotonic()
            wait_until(
                lambda one=one: not one.client.running or "pigeon: " in one.client.err,  # type: ignore[misc]
                max(left_s, 0.1),
                lambda one=one: f"words\n{one.tell()}",  # type: ignore[misc]
            )
        for one in subjects:
            if one.client.running:
                one.client.signal(signal.SIGTERM)
                told = time.monotonic()
                one.client.wait(20)
                assert time.monotonic() - told < patient(LEAVES_S), one.tell()
            assert "bug of pigeon" not in one.client.err, one.tell()
            assert "Traceback" not in one.client.err, one.tell()
