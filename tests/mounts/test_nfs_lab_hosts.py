"""Pigeon over kernel NFS when hosts share the work, lose their locks, or are gone; and how fast bytes go.

Limits are generous and nothing is judged by speed (test_nfs_lab.py says why). Each test prints what it measured with
`-s`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.nfs_lab import (
    LEASE_S,
    PYTHON,
    LabPigeon,
    assert_one_at_a_time,
    finish,
    long_test,
    on,
)


@long_test
@on("3,nolock")
def test_without_locks_strict_keeps_the_hosts_apart(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker("b")
    lab_pigeon.worker("a")
    for machine in ("a", "b"):
        (log,) = lab_pigeon.logs.glob(f"worker-{machine}-*")
        wait_until(lambda log=log: "directory lock: strict" in log.read_text(), 20, "the choice of lock")  # type: ignore[misc]
        assert "mounted with `nolock`" in log.read_text()
    assert_one_at_a_time(lab_pigeon)


@long_test
@on("4.2", "3,nolock")
def test_a_full_worker_leaves_sessions_to_the_other_host(lab_pigeon: LabPigeon) -> None:
    """Each of two sessions ends only when both have begun, and no worker runs more than one at a time."""
    lab_pigeon.worker("b", "--max-jobs", "1")
    lab_pigeon.worker("a", "--max-jobs", "1")
    meet = f"hostname; touch {lab_pigeon.work}/met-$$-$(hostname)"
    both = f"until [ $(ls {lab_pigeon.work} | grep -c met-) = 2 ]; do sleep 0.2; done"
    places = [f"{lab_pigeon.work}/{n}" for n in range(2)]
    lab_pigeon.sh("a", f"mkdir {' '.join(places)}")
    sessions = [lab_pigeon.start(f"{meet}; {both}", cwd=place) for place in places]
    assert sorted(finish(session, timeout_s=300).stdout for session in sessions) == [b"a\n", b"b\n"]


@long_test
@on("4.2", "3")
def test_routes_are_respected(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker("b", "--route", "there")
    lab_pigeon.worker("a", "--route", "here")
    for _ in range(3):
        assert lab_pigeon.run("--route", "there", "hostname").stdout == b"b\n"
        assert lab_pigeon.run("--route", "here", "hostname").stdout == b"a\n"


@long_test
@on("4.2")
def test_a_lock_that_the_server_dropped_is_told(lab_pigeon: LabPigeon) -> None:
    """The worker's host was away for longer than a lease, and another took the directory meanwhile."""
    lab_pigeon.worker("b")
    words = lab_pigeon.logs / "client-words"
    with words.open("wb") as file:
        session = lab_pigeon.popen(
            "a",
            [PYTHON, "-m", "pigeon", "-v", "echo on; cat; exit 3"],
            stdin=subprocess.PIPE,
            stderr=file,
        )
    assert session.stdout and session.stdout.readline() == b"on\n"
    lab_pigeon.worker("a")
    lab_pigeon.lab.cut("b")
    try:
        started = time.monotonic()
        assert lab_pigeon.run("hostname", timeout_s=20 * LEASE_S).stdout == b"a\n"
        print(f"\nfree {time.monotonic() - started:.1f} s after the cut, lease {LEASE_S} s")
    finally:
        lab_pigeon.lab.mend("b")
    started = time.monotonic()
    wait_until(
        lambda: "the lock of this directory was lost" in words.read_text(),
        300,
        lambda: f"a word of the loss; {words.read_text()}",
        interval_s=0.2,
    )
    print(f"told {time.monotonic() - started:.1f} s after the wire was back")
    done = finish(session, b"typed\n", 120)
    assert (done.returncode, done.stdout) == (3, b"typed\n")


@contextmanager
def gone(lab_pigeon: LabPigeon) -> Iterator[None]:
    """`b`, where a command runs, has its plug pulled; it is back at the end, with nothing of before in its memory."""
    lab_pigeon.lab.power_off("b")
    try:
        yield
    finally:
        if lab_pigeon.lab.status()["machines"]["b"]["state"] == "off":
            lab_pigeon.lab.rejoin("b")
        lab_pigeon.sh("b", f"mkdir -p /local/{lab_pigeon.name}")


