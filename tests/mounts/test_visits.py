"""How often pigeon visits the share, counted by the filesystem itself: upper bounds, to see it when it gets worse.

A visit is an open with its close, a listing, a rename, a link, an unlink or a mkdir. Looking is paced by time
(`pigeon.wire.pacing`), so those bounds are rates times the seconds that the counting took: a slow machine has more
seconds and fewer looks, and never fails for being slow. What changes the share is counted plainly.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pigeon.settings import TABLE
from pigeon.wire.pacing import HEARTBEAT_S, INTERACTIVE, WATCHING, interval, scan_interval
from tests.helpers.waiting import wait_until
from tests.mounts.pigeon_rig import Rig, make_rig

VISITS = ("open", "create", "opendir", "rename", "link", "unlink", "mkdir", "rmdir", "symlink")
CHANGES = ("create", "mkdir", "rename", "link", "unlink", "write")

WORKER_OTHERS = 3.0
"""Visits a second of an idle worker besides its listings: its own file, written aside and renamed, and the sweeps."""

SESSION_OTHERS = 1.0
"""Visits a second of either side of an idle session besides its looks: heartbeats, and the runner's listings."""

LOOK_VISITS = {"client": 1, "runner": 2}
"""What one look opens: the stream; input and control."""

ECHOING = "printf ready; exec cat"

CEILING_S = 0.2
"""The default of `worker.poll_interval`."""


