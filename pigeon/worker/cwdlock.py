"""The lock of one working directory: two commands never run in it at the same time (FORMAT.md, "The cwd lock").

The flock is taken on a descriptor that the command inherits, so the directory stays held until the command's
processes are gone even if the runner is killed. `strict` takes filelock's StrictSoftFileLock besides, on a path of its
own, for filesystems whose flock does not reach other hosts. Lock files are never removed.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import socket

from filelock import StrictSoftFileClaim, StrictSoftFileLock, Timeout, lock_descriptor, unlock_descriptor

from pigeon.mountinfo import Mount, is_network
from pigeon.wire import files
from pigeon.worker import identity

Claim = StrictSoftFileClaim
"""One holder's of a strict lock."""

FLOCK = "flock"
STRICT = "strict"

FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Its inode, fixed by the kernel (PROC_PID_INIT_INO in proc_ns.h)."""

_DROPPED = (errno.EIO, errno.ESTALE)
"""What reading through the descriptor of a lock says that the server has dropped."""

START_TICKS = (1 << 64) - 1
"""The part of a claim's `start` that is the process's start in ticks since boot; above it stands the boot's id."""


class Choice:
    """Which lock a share gets, why, and what to tell the operator if exclusion across hosts is in doubt."""

    def __init__(self, mode: str, reason: str, warning: str | None = None) -> None:
        self.mode = mode
        self.reason = reason
        self.warning = warning


_NO_GLOBAL_FLOCK = "`flock` may stay inside one host here, so pigeon also takes a lock made of files"


def choose(setting: str, mount: Mount) -> Choice:
    """`[worker] lock` and what the mount says -> the lock. Never decided by a call that merely succeeded."""
    automatic = _automatic(mount)
    if setting == "auto":
        return automatic
    warning = None
    if setting == FLOCK and automatic.mode == STRICT:
        warning = (
            f'`lock = "flock"` on {mount.fstype}: {automatic.reason}; '
            'workers on several hosts may run two commands in one directory; set `lock = "strict"`'
        )
    return Choice(setting, "set in the configuration", warning)


def _automatic(mount: Mount) -> Choice:
    kind = mount.fstype
    options = set(",".join((mount.options, mount.super_options)).split(","))
    if kind in ("nfs", "nfs4"):
        local = options & {"nolock", "local_lock=flock", "local_lock=all"}
        if local:
            said = "nolock" if "nolock" in local else min(local)  # the kernel shows what follows from it, too
            return Choice(STRICT, f"{kind} mounted with `{said}`: {_NO_GLOBAL_FLOCK}")
        return Choice(FLOCK, f"{kind} carries flock to the server")
    if kind == "lustre":
        if "flock" in options:
            return Choice(FLOCK, "lustre mounted with `flock`")
        return Choice(STRICT, f"lustre mounted without `flock`: {_NO_GLOBAL_FLOCK}")
    if kind in ("ceph", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.moosefs", "fuse.mfs"):
        return Choice(FLOCK, f"{kind} carries flock to the server")
    if is_network(kind) or kind == "unknown":
        return Choice(STRICT, f"{kind}: {_NO_GLOBAL_FLOCK}")
    return Choice(FLOCK, f"{kind} is a local filesystem, where flock is exact")


class CwdLock:
    """A held lock. `descriptor` is to be passed on to the command."""

    def __init__(self, path: str, descriptor: int, strict: StrictSoftFileLock | None) -> None:
        self.descriptor = descriptor
        self._path = path
        self._strict = strict

    def release(self) -> None:
        """Free the directory at once, whatever background process still has a copy of the descriptor."""
        try:
            unlock_descriptor(self.descriptor)
        except OSError:
            pass  # a lock that the server dropped needs no unlocking
        os.close(self.descriptor)
        if self._strict is not None:
            self._strict.release()

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


def strict_path(lock_path: str) -> str:
    """Where the strict lock lies; the kinds do not mix on one path."""
    return f"{lock_path.removesuffix('.lock')}.strict"


def try_lock(lock_path: str, mode: str) -> CwdLock | None:
    """The lock, or None if another holds it.

    Raises:
        OSError: the filesystem cannot say (ENOLCK, EIO, …) or has no such locks (ENOSYS, EOPNOTSUPP).
    """
    descriptor = files.open_lock(lock_path)
    try:
        if not lock_descriptor(descriptor, blocking=False):
            os.close(descriptor)
            return None
        strict = None
        if mode == STRICT:
            strict = _try_strict(lock_path) or (_try_strict(lock_path) if _break_dead(lock_path) else None)
            if strict is None:
                unlock_descriptor(descriptor)
                os.close(descriptor)
                return None
        return CwdLock(lock_path, descriptor, strict)
    except OSError:
        os.close(descriptor)
        raise


def _try_strict(lock_path: str) -> StrictSoftFileLock | None:
    strict = StrictSoftFileLock(strict_path(lock_path), thread_local=False)
    umask = os.umask(0o077)  # the library leaves its files' modes to the caller's
    try:
        strict.acquire(timeout=0)
        return strict
    except Timeout:
        return None
    finally:
        os.umask(umask)


def _break_dead(lock_path: str) -> bool:
    """Remove the claims of runners of this host that were killed, or ended with it. True if there were any.

    Only for who holds the flock: a runner and its command hold it beside the claim, so a claim of this host (and pid
    namespace) whose process is gone belongs to nobody, whatever journal the dead had.
    """
    here = own_name()
    dead = [c for c in strict_holders(lock_path) if c.hostname == here and not _is_running(c)]
    for claim in dead:
        try:
            break_claim(lock_path, claim.name)
        except FileNotFoundError:
            pass  # another was quicker
    return bool(dead)


def _is_running(claim: Claim) -> bool:
    """Whether its process lives; one that got the same number later (after a reboot, say) is another."""
    return identity.is_running(claim.pid, _start_of(claim))


def _start_of(claim: Claim) -> int | None:
    return None if claim.start is None else claim.start & START_TICKS


def own_name() -> str:
    """What filelock puts into a claim for this host: outside the first pid namespace it adds that to the name."""
    inode = os.stat("/proc/self/ns/pid").st_ino
    return socket.gethostname() + ("" if inode == FIRST_PID_NAMESPACE else f"?pidns-{inode:x}")


def try_flock(descriptor: int) -> bool:
    """Take the flock of an open file, if nobody else has it. Raises OSError as `try_lock`."""
    return lock_descriptor(descriptor, blocking=False)


def strict_holders(lock_path: str) -> list[Claim]:
    """The strict claims on a directory's lock: name, host, pid and start time of each."""
    return list(StrictSoftFileLock(strict_path(lock_path), thread_local=False).claims)


def break_claim(lock_path: str, name: str) -> None:
    """Remove one strict claim. Only for who can prove its holder, command included, dead."""
    umask = os.umask(0o077)
    try:
        StrictSoftFileLock(strict_path(lock_path), thread_local=False).force_break(name)
    finally:
        os.umask(umask)


def break_strict(lock_path: str, host: str, pid: int, started: int | None) -> int:
    """Remove the strict claims of a holder that the caller has proven dead, command included. Returns how many.

    `started`: its start in clock ticks since boot, where it is known: who got its number later is another.
    """
    mine = [
        claim
        for claim in strict_holders(lock_path)
        if (claim.pid, claim.hostname) == (pid, host)
        and (None in (started, _start_of(claim)) or started == _start_of(claim))
    ]
    for claim in mine:
        break_claim(lock_path, claim.name)
    return len(mine)
