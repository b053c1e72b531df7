"""Owners that fall silent: another worker gives their sessions an end, once, and nothing is run again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.helpers.crash import CrashPoint
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.verbs import lose_host, runner_of
from tests.helpers.waiting import wait_until


@pytest.fixture
def notes(pigeon: Pigeon, notes: Notes) -> Notes:
    """With workers that give a silent host up soon."""
    pigeon.configure(worker={"host_timeout": 2})
    return notes


def another(pigeon: Pigeon) -> Path:
    """The journal of another host's worker."""
    return pigeon.base / "journal" / "another.db"


def test_a_host_that_never_comes_back(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker()
    client, session = pigeon.begin("echo begun; " + notes.holding("lost"))
    notes.wait_started("lost")
    wait_until(lambda: client.out == b"begun\n", 15, "the output")
    lose_host(pigeon, session)
    taker = pigeon.worker(journal=another(pigeon))
    result = client.wait(40)
    assert (result.stdout, result.code) == (b"begun\n", 255)
    assert "has been silent for too long" in result.words
    assert "not run again" in result.words
    status = session.status
    assert (status["state"], status["exit_code"], status["ended_by"]) == ("failed", 255, "takeover")
    assert taker.id in status["error"]
    assert "exit" not in session.events()
    assert len(notes.starts("lost")) == 1
    assert pigeon.run("echo on", cwd=pigeon.directory("elsewhere")).stdout == b"on\n"
    notes.release("lost")
    pigeon.wait_quiet()


def test_a_host_that_comes_back_finds_its_session_ended(pigeon: Pigeon, notes: Notes) -> None:
    """Its runner was cut off: it hangs its command up and writes nothing more."""
    pigeon.worker()
    client, session = pigeon.begin("echo begun; " + notes.holding("late"))
    notes.wait_started("late")
    wait_until(lambda: client.out == b"begun\n", 15, "the output")
    runner = lose_host(pigeon, session, signal.SIGSTOP)
    pigeon.worker(journal=another(pigeon))
    assert client.wait(40).code == 255
    status, stream = session.status, (session.directory / "stream.jsonl").read_bytes()
    os.kill(runner, signal.SIGCONT)
    pigeon.wait_quiet(30)
    assert (session.status, (session.directory / "stream.jsonl").read_bytes()) == (status, stream)
    assert len(notes.starts("late")) == 1
    row = pigeon.journal_row(session.id)
    assert row is not None
    assert row["state"] == "final"
    assert pigeon.run("true").code == 0, "the directory is free again"


def test_a_host_that_comes_back_just_before_the_start_starts_nothing(pigeon: Pigeon, notes: Notes) -> None:
    stop = CrashPoint(pigeon.base / "crash", "os.chdir", "/work", number=signal.SIGSTOP)
    owner = pigeon.worker(env=stop.env)
    client, session = pigeon.begin(notes.text("late"))
    wait_until(lambda: stop.has_happened, 15, "the runner's last step before the start")
    owner.kill()
    pigeon.worker(journal=another(pigeon))
    assert client.wait(40).code == 255
    assert stop.pid is not None
    os.kill(stop.pid, signal.SIGCONT)
    pigeon.wait_quiet(30)
    assert notes.starts("late") == []
    assert (session.status["state"], session.events()) == ("failed", [])
    row = pigeon.journal_row(session.id)
    assert row is not None
    assert row["state"] == "final"


def test_a_host_that_comes_back_after_the_commands_end_keeps_it_to_itself(
    pigeon: Pigeon, notes: Notes
) -> None:
    """Its runner stands where it is about to store the result, the second time that it opens the journal (each time
    by two connections)."""
    stop = CrashPoint(pigeon.base / "crash", "sqlite3.connect", "pigeon.db", nth=3, number=signal.SIGSTOP)
    owner = pigeon.worker(env=stop.env)
    client, session = pigeon.begin(notes.text("late", "sleep 0.3"))
    wait_until(lambda: stop.has_happened, 15, "the end of the command")
    owner.kill()
    assert notes.interval("late")
    pigeon.worker(journal=another(pigeon))
    assert client.wait(40).code == 255
    assert stop.pid is not None
    os.kill(stop.pid, signal.SIGCONT)
    pigeon.wait_quiet(30)
    assert session.status["ended_by"] == "takeover"
    assert "exit" not in session.events()


def test_a_worker_that_lives_keeps_its_stopped_runner(pigeon: Pigeon, notes: Notes) -> None:
    owner = pigeon.worker()
    client, session = pigeon.begin("echo begun; " + notes.holding("held"))
    notes.wait_started("held")
    session.wait_state("running")  # told a moment after the start
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGSTOP)
    pigeon.worker(journal=another(pigeon))
    beats: set[str] = set()

    def beaten() -> bool:
        beats.update(w["updated_at"] for w in pigeon.namespace.workers() if w["worker_id"] == owner.id)
        return len(beats) > 5

    wait_until(beaten, 30, "five seconds of the owner's life")
    assert session.state == "running"
    os.kill(runner, signal.SIGCONT)
    notes.release("held")
    assert client.wait().code == 0


def test_the_next_worker_with_the_journal_ends_it_at_once(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.configure(worker={"host_timeout": 600})
    pigeon.worker()
    client, session = pigeon.begin("echo begun; " + notes.holding("lost"))
    notes.wait_started("lost")
    lose_host(pigeon, session)
    pigeon.worker()
    result = client.wait(40)
    assert result.code == 255
    assert session.status["ended_by"] == "recovery"
    assert not (session.directory / "takeover.claim").exists()
    pigeon.wait_quiet(20)
    assert len(notes.starts("lost")) == 1


def test_two_takers_make_one_end(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker()
    client, session = pigeon.begin(notes.holding("lost"))
    notes.wait_started("lost")
    lose_host(pigeon, session)
    takers = [pigeon.worker(journal=pigeon.base / "journal" / f"{n}.db") for n in range(2)]
    assert client.wait(40).code == 255
    text = (session.directory / "takeover.claim").read_text()
    named = [taker for taker in takers if taker.id in session.status["error"]]
    assert len(named) == 1
    assert named[0].id in text
    notes.release("lost")
    pigeon.wait_quiet()
