"""flock(2) on the directory's lock file, which the command inherits: it is free when the last of its processes ends.

Nothing is left of a killed holder, so it names nobody. Lock files are never removed.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os

from filelock import lock_descriptor, unlock_descriptor

from pigeon.mountinfo import UNKNOWN, Mount, is_network
from pigeon.wire import files
from pigeon.worker.locks.kind import Fit, Holder

INSTEAD = "a flock"
NEEDS_LINKS = False

_DROPPED = (errno.EIO, errno.ESTALE)
"""What reading through the descriptor of a lock says that the server has dropped."""

_DOUBT = "`flock` may stay inside one host here"


def judge(mount: Mount) -> Fit:
    """Whether flock reaches other hosts there."""
    kind = mount.fstype
    options = set(",".join((mount.options, mount.super_options)).split(","))
    if kind in ("nfs", "nfs4"):
        local = options & {"nolock", "local_lock=flock", "local_lock=all"}
        if local:
            said = "nolock" if "nolock" in local else min(local)  # the kernel shows what follows from it, too
            return Fit(False, f"{kind} mounted with `{said}`: {_DOUBT}")
        return Fit(True, f"{kind} carries flock to the server")
    if kind == "lustre":
        if "flock" in options:
            return Fit(True, "lustre mounted with `flock`")
        return Fit(False, f"lustre mounted without `flock`: {_DOUBT}")
    if kind in ("ceph", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.moosefs", "fuse.mfs"):
        return Fit(True, f"{kind} carries flock to the server")
    if is_network(kind) or kind == UNKNOWN:
        return Fit(False, f"{kind}: {_DOUBT}")
    return Fit(True, f"{kind} is a local filesystem, where flock is exact")


class FileLock:
    """A lock file that is held. `descriptor` is to be passed on to the command."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.descriptor = descriptor
        self._path = path

    def release(self) -> None:
        """Free the directory at once, whatever background process still has a copy of the descriptor."""
        try:
            unlock_descriptor(self.descriptor)
        except OSError:
            pass  # a lock that the server dropped needs no unlocking
        os.close(self.descriptor)

    def is_lost(self) -> bool:
        """Whether the server has dropped the lock (NFSv4 after a lease without contact): its descriptor then gives EIO.

        Costs one read that goes to the server. False also where nothing can be told: a filesystem that keeps no such
        state (NFSv3), or one that fails for every reader (`soft` mounts, while the server is silent).
        """
        if _read_error(self.descriptor) not in _DROPPED:
            return False
        try:
            anew = files.open_checked(self._path)
        except FileNotFoundError:
            return True  # the locked file is gone: whoever comes next makes and locks another
        except OSError:
            return False
        try:
            # Asked again: an error that passes is no loss.
            return _read_error(anew) is None and _read_error(self.descriptor) in _DROPPED
        finally:
            os.close(anew)


def try_lock(lock_path: str) -> FileLock | None:
    """As `Kind.try_lock`."""
    descriptor = files.open_lock(lock_path)
    try:
        if try_flock(descriptor):
            return FileLock(lock_path, descriptor)
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def try_flock(descriptor: int) -> bool:
    """Take the flock of an open file, if nobody else has it. Raises OSError as `try_lock`."""
    return lock_descriptor(descriptor, blocking=False)


def holders(_lock_path: str) -> list[Holder]:
    """The kernel knows who holds a flock, and nobody else."""
    return []


def break_holder(_lock_path: str, _holder: Holder) -> None:
    """The kernel has done it."""


def _read_error(descriptor: int) -> int | None:
    """Read past this host's cache, which would answer for an empty file without asking; the error's number, if any.

    O_DIRECT is set for that moment on the open file itself: another open of it would have no lock to lose.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    except OSError:
        pass  # not to be had here (tmpfs): a plain read it is
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as aligned:
            os.preadv(descriptor, [aligned], 0)
    except OSError as error:
        return error.errno
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return None