def lose_b(lab_pigeon: LabPigeon) -> subprocess.Popen[bytes]:
    """Machines that give a silent host 10 s, and a session whose command runs in `b`."""
    settings = f"/local/{lab_pigeon.name}/.config/pigeon"
    for machine in ("a", "b"):
        lab_pigeon.sh(
            machine,
            f"mkdir -p {settings}; printf '[worker]\\nhost_timeout = 10\\n' > {settings}/config.toml",
        )
    lab_pigeon.worker("b")
    session = lab_pigeon.start("echo begun; sleep 1000")
    assert session.stdout and session.stdout.readline() == b"begun\n"
    return session


def is_given_an_end(session: subprocess.Popen[bytes]) -> None:
    """By the other worker, and it is not run again."""
    started = time.monotonic()
    done = finish(session, timeout_s=300)
    print(f"\nended {time.monotonic() - started:.1f} s after the other worker had come")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"has been silent for too long" in done.stderr and b"not run again" in done.stderr


@long_test
@on("4.2", "3")
def test_a_host_that_is_gone_for_good(lab_pigeon: LabPigeon) -> None:
    """Its session is ended by another host; its directory is free after the lease, on v3 after the server's restart."""
    session = lose_b(lab_pigeon)
    with gone(lab_pigeon):
        lab_pigeon.worker("a")
        is_given_an_end(session)
        if lab_pigeon.lab.status()["note"]["asked"]["a"].startswith("vers=3"):
            lab_pigeon.lab.restart_server()
        started = time.monotonic()
        assert lab_pigeon.run("hostname", timeout_s=300).stdout == b"a\n"
        print(f"free {time.monotonic() - started:.1f} s later, lease {LEASE_S} s")


@long_test
@on("3,nolock")
def test_a_strict_lock_of_a_dead_host_is_freed_when_that_is_back(
    lab_pigeon: LabPigeon, tmp_path: Path
) -> None:
    session = lose_b(lab_pigeon)
    words = tmp_path / "second"
    with gone(lab_pigeon):
        lab_pigeon.worker("a")
        is_given_an_end(session)
        with words.open("wb") as file:
            second = lab_pigeon.popen("a", [PYTHON, "-m", "pigeon", "-v", "hostname"], stderr=file)
        wait_until(
            lambda: "waiting for" in words.read_text(),
            60,
            lambda: f"a reason for waiting; {words.read_text()}",
            interval_s=0.2,
        )
    assert second.poll() is None, "it is held until its host is back"
    lab_pigeon.worker("b")
    assert finish(second, timeout_s=120).stdout == b"b\n"


BYTES = 100_000_000


@long_test
@pytest.mark.parametrize("way", ["in", "out"])
@on("4.2", "3")
def test_a_big_pipe_is_exact(lab_pigeon: LabPigeon, way: str) -> None:
    """100 MB. Only the share is between the two ends."""
    lab_pigeon.worker("b")
    passes_through(lab_pigeon, way, 1000)  # everything is loaded after this
    took_s = passes_through(lab_pigeon, way, BYTES)
    print(f"\n{way}: {BYTES / 1e6:.0f} MB in {took_s:.1f} s, {BYTES / 1e6 / took_s:.1f} MB/s")


def passes_through(lab_pigeon: LabPigeon, way: str, size: int) -> float:
    """Seconds that so many random bytes need; AssertionError unless all of them arrive."""
    source, sink = ("a", "b") if way == "in" else ("b", "a")
    data = f"/local/{lab_pigeon.name}/data"
    digest = lab_pigeon.sh(source, f"head -c {size} /dev/urandom > {data}; sha256sum < {data}")
    pigeon = f"{PYTHON} -m pigeon"
    text = f"{pigeon} sha256sum < {data}" if way == "in" else f"{pigeon} cat {data} | sha256sum"
    started = time.monotonic()
    done = finish(lab_pigeon.popen("a", ["bash", "-c", text]), timeout_s=1200)
    took_s = time.monotonic() - started
    assert (done.stdout.decode(), done.stderr) == (digest, b""), f"{size} bytes to {sink}"
    return took_s
