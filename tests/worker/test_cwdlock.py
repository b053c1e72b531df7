"""The lock of a directory on local filesystems: what asking for its loss does, and does not do."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.mountinfo import Mount
from pigeon.worker import cwdlock

SHARED_MEMORY = Path("/dev/shm")


@pytest.mark.parametrize(
    ("kind", "options", "mode"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", cwdlock.FLOCK),
        ("nfs", "rw,vers=3,local_lock=none", cwdlock.FLOCK),
        ("nfs", "rw,vers=3,nolock,local_lock=all", cwdlock.STRICT),
        ("nfs", "rw,vers=3,local_lock=flock", cwdlock.STRICT),
        ("nfs", "rw,vers=3,local_lock=posix", cwdlock.FLOCK),
        ("lustre", "rw,flock,lazystatfs", cwdlock.FLOCK),
        ("lustre", "rw,localflock", cwdlock.STRICT),
        ("lustre", "rw,noflock", cwdlock.STRICT),
        ("ceph", "rw", cwdlock.FLOCK),
        ("fuse.glusterfs", "rw", cwdlock.FLOCK),
        ("fuse.sshfs", "rw", cwdlock.STRICT),
        ("beegfs", "rw", cwdlock.STRICT),
        ("gpfs", "rw", cwdlock.STRICT),
        ("panfs", "rw", cwdlock.STRICT),
        ("virtiofs", "rw", cwdlock.STRICT),
        ("unknown", "", cwdlock.STRICT),
        ("ext4", "rw", cwdlock.FLOCK),
        ("tmpfs", "rw", cwdlock.FLOCK),
        ("overlay", "rw", cwdlock.FLOCK),
    ],
)
def test_the_mount_decides_which_lock(kind: str, options: str, mode: str) -> None:
    choice = cwdlock.choose("auto", Mount(kind, "rw,relatime", options))
    assert (choice.mode, choice.warning) == (mode, None)
    assert cwdlock.choose("strict", Mount(kind, "rw", options)).mode == cwdlock.STRICT
    forced = cwdlock.choose("flock", Mount(kind, "rw", options))
    assert forced.mode == cwdlock.FLOCK
    assert ('set `lock = "strict"`' in (forced.warning or "")) == (mode == cwdlock.STRICT)


def test_the_reason_names_the_option_that_was_given() -> None:
    assert "`nolock`" in cwdlock.choose("auto", Mount("nfs", "rw", "rw,nolock,local_lock=all")).reason


@pytest.fixture(params=["disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on this host's disk, and one on a tmpfs, some of which refuse O_DIRECT."""
    if request.param == "disk":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY, prefix="pigeon-test-") as directory:
        yield Path(directory)


@pytest.mark.parametrize("mode", [cwdlock.FLOCK, cwdlock.STRICT])
def test_a_local_lock_is_not_lost(place: Path, mode: str) -> None:
    lock = cwdlock.try_lock(str(place / "directory.lock"), mode)
    assert lock is not None
    before = fcntl.fcntl(lock.descriptor, fcntl.F_GETFL)
    assert not lock.is_lost() and not lock.is_lost()
    assert fcntl.fcntl(lock.descriptor, fcntl.F_GETFL) == before
    assert not before & os.O_DIRECT
    assert cwdlock.try_lock(str(place / "directory.lock"), mode) is None
    lock.release()


def test_what_somebody_wrote_into_the_lock_file_is_no_loss(place: Path) -> None:
    path = place / "directory.lock"
    lock = cwdlock.try_lock(str(path), cwdlock.FLOCK)
    assert lock is not None
    path.write_bytes(b"x" * 10_000)
    assert not lock.is_lost()
    lock.release()


def test_a_descriptor_that_cannot_be_read_tells_nothing(tmp_path: Path) -> None:
    """A pipe says ESPIPE or EINVAL; only what a server says of a lock that it has dropped counts."""
    reader, writer = os.pipe()
    os.close(writer)
    lock = cwdlock.CwdLock(str(tmp_path / "none.lock"), reader, None)
    assert not lock.is_lost()
    os.close(reader)


HOLDER = """
import sys, time
from pigeon.worker import cwdlock
lock = cwdlock.try_lock(sys.argv[1], "strict")
print("held", flush=True)
time.sleep(600)
"""


def killed_holder(path: Path) -> int:
    """A process that took the strict lock and was killed; its pid."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert cwdlock.try_lock(str(path), cwdlock.STRICT) is None
        holder.send_signal(signal.SIGKILL)
    return holder.pid


def reassign(path: Path, old: int, new: int) -> None:
    """The dead holder's claims, as they would be if its pid had been `new`."""
    # All of them are links to one file.
    claim = next(path.parent.glob("*.filelock/claims/*.claim"))
    text = claim.read_text()
    assert f"\n{old}\n" in text
    claim.write_text(text.replace(f"\n{old}\n", f"\n{new}\n"))
    assert {holder.pid for holder in cwdlock.strict_holders(str(path))} == {new}


def test_what_a_killed_holder_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "directory.lock"
    killed_holder(path)
    lock = cwdlock.try_lock(str(path), cwdlock.STRICT)
    assert lock is not None
    lock.release()


def test_a_process_with_the_dead_holders_number_is_not_the_holder(tmp_path: Path) -> None:
    """After a reboot the numbers are given out anew."""
    path = tmp_path / "directory.lock"
    reassign(path, killed_holder(path), os.getpid())
    lock = cwdlock.try_lock(str(path), cwdlock.STRICT)
    assert lock is not None
    lock.release()


def test_a_claim_whose_process_lives_stays(tmp_path: Path) -> None:
    """Even where the flock beside it is free."""
    path = tmp_path / "directory.lock"
    held = cwdlock.try_lock(str(path), cwdlock.STRICT)
    assert held is not None
    fcntl.flock(held.descriptor, fcntl.LOCK_UN)
    assert cwdlock.try_lock(str(path), cwdlock.STRICT) is None
    held.release()
