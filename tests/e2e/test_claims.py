"""Claims that are not ours, empty or of a lost journal: never run, never taken away, ended by takeover in time."""

from __future__ import annotations

import os
import socket

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until

CLAIMS = {
    "empty": "",
    "foreign": "worker_host=elsewhere\nworker_pid=1\n",
    "of this host": f"worker_host={socket.gethostname()}\nworker_pid=999999999\n",
    "newer": "worker_host=elsewhere\nworker_id=elsewhere-1\nclaim_token=00\nfeatures=heartbeat,ack,attach,more\n",
    "garbage": "\x00\x01 not = a claim\n==\n" * 1000,
}


def beside(pigeon: Pigeon) -> None:
    """Other sessions are served."""
    assert pigeon.run("echo on", cwd=pigeon.directory(f"beside-{raw.new_id()}")).stdout == b"on\n"


@pytest.mark.parametrize("text", CLAIMS.values(), ids=CLAIMS.keys())
def test_a_claim_that_is_not_ours_is_respected(pigeon: Pigeon, text: str) -> None:
    session = raw.publish(pigeon, "touch ran")
    raw.claim(session, text)
    pigeon.worker()
    beside(pigeon)
    beside(pigeon)
    assert session.state == "pending"
    assert session.claim == text
    assert not (pigeon.work / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "state", "code"),
    [
        (CLAIMS["empty"], "failed", 255),
        (CLAIMS["foreign"], "failed", 255),
        ("withdrawn_by=client\nclient_host=elsewhere\n", "cancelled", 130),
    ],
    ids=["empty", "foreign", "withdrawn"],
)
def test_its_session_ends_by_takeover(pigeon: Pigeon, text: str, state: str, code: int) -> None:
    pigeon.configure(worker={"host_timeout": 3})
    session = raw.publish(pigeon, "touch ran")
    raw.claim(session, text)
    pigeon.worker()
    status = session.wait_final(30)
    assert (status["state"], status["exit_code"], status["ended_by"]) == (state, code, "takeover")
    assert (session.directory / "takeover.claim").exists()
    assert session.claim == text
    assert not (pigeon.work / "ran").exists()


def test_a_claim_whose_journal_is_lost(pigeon: Pigeon) -> None:
    """The runner lives on, but the next worker has never heard of it: nothing is run twice, nothing is ended early."""
    notes = Notes(pigeon.base / "notes")
    worker = pigeon.worker()
    client = pigeon.start("echo begun; " + notes.holding("held"))
    notes.wait_started("held")
    worker.kill()
    pigeon.worker(journal=pigeon.base / "journal" / "new.db")
    beside(pigeon)
    pigeon.sessions()[0].wait_state("running")
    notes.release("held")
    assert client.wait(20).code == 0
    assert len(notes.starts("held")) == 1


def test_the_claim_is_whole_and_tells_its_features(pigeon: Pigeon) -> None:
    pigeon.worker()
    assert pigeon.run("true").code == 0
    session = pigeon.sessions()[0]
    session.wait_final()
    fields = dict(line.split("=", 1) for line in (session.claim or "").splitlines())
    assert fields["worker_host"] == socket.gethostname()
    assert fields["worker_id"] == pigeon.workers[0].id
    assert {"heartbeat", "ack", "attach"} <= set(fields["features"].split(","))
    row = pigeon.journal_row(session.id)
    assert row is not None
    assert fields["claim_token"] in row.values()
    wait_until(
        lambda: not any(name.startswith(".") for name in os.listdir(session.directory)), 10, "whole files"
    )


def test_a_withdrawn_session_is_not_run(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, "touch ran")
    raw.claim(session, "withdrawn_by=client\n")
    pigeon.worker()
    beside(pigeon)
    assert not (pigeon.work / "ran").exists()


def test_workers_that_start_at_once_run_each_session_once(pigeon: Pigeon) -> None:
    notes = Notes(pigeon.base / "notes")
    names = [f"c{number}" for number in range(12)]
    sessions = [raw.publish(pigeon, notes.text(name, "true"), cwd=pigeon.directory(name)) for name in names]
    for number in range(3):
        pigeon.start_worker(max_jobs=4, journal=pigeon.base / "journal" / f"{number}.db")
    wait_until(lambda: all(s.state == "succeeded" for s in sessions), 30, "the end of all sessions")
    # A listing may show a file twice while it is being replaced, so names are counted.
    wait_until(
        lambda: len({worker["worker_id"] for worker in pigeon.namespace.workers()}) == 3,
        20,
        "all worker files",
    )
    assert len(notes.intervals(names)) == 12
    for child in pigeon.started:
        child.signal(15)
        assert child.wait().code == 0
