"""Rigs start, have one shape, and leave nothing behind, whoever dies."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts import launch, probe, rigs
from tests.mounts.rigs import Mounts

STARTER = """
import signal, sys
from pathlib import Path
from tests.mounts import rigs
with getattr(rigs, sys.argv[1])() as (a, b, control):
    pids = [line for line in Path("/proc/thread-self/children").read_text().split()]
    print(a, b, *pids, flush=True)
    signal.pause()
"""

ALL: dict[str, Callable[[], AbstractContextManager[Mounts]]] = {
    "plain": rigs.plain_dir,
    "twocache": rigs.two_mounts,
    "gluster": rigs.gluster_mounts,
}


def _mounted(point: str) -> bool:
    return any(where == point for where, _, _ in launch.mount_table())


def _start(rig: str) -> tuple[subprocess.Popen[bytes], list[str], list[int]]:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, rig], cwd=launch.ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert starter.stdout is not None
    words = starter.stdout.readline().decode().split()
    assert all(_mounted(point) for point in words[:2])
    return starter, words[:2], [int(word) for word in words[2:]]


@pytest.mark.parametrize("rig", ALL)
def test_every_rig_shows_one_tree_twice_and_goes_away(rig: str) -> None:
    rigs.require(rig)
    with ALL[rig]() as (a, b, control):
        (a / "f").write_bytes(b"data")
        assert "f" in os.listdir(b)
        assert (b / "f").read_bytes() == b"data"
        control.clear()
        control.reset_counts()
        assert control.injects == (rig == "twocache")
        if not control.injects:
            with pytest.raises(RuntimeError, match="injects no faults"):
                control.fail("open")
    assert not _mounted(str(a)) and not a.exists()


@pytest.mark.parametrize("rig", ["twocache", "gluster"])
def test_locks_exclude_between_the_mounts(rig: str) -> None:
    rigs.require(rig)
    with ALL[rig]() as (a, b, _), (a / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.listdir(b)
        with (b / "lock").open("r+") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(held, fcntl.LOCK_UN)
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("rig", ["two_mounts", "gluster_mounts"])
def test_a_killed_starter_leaves_no_mount_and_no_process(rig: str) -> None:
    rigs.require({"two_mounts": "twocache", "gluster_mounts": "gluster"}[rig])
    starter, points, pids = _start(rig)
    starter.kill()
    starter.communicate()
    wait_until(lambda: not any(map(_mounted, points)), 20, "the mounts to go")
    wait_until(lambda: not any(map(launch.is_alive, pids)), 20, "the processes to go")
    os.rmdir(points[0])


HANGING_STARTER = """
import os, threading, time
from tests.mounts import rigs
with rigs.two_mounts() as (a, b, control):
    fault = control.stall("getattr", "*/f", killable=False)
    threading.Thread(target=os.path.exists, args=(a / "f",)).start()
    while not fault.fired:
        time.sleep(0.01)
    print(a, b, flush=True)
    os.path.exists(b / "f")
