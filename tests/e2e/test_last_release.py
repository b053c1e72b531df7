"""Client and worker of the last release, and of this one, serve each other. Both are installed, both are real."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.releases import LAST_RELEASE, install_release
from tests.helpers.share import Session
from tests.helpers.surroundings import LISTENER
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.slow

ECHO = 'stty size; while read -r line; do echo "got [$line]"; case $line in end) exit 6;; esac; done'


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The words that start the last release."""
    return shlex.quote(str(install_release(LAST_RELEASE, tmp_path_factory.mktemp("release"))))


class Peers:
    """A worker of one release, and clients of both. `theirs`: words that start a client of the other one."""

    def __init__(self, pigeon: Pigeon, client: str | None, worker: str | None) -> None:
        self.pigeon = pigeon
        self.client, self.worker = client, worker

    @contextlib.contextmanager
    def of(self, release: str | None) -> Iterator[Pigeon]:
        """What is started within is of this release; None: of this checkout."""
        before = os.environ.get("PIGEON_TEST_COMMAND")
        with pytest.MonkeyPatch.context() as patch:
            if release is not None:
                patch.setenv("PIGEON_TEST_COMMAND", release)
            yield self.pigeon
        assert os.environ.get("PIGEON_TEST_COMMAND") == before


@pytest.fixture(params=["our client, their worker", "their client, our worker"])
def peers(pigeon: Pigeon, released: str, request: pytest.FixtureRequest) -> Iterator[Peers]:
    """Both ways round. Whatever is started in the test is the client's release."""
    ours_is_client = request.param.startswith("our")
    found = Peers(pigeon, None if ours_is_client else released, released if ours_is_client else None)
    with found.of(found.worker):
        pigeon.worker()
    with found.of(found.client):
        yield found


def test_the_release_is_another_program(released: str) -> None:
    package = next(Path(shlex.split(released)[0]).parents[1].glob("lib/python*/site-packages/pigeon"))
    assert (package / "worker" / "scheduler.py").exists()  # before the modules moved into rooms
    assert not (Path(__file__).parents[2] / "pigeon" / "worker" / "scheduler.py").exists()


def test_bytes_streams_and_codes(peers: Peers) -> None:
    data = bytes(range(256)) * 4096
    done = peers.pigeon.run("cat; echo apart >&2; exit 7", stdin=data)
    assert (done.code, done.stdout, done.stderr) == (7, data, b"apart\n")
    assert peers.pigeon.run("true").code == 0
    assert peers.pigeon.run("exec sh -c 'kill -9 $$'").code == 137
    missing = peers.pigeon.run("no-such-program-anywhere")
    assert missing.code == 127


def test_a_large_input_of_either(peers: Peers) -> None:
    """Neither release may send the other what it does not read."""
    data = os.urandom(1 << 20) * 3 + b"end"
    done = peers.pigeon.run("cat", stdin=data, timeout_s=60)
    assert done.code == 0 and done.stdout == data


def test_a_large_output_under_flow_control(peers: Peers) -> None:
    done = peers.pigeon.run("head -c 20000000 /dev/zero | tr '\\0' x", timeout_s=60)
    assert (done.code, len(done.stdout), set(done.stdout)) == (0, 20_000_000, {ord("x")})


def test_a_terminal_its_sizes_and_keys(peers: Peers) -> None:
    window = peers.pigeon.spawn_tty(LISTENER, size=(95, 25))
    window.wait_for("ready")
    window.resize(90, 30)
    window.wait_for("size 90 30")
    window.type("\x03")
    assert window.wait(15).code == 9
    assert window.settings() == window.settings_before


def test_a_signal_ends_a_command_on_pipes(peers: Peers) -> None:
    client = peers.pigeon.start("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    wait_until(lambda: b"ready" in client.out, 15, client.tell)
    client.signal(signal.SIGTERM)
    done = client.wait(15)
    assert (done.code, done.stdout) == (5, b"ready\ncaught\n")


def detached(peers: Peers, command: str) -> Session:
    """A session that `--detach` has started, once its command runs."""
    done = peers.pigeon.run(command, options=("--detach", "-t"))
    assert done.code == 0, done.words
    session = Session(peers.pigeon.namespace.root / "sessions" / done.stdout.decode().strip())
    session.wait_event("started")
    return session


@pytest.mark.parametrize("attacher", ["client's", "worker's"])
def test_attach(peers: Peers, attacher: str) -> None:
    """To a session of one release comes an attacher of either."""
    session = detached(peers, ECHO)
    with peers.of(peers.client if attacher == "client's" else peers.worker) as pigeon:
        window = pigeon.spawn_tty("attach", session.id, size=(93, 31))
    session.wait_event("attached")
    window.type("hello\r")
    window.wait_for("got [hello]")
    window.type("end\r")
    assert window.wait().code == 6
    assert window.settings() == window.settings_before


@pytest.mark.parametrize("stopper", ["client's", "worker's"])
def test_stop(peers: Peers, stopper: str) -> None:
    session = detached(peers, "sleep 1000")
    with peers.of(peers.client if stopper == "client's" else peers.worker) as pigeon:
        done = pigeon.run("stop", session.id)
    assert done.code == 0, done.words
    status = session.wait_final()
    assert (status["state"], status["exit_code"]) == ("cancelled", 129)


def test_who_waits_is_told_and_served_in_turn(peers: Peers) -> None:
    """Claims, worker files and the lock of a directory are read alike."""
    first = peers.pigeon.start("echo one; while [ ! -e gate ]; do sleep 0.05; done")
    wait_until(lambda: b"one" in first.out, 15, first.tell)
    second = peers.pigeon.start("echo two", options=("-v",))
    wait_until(lambda: "this directory, held by" in second.err, 20, second.tell)
    (peers.pigeon.work / "gate").touch()
    assert first.wait(15).code == 0
    assert second.wait(20).code == 0
    for session in peers.pigeon.sessions():
        session.wait_final()
    listed = peers.pigeon.run("sessions", "--all", "--json")
    assert [row["state"] for row in json.loads(listed.stdout)] == ["succeeded", "succeeded"]


def test_a_client_that_gives_up_withdraws(peers: Peers) -> None:
    """The other side reads the withdrawal as the end."""
    blocked = peers.pigeon.start("echo one; while [ ! -e gate2 ]; do sleep 0.05; done")
    wait_until(lambda: b"one" in blocked.out, 15, blocked.tell)
    known = peers.pigeon.namespace.session_names()
    waiting = peers.pigeon.start("echo never")
    session = peers.pigeon.wait_session(known)
    waiting.signal(signal.SIGINT)
    assert waiting.wait(20).code == 130
    session.wait_final()
    with peers.of(peers.worker) as pigeon:
        listed = {
            row["session_id"]: row for row in json.loads(pigeon.run("sessions", "--all", "--json").stdout)
        }
    assert listed[session.id]["state"] == "cancelled"
    (peers.pigeon.work / "gate2").touch()
    assert blocked.wait(15).code == 0
