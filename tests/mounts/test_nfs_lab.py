"""The lab itself, and what two kernels' caches and locks do over one NFS export, which pigeon's format leans on.

Emulated machines on a busy host are slow: limits here are generous and nothing is judged by speed. Each test prints
what it measured with `-s`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.nfs_lab import EVERY_MOUNT, LEASE_S, LOCKING_MOUNTS, long_test, on
from tools.nfs_lab import frames
from tools.nfs_lab.caller import ask
from tools.nfs_lab.errors import LabError
from tools.nfs_lab.kernel import missing_packages
from tools.nfs_lab.lab import COMMAND, Lab
from tools.nfs_lab.measure import Probe, fresh_path, measure_locks, measure_visibility

# The lab itself


def test_frames_survive_any_cut() -> None:
    sent = [(frames.OUTPUT, 3, b"x" * 1000), (frames.ENDED, 3, b"0"), (frames.INPUT_END, 70000, b"")]
    data = b"".join(frames.pack(*frame) for frame in sent)
    for size in (1, 7, 9, 10, 1000, len(data)):
        splitter = frames.Splitter()
        got = [frame for n in range(0, len(data), size) for frame in splitter.feed(data[n : n + size])]
        assert got == sent


@long_test
@pytest.mark.parametrize("victim", ["owner", "keeper"])
def test_a_killed_lab_leaves_nothing(victim: str) -> None:
    if missing := missing_packages():
        pytest.skip(f"the NFS lab needs {', '.join(missing)}")
    name = f"kill-{victim}-{os.getpid()}"
    owner = subprocess.Popen([sys.executable, COMMAND, "start", "--lab", name], stdout=subprocess.DEVNULL)
    try:

        def machines() -> dict[str, int]:
            assert owner.poll() is None
            try:
                status = ask(name, do="status")
            except LabError:
                return {}
            pids = {machine: state["pid"] for machine, state in status["machines"].items()}
            return pids | {"keeper": status["pid"]} if all(pids.values()) else {}

        pids = wait_until(machines, 120, "three machines that have been switched on", interval_s=0.1)
        os.kill(owner.pid if victim == "owner" else pids["keeper"], signal.SIGKILL)
        wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), 20, lambda: f"an end of {pids}")
        with pytest.raises(LabError):
            ask(name, do="status")
    finally:
        owner.kill()
        owner.wait()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@long_test
@on("4.2")
def test_commands_in_a_machine_are_like_commands_here(mounted: Lab) -> None:
    data = os.urandom(1 << 20)
    done = mounted.exec("b", ["sh", "-c", "tee /dev/stderr; exit 7"], input=data)
    assert (done.returncode, done.stdout, done.stderr) == (7, data, data)
    assert mounted.exec("a", ["sh", "-c", "kill -9 $$"]).returncode == 128 + 9
    missing = mounted.exec("a", ["no-such-program"])
    assert missing.returncode == 127 and b"No such file" in missing.stderr
    assert mounted.exec("a", ["id", "-u"], user=1234).stdout == b"1234\n"
    sleeper = mounted.popen("a", ["sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done"],
                            stdout=subprocess.PIPE)  # fmt: skip
    assert sleeper.stdout and sleeper.stdout.readline() == b"ready\n"
    sleeper.terminate()
    assert sleeper.wait(30) == 5
    sleeper.stdout.close()


@long_test
@on("4.2")
def test_a_command_dies_with_its_caller(mounted: Lab) -> None:
    marker = f"86{os.getpid()}"
    caller = mounted.popen("a", ["sleep", marker])

    def running() -> bool:
        return mounted.exec("a", ["pgrep", "-f", f"sleep {marker}"]).returncode == 0

    wait_until(running, 30, "the command's start", interval_s=0.2)
    caller.kill()
    caller.wait()
    wait_until(lambda: not running(), 30, "the command's end", interval_s=0.2)


# What kernel NFS does


@long_test
@on(*EVERY_MOUNT)
def test_what_pigeon_leans_on_is_seen_at_once(mounted: Lab) -> None:
    seen = {(did, looked): seconds for did, looked, seconds in measure_visibility(mounted, "a", "b")}
    print(f"\n{mounted.status()['note']['asked']['a']}: {seen}")
    for case in (("create", "list"), ("create", "list, then open"), ("append", "open and read"),
                 ("replace", "open and read")):  # fmt: skip
        seconds = seen[case]
        assert seconds is not None and seconds < 3, (case, seen)


@long_test
@on(*LOCKING_MOUNTS)
def test_a_lock_excludes_the_other_host(mounted: Lab) -> None:
    report = measure_locks(mounted)
    assert report == {
        "first": "held",
        "second": "refused",
        "after the first let go": "held",
        "after the first was killed": "held",
    }


@long_test
@on("3,nolock")
def test_without_locking_both_hosts_hold_the_lock(mounted: Lab) -> None:
    assert measure_locks(mounted) == {"first": "held", "second": "held"}


@long_test
@on("4.2")
def test_a_host_that_was_cut_off_loses_its_lock_and_learns_it_from_the_descriptor(mounted: Lab) -> None:
    path = fresh_path("lock")
    mounted.exec("a", ["mkdir", path.rpartition("/")[0]], check=True)
    with Probe(mounted, "a") as first, Probe(mounted, "b") as second:
        assert first.ask("lock", path)["lock"] == "held"
        mounted.cut("a")
        try:
            started = time.monotonic()
            wait_until(
                lambda: second.ask("lock", path)["lock"] == "held", LEASE_S * 4, "the lock", interval_s=0.5
            )
            print(f"\nfree {time.monotonic() - started:.1f} s after the cut, lease {LEASE_S} s")
        finally:
            mounted.mend("a")
        got = wait_until(lambda: trouble_with(first, path), 60, "an answer other than `fine`", interval_s=0.5)
        assert got == "Input/output error"
        # What does not ask the server never learns of it.
        assert first.ask("check", path, direct=False)["lock"] == "fine"


def trouble_with(probe: Probe, path: str) -> str | None:
    said: str = probe.ask("check", path, direct=True)["lock"]
    return None if said == "fine" else said


@long_test
@pytest.mark.parametrize("crash", [False, True], ids=["service", "power cut"])
@on("4.2", "3")
def test_a_lock_survives_a_restart_of_the_server(mounted: Lab, crash: bool) -> None:
    path = fresh_path("lock")
    mounted.exec("a", ["mkdir", path.rpartition("/")[0]], check=True)
    with Probe(mounted, "a") as first, Probe(mounted, "b") as second:
        assert first.ask("lock", path)["lock"] == "held"
        mounted.restart_server(crash=crash)
        started = time.monotonic()
        assert second.ask("lock", path)["lock"] == "refused"  # waits for the end of the grace period
        print(f"\nserved again {time.monotonic() - started:.1f} s after the restart, lease {LEASE_S} s")
        assert first.ask("check", path, direct=True)["lock"] == "fine"
