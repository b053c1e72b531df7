"""What a client that waits believes of worker files: those that change, and not what a dead worker has left behind."""

from __future__ import annotations

import time

from pigeon.client.peer import Peer
from pigeon.wire.names import Namespace
from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
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

    def a_peer() -> Peer:
        session = namespace.session(raw.publish(pigeon).id)
        how = {"cwd": str(pigeon.work), "locks": True, "route": None}
        return Peer(namespace, session, claim_timeout_s=30, worker_timeout_s=60, **how)  # type: ignore[arg-type]

    dead, lives = a_peer(), a_peer()
    assert [dead.wait(100.0 + n, 1.0 + n).notice for n in range(3)] == ["", "", ""]
    assert dead.wait(103.0, 4.0).notice.endswith("here-1 not seen to change")
    assert lives.wait(100.0, 1.0).notice == ""
    put_worker(pigeon, "here-1", max_jobs=4, running=running(pigeon))
    assert lives.wait(101.0, 2.0).notice.startswith("waiting for this directory, held by `make`")


def test_the_hint_names_the_route(pigeon: Pigeon) -> None:
    result = pigeon.run("true", options=("--route", "nowhere", "--claim-timeout", "1"))
    assert result.code == 255
    assert "`pigeon worker --namespace test --route nowhere`" in result.words.splitlines()[1]


def test_a_worker_that_is_ending_is_told_apart(pigeon: Pigeon) -> None:
    put_worker(pigeon, "here-1", draining=True)
    result = pigeon.run("true", options=("--claim-timeout", "1"))
    assert result.code == 255
    first, second = result.words.splitlines()
    assert "; here-1 takes no new sessions; it is withdrawn" in first
    assert "`pigeon worker --namespace test`" in second
