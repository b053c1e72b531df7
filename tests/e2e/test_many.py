"""Many sessions: none is lost or mixed up, slots bound how many run, a directory runs one at a time in order."""

from __future__ import annotations

import hashlib

import pytest

from tests.helpers.evidence import journal_rows
from tests.helpers.notes import Notes, most_at_once, overlapping
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


@pytest.mark.slow
def test_a_hundred_at_once(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=16)
    clients = {}
    for number in range(100):
        data = f"input {number}\n".encode() * (1 + number * 37 % 500)
        text = notes.text(str(number), f"cat; echo err {number} >&2; (exit {number})")
        # Whoever waits for long is told so on stderr, but for `-q`.
        where = pigeon.directory(f"d{number}")
        clients[number] = pigeon.start(text, options=("-q",), stdin=data, cwd=where), data
    for number, (client, data) in clients.items():
        result = client.wait(60)
        assert result.code == number, result.words
        assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()
        assert result.stderr == f"err {number}\n".encode()
    intervals = notes.intervals([str(number) for number in clients])
    assert most_at_once(intervals) <= 16
    sessions = pigeon.sessions()
    assert len(sessions) == 100
    codes = {session.id: session.wait_state("succeeded", "failed")["exit_code"] for session in sessions}

    def written_down() -> dict[object, object]:
        return {row["session_id"]: row["exit_code"] for row in journal_rows(pigeon.journal)["sessions"]}

    wait_until(lambda: written_down() == codes, 15, "the journal's ends, a moment later")


def test_max_jobs_bounds_what_runs(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=2)
    names = [f"c{number}" for number in range(6)]
    clients = [pigeon.start(notes.holding(name), cwd=pigeon.directory(name)) for name in names]
    wait_until(lambda: sum(map(len, map(notes.starts, names))) >= 2, 20, "two at once")
    for name in names:
        notes.release(name)
    assert {client.wait().code for client in clients} == {0}
    assert most_at_once(notes.intervals(names)) == 2


def test_one_directory_one_at_a_time_in_order(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=8)
    names = [f"c{number}" for number in range(6)]
    clients = [pigeon.start(notes.holding("c0"))]
    notes.wait_started("c0")
    clients += [pigeon.begin(notes.text(name))[0] for name in names[1:]]
    notes.release("c0")
    assert {client.wait().code for client in clients} == {0}
    intervals = notes.intervals(names)
    assert overlapping(intervals) == []
    assert [interval.name for interval in intervals] == names


def test_no_lock_runs_beside(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=8)
    holder = pigeon.start(notes.holding("holder"))
    notes.wait_started("holder")
    assert pigeon.run(notes.text("beside"), options=("--no-lock",)).code == 0
    waiting, _ = pigeon.begin(notes.text("waiting"))
    assert holder.running
    assert waiting.running
    notes.release("holder")
    assert (holder.wait().code, waiting.wait().code) == (0, 0)
    intervals = notes.intervals(["holder", "beside", "waiting"])
    assert overlapping(intervals) == [("holder", "beside")]


def test_who_waits_for_a_directory_holds_no_slot(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=2)
    holder = pigeon.start(notes.holding("holder"))
    notes.wait_started("holder")
    waiting = [pigeon.begin(notes.text(f"w{number}"))[0] for number in range(3)]
    elsewhere = pigeon.run(notes.text("elsewhere"), cwd=pigeon.directory("elsewhere"), timeout_s=15)
    assert elsewhere.code == 0
    unclaimed = [session for session in pigeon.sessions() if session.state == "pending"]
    assert len(unclaimed) == 3
    assert [session.claim for session in unclaimed] == [None] * 3
    notes.release("holder")
    assert [client.wait().code for client in [holder, *waiting]] == [0] * 4
    assert overlapping(notes.intervals(["holder", "w0", "w1", "w2"])) == []


def test_two_workers_share_the_work(pigeon: Pigeon, notes: Notes) -> None:
    workers = [pigeon.worker(max_jobs=2), pigeon.worker(max_jobs=2)]
    names = [f"c{number}" for number in range(4)]
    clients = [pigeon.start(notes.holding(name), cwd=pigeon.directory(name)) for name in names]
    for name in names:
        notes.wait_started(name)
    claims = [session.claim or "" for session in pigeon.sessions()]
    for worker in workers:
        assert sum(f"worker_id={worker.id}\n" in claim for claim in claims) == 2, claims
    for name in names:
        notes.release(name)
    assert {client.wait().code for client in clients} == {0}


def test_two_workers_exclude_each_other_in_one_directory(pigeon: Pigeon, notes: Notes) -> None:
    for _ in range(2):
        pigeon.worker(max_jobs=4)
    names = [f"c{number}" for number in range(10)]
    clients = [pigeon.start(notes.text(name, "sleep 0.03")) for name in names]
    assert {client.wait().code for client in clients} == {0}
    assert overlapping(notes.intervals(names)) == []


def test_a_worker_of_another_journal_shares_too(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker(max_jobs=1)
    pigeon.worker(max_jobs=1, journal=pigeon.base / "journal" / "other.db")
    clients = [pigeon.start(notes.holding(name), cwd=pigeon.directory(name)) for name in ("a", "b")]
    for name in ("a", "b"):
        notes.wait_started(name)
    for name in ("a", "b"):
        notes.release(name)
    assert {client.wait().code for client in clients} == {0}


def test_routes_pick_their_workers(pigeon: Pigeon, notes: Notes) -> None:
    pigeon.worker("--route", "gpu")
    lost = pigeon.run("echo plain", options=("--claim-timeout", "1"))
    assert (lost.code, lost.stdout) == (255, b"")
    assert pigeon.run("echo gpu", options=("--route", "gpu")).stdout == b"gpu\n"
    pigeon.worker()
    assert pigeon.run("echo plain").stdout == b"plain\n"


def test_other_namespaces_are_other_worlds(pigeon: Pigeon) -> None:
    pigeon.worker()
    lost = pigeon.run("true", options=("--namespace", "other", "--claim-timeout", "1"))
    assert lost.code == 255
    assert "other" in lost.words


def test_a_worker_that_leaves_its_queue_to_the_next(pigeon: Pigeon, notes: Notes) -> None:
    first = pigeon.worker(max_jobs=1)
    holder = pigeon.start(notes.holding("holder"))
    notes.wait_started("holder")
    waiting, _ = pigeon.begin(notes.text("waiting"))
    first.signal()
    notes.release("holder")
    assert holder.wait().code == 0
    assert first.wait() == 0
    assert not notes.starts("waiting")
    pigeon.worker()
    assert waiting.wait().code == 0
    wait_until(lambda: all(s.state == "succeeded" for s in pigeon.sessions()), 15, "success of both")