class Counted:
    """What a rig's two mounts were asked for during `seconds` (at most; never less than it really was)."""

    def __init__(self, rig: Rig, began: float) -> None:
        self.of = {mount: rig.control.counts(mount) for mount in "ab"}
        self.seconds = time.monotonic() - began

    def visits(self, mount: str) -> int:
        """On `a`, the client's mount, or `b`, the worker's."""
        return sum(self.of[mount][kind] for kind in VISITS)

    def changes(self, mount: str) -> int:
        """Requests that change something; reading depends on how long things took."""
        return sum(self.of[mount][kind] for kind in CHANGES)

    def tell(self) -> str:
        """All of it, for a failure."""
        told = {m: {kind: n for kind, n in counts.items() if n} for m, counts in self.of.items()}
        return f"in {self.seconds:.2f} s: {told}"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A two-cache rig with a worker."""
    with ExitStack() as stack:
        made = make_rig(stack, "twocache", tmp_path)
        made.pigeon.worker()
        yield made


def start_counting(rig: Rig) -> float:
    """Count from here; the moment of this, or one before it."""
    began = time.monotonic()
    rig.control.reset_counts()
    return began


def test_what_a_true_costs(rig: Rig) -> None:
    rig.pigeon.run("true")
    rig.pigeon.wait_quiet()  # its runner closes its books after the client has left
    began = start_counting(rig)
    assert rig.pigeon.run("true").code == 0
    rig.pigeon.wait_quiet()
    counted = Counted(rig, began)
    # What takes longer than usual sees heartbeats, and the state `running` is published.
    # So many each second are one more where seconds begin within it.
    assert counted.changes("a") <= 11 + (1 + counted.seconds), counted.tell()
    assert counted.changes("b") <= 30 + 4 * (1 + counted.seconds), counted.tell()
    # The client looks every millisecond at most, and the worker has just had news.
    assert counted.visits("a") <= 30 + counted.seconds / INTERACTIVE[0][1], counted.tell()
    assert counted.visits("b") <= 60 + 4 * counted.seconds / INTERACTIVE[0][1], counted.tell()


def test_what_a_keystroke_costs(rig: Rig) -> None:
    """One write on each side, and at most one acknowledgement in 0.3 s besides."""
    window = rig.pigeon.spawn_tty(ECHOING)
    window.wait_for("ready", timeout_s=30)
    began = start_counting(rig)
    keys = "ABCDEFGHIJKLMNOPQRST"
    for key in keys:
        window.type(key.encode())
        window.wait_for(key, timeout_s=30)
    counted = Counted(rig, began)
    acknowledgements, heartbeats = counted.seconds / 0.3, counted.seconds / HEARTBEAT_S
    assert counted.of["a"]["write"] <= len(keys) + 2 + acknowledgements + heartbeats, counted.tell()
    assert counted.of["b"]["write"] <= len(keys) + 4 + 5 * counted.seconds, counted.tell()
    looks = counted.seconds / INTERACTIVE[0][1]
    assert counted.visits("a") <= counted.of["a"]["write"] + looks + 5, counted.tell()
    window.type(b"\x03")
    window.wait(timeout_s=30)


def test_what_bulk_costs(rig: Rig) -> None:
    """Both ways: each side makes one segment and not a file for each piece, and writes little more than the bytes."""
    data = os.urandom(6_000_000)
    began = start_counting(rig)
    assert rig.pigeon.run("cat", stdin=data, timeout_s=100).stdout == data
    counted = Counted(rig, began)
    (session,) = rig.pigeon.sessions()
    lies = {path.name: path.stat().st_size for path in session.directory.iterdir()}
    assert lies["stdin.jsonl"] < 2_000_000 > lies["stream.jsonl"], (
        lies
    )  # base64 no further than the first mebibyte
    assert lies["stream.1.bulk"] < len(data) and "stdin.1.bulk" not in lies, lies
    assert counted.of["a"]["create"] <= 10 + counted.seconds, counted.tell()
    assert counted.of["a"]["write"] <= len(data) / 40_000 + counted.seconds, counted.tell()
    looks = counted.seconds / INTERACTIVE[0][1]
    assert counted.visits("a") <= counted.of["a"]["write"] + 3 * looks + 30, counted.tell()


def test_no_fsync_on_the_data_path(rig: Rig) -> None:
    rig.pigeon.run("head -c 1000000 /dev/zero", stdin=b"x" * 1000)
    assert rig.control.counts("a").get("fsync", 0) == rig.control.counts("b").get("fsync", 0) == 0


# What is there and does nothing, or little: three rigs that are left alone together, then counted together.

SILENCE_S = 13.0
"""Past the first steps of both tables, where a look costs little beside the wait after it."""

WINDOW_S = 3.0

CHATTY = "import time\nwhile True: print('a line of output', flush=True); time.sleep(0.005)"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Counted]]:
    """Counts of an idle `worker`, of an idle interactive `session`, and of a `chatty` command on pipes."""
    with ExitStack() as stack:
        rigs = {
            name: make_rig(stack, "twocache", tmp_path_factory.mktemp(name))
            for name in ("worker", "session", "chatty")
        }
        for rig in rigs.values():
            rig.pigeon.worker()
        chatty = rigs["chatty"].pigeon.start(f'exec {sys.executable} -c "{CHATTY}"')
        window = rigs["session"].pigeon.spawn_tty(ECHOING)
        window.wait_for("ready", timeout_s=30)
        wait_until(lambda: chatty.out, 30, "a line")
        time.sleep(SILENCE_S)  # what passes is what is tested
        began = {name: start_counting(rig) for name, rig in rigs.items()}
        time.sleep(WINDOW_S)
        counted = {name: Counted(rig, began[name]) for name, rig in rigs.items()}
        chatty.signal(signal.SIGTERM)
        chatty.wait(30)
        window.type(b"\x03")
        window.wait(timeout_s=30)
        yield counted


def worker_rate(silence_s: float) -> float:
    """Visits a second of a worker without news for so long."""
    return 1 / scan_interval(silence_s, CEILING_S) + WORKER_OTHERS


def session_rate(silence_s: float, side: str) -> float:
    """Visits a second of one side of a silent session."""
    # After a minute of silence the runner looks at control every other time.
    visits = LOOK_VISITS[side] - (0.5 if side == "runner" and silence_s > 60 else 0.0)
    steps = INTERACTIVE if side == "runner" else WATCHING
    return visits / interval(steps, silence_s) + SESSION_OTHERS


@pytest.mark.slow
def test_an_idle_worker_does_what_its_pacing_says(settled: dict[str, Counted]) -> None:
    counted = settled["worker"]
    assert counted.visits("b") <= counted.seconds * worker_rate(SILENCE_S) + 5, counted.tell()
    assert counted.changes("b") <= counted.seconds * WORKER_OTHERS + 3, counted.tell()
    assert counted.visits("a") == 0, counted.tell()


@pytest.mark.slow
def test_an_idle_session_does_what_its_pacing_says(settled: dict[str, Counted]) -> None:
    counted = settled["session"]
    assert counted.visits("a") <= counted.seconds * session_rate(SILENCE_S, "client") + 3, counted.tell()
    other = session_rate(SILENCE_S, "runner") + worker_rate(SILENCE_S)
    assert counted.visits("b") <= counted.seconds * other + 8, counted.tell()


@pytest.mark.slow
def test_chatty_output_is_gathered(settled: dict[str, Counted]) -> None:
    """200 lines a second are 20 writes a second once nobody works with the command."""
    counted = settled["chatty"]
    assert counted.of["b"]["write"] <= counted.seconds * (20 + WORKER_OTHERS) + 5, counted.tell()
    assert counted.changes("a") <= counted.seconds * SESSION_OTHERS + 3, counted.tell()
    assert counted.visits("a") <= counted.seconds / INTERACTIVE[0][1] + 5, counted.tell()


def test_the_pacing_keeps_the_budgets() -> None:
    """What was counted above after some seconds, taken to where the budgets are set."""
    (ceiling,) = (setting.default for setting in TABLE if setting.key == "worker.poll_interval")
    assert ceiling == CEILING_S
    assert worker_rate(3600) <= 8
    for silence_s, budget in ((60, 40.0), (75, 40.0), (600, 12.0), (3600, 12.0)):
        assert session_rate(silence_s, "client") + session_rate(silence_s, "runner") <= budget
