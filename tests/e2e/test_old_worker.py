"""Our client is served by a worker that knows only Part 1 of the format."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.notes import Notes, overlapping
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child
from tests.helpers.surroundings import LISTENER
from tests.helpers.waiting import wait_until

WORKER = Path(__file__).parents[1] / "peers" / "part1_worker.py"


def old_worker(pigeon: Pigeon, *options: str) -> Child:
    """The independent worker in the background."""
    place = (str(pigeon.share.worker_path), str(pigeon.settings["namespace"]))
    return pigeon.start_process(sys.executable, str(WORKER), *place, *options, cwd=pigeon.base)


@pytest.fixture(params=["old", "newer"])
def served(pigeon: Pigeon, request: pytest.FixtureRequest) -> Iterator[Pigeon]:
    """A pigeon whose only worker is an older one, with and without a worker file."""
    worker = old_worker(pigeon, *(["--old"] if request.param == "old" else []))
    yield pigeon
    worker.signal(signal.SIGTERM)
    assert worker.wait().code == 0, worker.tell()


def test_output_and_codes(served: Pigeon) -> None:
    assert served.run("echo hello; exit 3") == (b"hello\r\n", b"", 3)
    assert served.run("exec sh -c 'kill -9 $$'").code == 137
    assert served.run("true").code == 0


def test_a_terminal(served: Pigeon) -> None:
    window = served.spawn_tty('read -p "name? " n; echo "hello $n"; stty size', size=(95, 25))
    window.wait_for("name?")
    window.type("ann\r")
    window.wait_for("hello ann\n25 95")
    assert window.wait().code == 0


def test_interrupt_and_resize(served: Pigeon) -> None:
    window = served.spawn_tty(LISTENER)
    window.wait_for("ready")
    window.resize(90, 30)
    window.wait_for("size 90 30")
    window.type("\x03")
    assert window.wait(15).code == 9


def test_input_from_a_pipe_and_its_end(served: Pigeon) -> None:
    """The older worker has only a terminal to give, so lines are echoed; the end of input ends the command."""
    result = served.run("stty -echo; cat > got", stdin=b"one\ntwo\n")
    assert result.code == 0
    assert (served.work / "got").read_bytes() == b"one\ntwo\n"


def test_a_signal(served: Pigeon) -> None:
    client = served.start(LISTENER)
    wait_until(lambda: client.out == b"ready\r\n", 15, "the command")
    client.signal(signal.SIGTERM)
    assert client.wait() == (b"ready\r\ngot SIGTERM\r\n", b"", 9)


def test_a_big_output(served: Pigeon) -> None:
    result = served.run("seq 1 100000")
    assert result.stdout == "".join(f"{n}\r\n" for n in range(1, 100001)).encode()


def test_a_missing_directory(served: Pigeon) -> None:
    gone = served.directory("gone")
    notes = Notes(served.base / "notes")
    holder = served.start(notes.holding("holder"), cwd=gone)
    notes.wait_started("holder")
    waiting, _ = served.begin("echo never", cwd=gone)
    gone.rmdir()
    notes.release("holder")
    holder.wait()
    result = waiting.wait()
    assert (result.code, result.stdout) == (255, b"")
    assert "No such file" in result.words or "does not exist" in result.words


@pytest.mark.slow
def test_silence_of_a_worker_without_heartbeat_is_no_death(pigeon: Pigeon) -> None:
    """Its claim announces nothing, so a silent command is waited for beyond `worker_timeout`."""
    pigeon.configure(client={"worker_timeout": 1})
    worker = old_worker(pigeon, "--old")
    client = pigeon.start("sleep 4; echo done", options=("-v",))
    result = client.wait()
    assert (result.stdout, result.code) == (b"done\r\n", 0)
    worker.signal(signal.SIGTERM)
    assert worker.wait().code == 0


def test_both_kinds_of_worker_share_a_directory_without_overlap(pigeon: Pigeon) -> None:
    worker = old_worker(pigeon)
    pigeon.worker(max_jobs=4)
    notes = Notes(pigeon.base / "notes")
    names = [f"c{number}" for number in range(8)]
    clients = [pigeon.start(notes.text(name)) for name in names]
    assert [client.wait().code for client in clients] == [0] * 8
    assert overlapping(notes.intervals(names)) == []
    worker.signal(signal.SIGTERM)
    assert worker.wait().code == 0


def test_both_kinds_of_worker_never_run_one_session_twice(pigeon: Pigeon) -> None:
    workers = [old_worker(pigeon, "--max-jobs", "8")]
    pigeon.worker(max_jobs=8)
    notes = Notes(pigeon.base / "notes")
    names = [f"c{number}" for number in range(24)]
    clients = [pigeon.start(notes.text(name, "true"), cwd=pigeon.directory(name)) for name in names]
    assert [client.wait().code for client in clients] == [0] * 24
    assert len(notes.intervals(names)) == 24
    for worker in workers:
        worker.signal(signal.SIGTERM)
        assert worker.wait().code == 0
