"""Nothing hangs without saying so: what a client says while it waits, and that it says nothing otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until


@contextmanager
def held(pigeon: Pigeon, notes: Notes, mark: str = "") -> Iterator[None]:
    """While the block runs, so does a command in the work directory."""
    holder = pigeon.start(f"{mark}{notes.holding('holder')}")
    notes.wait_started("holder")
    yield
    notes.release("holder")
    assert holder.wait().code == 0


def heartbeats(session: Session) -> int:
    """How often the client has shown life."""
    return sum(record["type"] == "heartbeat" for record in session.records("control.jsonl"))


def test_no_worker_yet(pigeon: Pigeon) -> None:
    """Told on a terminal or with `-v`, else silence; all are served when a worker comes up."""
    wanted = "waiting for a worker: none in namespace `test`"
    told = pigeon.start("echo served", options=("-v",), cwd=pigeon.directory("told"))
    silent = pigeon.start("echo served", cwd=pigeon.directory("silent"))
    window = pigeon.spawn_tty("echo served")
    wait_until(lambda: wanted in told.err, 15, "a line that says so")
    window.wait_for(wanted)
    pigeon.worker()
    assert told.wait().stdout == b"served\n"
    assert silent.wait() == (b"served\n", b"", 0)
    window.wait_for("\nserved")
    assert window.wait().code == 0


def test_giving_up_without_a_worker(pigeon: Pigeon) -> None:
    result = pigeon.run("touch ran", options=("--claim-timeout", "1"))
    assert (result.code, result.stdout) == (255, b"")
    lines = result.words.splitlines()
    assert lines[0].startswith("pigeon: no worker")
    assert "`test`" in lines[0]
    assert any("pigeon worker" in line for line in lines[1:])
    session = pigeon.sessions()[0]
    status = session.wait_final()
    assert (status["state"], status["exit_code"], status["ended_by"]) == ("cancelled", 255, "client")
    assert status["error"] == "no worker took it within 1 s"
    assert "withdrawn_by=client" in (session.claim or "")
    shown = pigeon.run("sessions", "--all").stdout.decode()
    assert "cancelled" in shown
    assert "no worker took it within 1 s" in shown
    inspected = pigeon.run("inspect", session.id).stdout.decode()
    assert "was withdrawn before it ran: no worker took it within 1 s" in inspected
    pigeon.worker()
    assert pigeon.run("true").code == 0
    assert not (pigeon.work / "ran").exists()


def test_a_full_worker(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=1)
    with held(pigeon, notes):
        client = pigeon.start("echo served", options=("-v",), cwd=pigeon.directory("other"))
        wait_until(
            lambda: re.search(r"full|busy|slot", client.err), 15, "a line that says that the worker is full"
        )
    assert client.wait().stdout == b"served\n"


@pytest.mark.slow
def test_a_full_worker_is_a_queue_and_not_an_absence(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=1)
    where = pigeon.directory("other")
    with held(pigeon, notes):
        client, session = pigeon.begin("echo served", options=("--claim-timeout", "1"), cwd=where)
        wait_until(lambda: heartbeats(session) > 1, 20, "a heartbeat well after the timeout")
        assert client.running
    assert client.wait().stdout == b"served\n"


def test_a_held_directory(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=4)
    with held(pigeon, notes, ": marker-of-the-holder; "):
        client = pigeon.start("echo served", options=("-v",))
        wait_until(
            lambda: "marker-of-the-holder" in client.err, 15, "a line that names the command that holds it"
        )
        line = next(line for line in client.err.splitlines() if "marker-of-the-holder" in line)
        assert line.startswith("pigeon: ")
        assert re.search(r"\d+ ?(s|min|h)\b", line), "since when"
    assert client.wait().stdout == b"served\n"


def test_interrupted_while_it_waits(pigeon: Pigeon) -> None:
    window = pigeon.spawn_tty("touch ran")
    pigeon.wait_session()
    window.type("\x03")
    assert window.wait(10).code == 130
    session = pigeon.sessions()[0]
    assert session.wait_final()["state"] == "cancelled"
    pigeon.worker()
    assert pigeon.run("true").code == 0
    assert not (pigeon.work / "ran").exists()


def test_a_signal_while_it_waits_for_a_directory(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=4)
    with held(pigeon, notes):
        client, session = pigeon.begin("touch ran")
        client.signal(2)
        assert client.wait(10).code == 130
        assert session.wait_final()["state"] == "cancelled"
    assert pigeon.run("true").code == 0
    assert not (pigeon.work / "ran").exists()


def test_verbose_prints_the_states(pigeon: Pigeon) -> None:
    pigeon.worker()
    result = pigeon.run("echo out", options=("-v",))
    assert result.stdout == b"out\n"
    assert all(line.startswith("pigeon: ") for line in result.words.splitlines())
    session = pigeon.sessions()[0]
    assert session.id in result.words
    assert re.search(r"running|started", result.words)
    assert re.search(r"succeeded|exit", result.words)
