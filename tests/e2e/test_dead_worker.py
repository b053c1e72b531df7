"""What a client believes of worker files, while it waits and when its session is silent: those that change, and not
what a dead worker has left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pigeon.client.session.owner import OwnerState
from pigeon.client.session.submit import Submission
from pigeon.client.session.workers import Watchers
from pigeon.text import duration
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace
from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until


def put_worker(pigeon: Pigeon, name: str, **fields: object) -> None:
    """A worker file as its worker last wrote it."""
    place = pigeon.namespace.root / "workers"
    for folder in (place.parents[1], place.parent, place):
        folder.mkdir(mode=0o700, exist_ok=True)
    document = {
        "worker_id": name,
        "host": "gone",
        "pid": 1,
        "route": None,
        "updated_ts": time.time(),
        **fields,
    }
    raw.replace(place / f"{name}.json", raw.dump(document))


def running(pigeon: Pigeon) -> list[dict[str, object]]:
    """That it runs something in the directory of this test."""
    entry = {
        "session_id": raw.new_id(),
        "cwd": str(pigeon.work),
        "command": ["bash", "-lc", "make"],
        "since_s": 5,
    }
    return [entry]


def test_what_a_dead_worker_ran_holds_nothing(pigeon: Pigeon) -> None:
    put_worker(pigeon, "gone-1", max_jobs=1, running=running(pigeon))
    result = pigeon.run("true", options=("-v", "--claim-timeout", "4"))
    assert result.code == 255
    assert "held by" not in result.words
    assert "waiting for a free worker" not in result.words
    assert "waiting for a worker in namespace `test`: gone-1 not seen to change" in result.words


def test_what_a_worker_that_changes_runs_is_believed(pigeon: Pigeon) -> None:
    held = running(pigeon)
    client = pigeon.start("true", options=("-v", "--claim-timeout", "60"))

    def is_told() -> bool:
        put_worker(pigeon, "here-1", max_jobs=4, running=held)
        return "waiting for this directory, held by `make`" in client.err

    wait_until(is_told, 20, lambda: f"the holder, not {client.err}", interval_s=0.3)
    client.signal(2)
    assert client.wait().code == 130


def test_nothing_is_said_before_the_living_can_be_told(pigeon: Pigeon) -> None:
    """By a clock of the test's own: the first look says nothing of a worker, the next ones the truth."""
    namespace = Namespace(str(pigeon.share.client_path), "test")
    put_worker(pigeon, "here-1", max_jobs=4, running=running(pigeon))

    def a_peer() -> OwnerState:
        session = namespace.session(raw.publish(pigeon).id)
        request = Request(session.session_id, ["make"], str(pigeon.work))
        submission = Submission(namespace, session, request)
        return OwnerState(submission, claim_timeout_s=30, worker_timeout_s=60)

    dead, lives = a_peer(), a_peer()
    assert [dead.wait(100.0 + n, 1.0 + n).notice for n in range(3)] == ["", "", ""]
    assert "here-1 not seen to change" in dead.wait(103.0, 4.0).notice
    assert lives.wait(100.0, 1.0).notice == ""
    put_worker(pigeon, "here-1", max_jobs=4, running=running(pigeon))
    assert lives.wait(101.0, 2.0).notice.startswith("waiting for this directory, held by `make`")


class Silent:
    """A session that runs and says nothing, judged by a clock of the test's own, half a second a step."""

    def __init__(self, pigeon: Pigeon, worker_timeout_s: float) -> None:
        namespace = Namespace(str(pigeon.share.client_path), "test")
        self.pigeon = pigeon
        self.id = raw.publish(pigeon).id
        session = namespace.session(self.id)
        raw.claim(Session(Path(session.directory)), "worker_id=one-1\nfeatures=heartbeat,ack,attach\n")
        submission = Submission(namespace, session, Request(self.id, ["true"], "/"))
        self.peer = OwnerState(submission, claim_timeout_s=30, worker_timeout_s=worker_timeout_s)
        self.now = 1000.0
        self.seconds = 0.0
        self.peer.looked(self.now, grew=True)

    def until(self, seconds: float, *alive: str, **fields: object) -> list[tuple[float, str]]:
        """(seconds of silence, notice) as they come, while these workers write their files."""
        told = []
        while self.seconds < seconds and self.peer.verdict is None:
            self.now, self.seconds = self.now + 0.5, self.seconds + 0.5
            for name in alive:
                put_worker(self.pigeon, name, step=self.seconds, **fields)
            self.peer.looked(self.now, grew=False)
            notice = self.peer.judge(self.now)
            told += [(self.seconds, notice)] if notice else []
        return told