"""


def test_a_starter_killed_while_it_hangs_in_its_own_mounts_is_let_go() -> None:
    rigs.require("twocache")
    command = [sys.executable, "-c", HANGING_STARTER]
    starter = subprocess.Popen(command, cwd=launch.ROOT, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    points = starter.stdout.readline().decode().split()
    starter.kill()
    assert starter.wait(20) == -signal.SIGKILL
    starter.communicate()
    wait_until(lambda: not any(map(_mounted, points)), 20, "the mounts to go")


def test_mounts_that_even_their_keeper_did_not_survive_are_swept_away_by_the_next_start() -> None:
    rigs.require("twocache")
    starter, points, pids = _start("two_mounts")
    for pid in [starter.pid, *reversed(pids)]:  # the keeper before the servers
        os.kill(pid, signal.SIGKILL)
    starter.communicate()
    wait_until(lambda: not any(map(launch.is_alive, pids)), 20, "the processes to go")
    with rigs.two_mounts() as (a, _, _):
        assert not any(map(_mounted, points))
        assert not any(map(os.path.exists, points))
        assert os.listdir(a) == []


def test_more_than_two_mounts_and_a_directory_of_ones_own(tmp_path: Path) -> None:
    rigs.require("twocache")
    (tmp_path / "back").mkdir()
    with rigs.many_mounts(tmp_path / "back", count=3) as (places, control):
        (places[2] / "f").write_bytes(b"x")
        assert [(place / "f").read_bytes() for place in places] == [b"x"] * 3
        assert control.counts("c")["create"] == 1
    assert (tmp_path / "back" / "f").read_bytes() == b"x", "what the caller gave is left alone"


def test_a_mount_that_cannot_start_says_why(tmp_path: Path) -> None:
    rigs.require("twocache")
    missing = tmp_path / "nowhere"
    with pytest.raises(launch.RigError, match="mount a ended"), rigs.many_mounts(points=[missing]):
        pass


def test_by_hand_a_command_runs_over_the_mounts(tmp_path: Path) -> None:
    rigs.require("twocache")
    places = [f"--{what}={tmp_path / name}" for what, name in (("back", "s"), ("mount", "a"), ("mount", "b"))]
    script = 'a=${PIGEON_TEST_SHARES%:*} b=${PIGEON_TEST_SHARES#*:}; echo hi > "$a/f"; cat "$b/f"; exit 7'
    done = subprocess.run(
        [sys.executable, "-m", "tests.mounts.twocache", *places, "--ttl=1", "--", "sh", "-c", script],
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert f"mounted a: {tmp_path}/a over" in done.stdout and done.stdout.endswith("hi\n")
    assert (tmp_path / "s" / "f").read_text() == "hi\n"
    assert not _mounted(f"{tmp_path}/a")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_by_hand_it_runs_until_it_is_stopped_and_can_be_controlled(tmp_path: Path, number: int) -> None:
    rigs.require("twocache")
    command = [sys.executable, "-m", "tests.mounts.twocache", "--back", str(tmp_path / "s")]
    by_hand = subprocess.Popen(
        [*command, "--mount", str(tmp_path / "m")], cwd=launch.ROOT, stdout=subprocess.PIPE, text=True
    )
    assert by_hand.stdout is not None
    lines: list[str] = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(by_hand.stdout.readline())
        assert lines[-1], lines
    state = next(line.split()[1] for line in lines if "state:" in line)

    def control(*words: str) -> str:
        done = [sys.executable, "-m", "tests.mounts.control", state, *words]
        return subprocess.run(done, cwd=launch.ROOT, capture_output=True, text=True, check=True).stdout

    control("fault", "act=error", "ops=mkdir", "error=EDQUOT", "path=*/d")
    with pytest.raises(OSError, match="quota"):
        (tmp_path / "m" / "d").mkdir()
    assert "mkdir       1\n" in control("counts", "--mount", "a")
    control("reset")
    assert "mkdir       0\n" in control("counts")
    by_hand.send_signal(number)
    assert by_hand.wait(20) == 130
    by_hand.communicate()
    assert not _mounted(f"{tmp_path}/m")


def test_what_cannot_run_is_skipped_by_name_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rigs, "missing", lambda rig: "no FUSE")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no rig 'twocache' here: no FUSE"):
        rigs.require("twocache")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="must run in CI"):
        rigs.require("twocache")


def test_the_probe_finds_a_plain_directory_to_be_what_it_is() -> None:
    found = probe.measure("plain directory", 5.0)
    assert found.pop("one visit (open, read, close)").endswith(" ms")
    assert set(found.values()) == {"at once", "right", "yes"}
    assert (
        probe.table({"plain directory": {**found, "one visit (open, read, close)": "1 ms"}}).count("\n") == 12
    )
