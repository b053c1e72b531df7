"""The lock of a directory on local filesystems: what each kind promises, and what asking for its loss does not do."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.mountinfo import Mount
from pigeon.settings import BY_KEY
from pigeon.worker.locks import flock, strict
from pigeon.worker.locks.kinds import KINDS, break_dead, choose

FLOCK, STRICT = "flock", "strict"
SHARED_MEMORY = Path("/dev/shm")


@pytest.mark.parametrize(
    ("kind", "options", "mode"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", FLOCK),
        ("nfs", "rw,vers=3,local_lock=none", FLOCK),
        ("nfs", "rw,vers=3,nolock,local_lock=all", STRICT),
        ("nfs", "rw,vers=3,local_lock=flock", STRICT),
        ("nfs", "rw,vers=3,local_lock=posix", FLOCK),
        ("lustre", "rw,flock,lazystatfs", FLOCK),
        ("lustre", "rw,localflock", STRICT),
        ("lustre", "rw,noflock", STRICT),
        ("ceph", "rw", FLOCK),
        ("fuse.glusterfs", "rw", FLOCK),
        ("fuse.sshfs", "rw", STRICT),
        ("beegfs", "rw", STRICT),
        ("gpfs", "rw", STRICT),
        ("panfs", "rw", STRICT),
        ("virtiofs", "rw", STRICT),
        ("unknown", "", STRICT),
        ("ext4", "rw", FLOCK),
        ("tmpfs", "rw", FLOCK),
        ("overlay", "rw", FLOCK),
    ],
)
def test_the_mount_decides_which_lock(kind: str, options: str, mode: str) -> None:
    choice = choose("auto", Mount(kind, "rw,relatime", options))
    assert (choice.mode, choice.warning) == (mode, None)
    assert choose("strict", Mount(kind, "rw", options)).mode == STRICT
    forced = choose("flock", Mount(kind, "rw", options))
    assert forced.mode == FLOCK
    assert (bool(forced.warning), forced.remedy) == (
        (True, 'set `lock = "strict"`') if mode == STRICT else (False, "")
    )


def test_the_reason_names_the_option_that_was_given() -> None:
    assert "`nolock`" in choose("auto", Mount("nfs", "rw", "rw,nolock,local_lock=all")).reason


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on this host's disk, and one on a tmpfs, some of which refuse O_DIRECT."""
    if request.param == "disk":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY, prefix="pigeon-test-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("mode", KINDS)
def test_a_local_lock_is_not_lost(place: Path, mode: str) -> None:
    lock = KINDS[mode].try_lock(str(place / "directory.lock"))
    assert lock is not None
    before = fcntl.fcntl(lock.descriptor, fcntl.F_GETFL)
    assert not lock.is_lost() and not lock.is_lost()
    assert fcntl.fcntl(lock.descriptor, fcntl.F_GETFL) == before
    assert not before & os.O_DIRECT
    assert KINDS[mode].try_lock(str(place / "directory.lock")) is None
    lock.release()


def test_what_somebody_wrote_into_the_lock_file_is_no_loss(place: Path) -> None:
    path = place / "directory.lock"
    lock = flock.try_lock(str(path))
    assert lock is not None
    path.write_bytes(b"x" * 10_000)
    assert not lock.is_lost()
    lock.release()


def test_a_descriptor_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    """A pipe says ESPIPE or EINVAL; only what a server says of a lock that it has dropped counts."""
    reader, writer = os.pipe()
    os.close(writer)
    lock = flock.FileLock(str(tmp_path / "none.lock"), reader)
    assert not lock.is_lost()
    os.close(reader)


HOLDER = """
import sys, time
from pigeon.worker.locks.kinds import KINDS
lock = KINDS[sys.argv[2]].try_lock(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def killed_holder(path: Path, mode: str = STRICT) -> int:
    """A process that took the lock and was killed; its pid."""
    words = [sys.executable, "-c", HOLDER, str(path), mode]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert KINDS[mode].try_lock(str(path)) is None
        holder.send_signal(signal.SIGKILL)
    return holder.pid


def reassign(path: Path, old: int, new: int) -> None:
    """The dead holder's claims, as they would be if its pid had been `new`."""
    # All of them are links to one file.
    claim = next(path.parent.glob("*.filelock/claims/*.claim"))
    text = claim.read_text()
    assert f"\n{old}\n" in text
    claim.write_text(text.replace(f"\n{old}\n", f"\n{new}\n"))
    assert {holder.pid for holder in strict.holders(str(path))} == {new}


@pytest.mark.parametrize("mode", KINDS)
def test_what_a_killed_holder_left_is_taken_over(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "directory.lock"
    killed_holder(path, mode)
    lock = KINDS[mode].try_lock(str(path))
    assert lock is not None
    lock.release()


@pytest.mark.parametrize("mode", KINDS)
def test_recovery_frees_what_a_proven_dead_holder_left(tmp_path: Path, mode: str) -> None:
    path, kind, host = str(tmp_path / "directory.lock"), KINDS[mode], socket.gethostname()
    pid = killed_holder(Path(path), mode)
    left = kind.holders(path)
    assert {(holder.host, holder.pid, holder.is_here) for holder in left} <= {(host, pid, True)}
    started = left[0].started if left else None
    assert break_dead(kind, path, "another", pid, started) == 0
    assert break_dead(kind, path, host, pid, 1) == 0
    assert break_dead(kind, path, host, pid, started) == len(left)
    assert kind.holders(path) == []


def test_each_kind_may_be_set() -> None:
    assert BY_KEY["worker.lock"].choices == ("auto", *KINDS)


def test_a_process_with_the_dead_holders_number_is_not_the_holder(tmp_path: Path) -> None:
    """After a reboot the numbers are given out anew."""
    path = tmp_path / "directory.lock"
    reassign(path, killed_holder(path), os.getpid())
    lock = strict.try_lock(str(path))
    assert lock is not None
    lock.release()


def test_a_claim_whose_process_lives_stays(tmp_path: Path) -> None:
    """Even where the flock beside it is free."""
    path = tmp_path / "directory.lock"
    held = strict.try_lock(str(path))
    assert held is not None
    fcntl.flock(held.descriptor, fcntl.LOCK_UN)
    assert strict.try_lock(str(path)) is None
    held.release()