@pytest.mark.parametrize("worker_timeout_s", [4.0, 12.0, 60.0])
def test_a_silent_session_whose_worker_lives(pigeon: Pigeon, worker_timeout_s: float) -> None:
    """The first thing that is said is true, and nobody is given up for a short `worker_timeout`."""
    due = max(worker_timeout_s, 10.0)
    one = Silent(pigeon, worker_timeout_s)
    assert one.until(due - 0.5, "one-1") == []
    ((at, notice),) = one.until(3 * due, "one-1")
    assert due <= at <= due + 1
    assert "the heartbeat file of its worker one-1 still changes; giving up after " in notice
    assert one.peer.verdict is None


@pytest.mark.parametrize("worker_timeout_s", [4.0, 60.0])
def test_a_silent_session_whose_worker_does_not(pigeon: Pigeon, worker_timeout_s: float) -> None:
    due = max(worker_timeout_s, 10.0)
    put_worker(pigeon, "one-1")
    one = Silent(pigeon, worker_timeout_s)
    ((at, notice),) = one.until(3 * due)
    assert due <= at <= due + 1
    assert notice.endswith(f"one-1 does not change either; giving up after {duration(2 * due)}")
    assert one.peer.verdict is not None
    assert "its worker's heartbeat has stopped too (one-1)" in one.peer.verdict
    assert 2 * due <= one.seconds <= 2 * due + 1


def test_what_is_said_of_a_silent_session_is_put_right(pigeon: Pigeon) -> None:
    """A worker falls silent long after its session, and is started again under another name."""
    one = Silent(pigeon, 20.0)
    ((_, first),) = one.until(40, "one-1")
    assert "still changes" in first
    ((at, second),) = one.until(55)
    assert 49 <= at <= 51
    assert "does not change either; giving up after 1m" in second
    assert one.peer.verdict is None, "its worker has not been silent for long"
    running = [{"session_id": one.id, "cwd": "/", "command": ["true"], "since_s": 1}]
    ((_, third),) = one.until(80, "two-2", running=running)
    assert "the heartbeat file of its worker two-2 still changes" in third
    assert one.peer.verdict is None
    one.peer.looked(one.now, grew=True)
    one.seconds = 0.0
    assert one.until(19.5) == [], "it has spoken: everything begins anew"


def test_a_session_that_is_well_costs_no_look_at_the_workers(
    pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(Watchers, "look", lambda self, now: looks.append(now))
    one = Silent(pigeon, 1.0)
    one.until(5.5)
    assert looks == []
    one.until(7)
    assert looks


def test_an_owner_that_cannot_be_watched_is_not_called_dead(pigeon: Pigeon) -> None:
    one = Silent(pigeon, 4.0)
    workers = pigeon.namespace.root / "workers"
    workers.touch()  # ENOTDIR, for root too
    ((_, notice),) = one.until(60)
    assert "the heartbeat file of its worker one-1 cannot be read; giving up after" in notice
    assert one.peer.verdict is None


def test_the_client_of_a_stopped_runner_is_told_the_truth(pigeon: Pigeon) -> None:
    """With real processes: the first word, at a `worker_timeout` below the pace of heartbeats."""
    pigeon.configure(client={"worker_timeout": 1})
    worker = pigeon.worker()
    client, session = pigeon.begin("echo ready; exec sleep 61.5", options=("-v",))
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    runner = runner_of(pigeon, session)
    os.kill(runner, signal.SIGSTOP)
    try:
        wait_until(lambda: "nothing from the session" in client.err, 30, "a notice")
        assert f"the heartbeat file of its worker {worker.id} still changes" in client.err
        assert client.running
    finally:
        os.kill(runner, signal.SIGCONT)
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143


def test_the_hint_names_the_route(pigeon: Pigeon) -> None:
    result = pigeon.run("true", options=("--route", "nowhere", "--claim-timeout", "1"))
    assert result.code == 255
    assert "`pigeon worker --namespace test --route nowhere`" in result.words


def test_a_worker_that_is_ending_is_told_apart(pigeon: Pigeon) -> None:
    put_worker(pigeon, "here-1", draining=True)
    result = pigeon.run("true", options=("--claim-timeout", "1"))
    assert result.code == 255
    first, second = result.words.splitlines()
    assert "; here-1 takes no new sessions; it is withdrawn" in first
    assert "`pigeon worker --namespace test`" in second
