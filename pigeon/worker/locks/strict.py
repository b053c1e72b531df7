"""filelock's StrictSoftFileLock beside the flock, for filesystems whose flock does not reach other hosts.

It is made of files that name their holder: what a killed one leaves has to be removed by who can prove it dead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import StrictSoftFileClaim, StrictSoftFileLock, Timeout

from pigeon.mountinfo import Mount
from pigeon.worker import identity
from pigeon.worker.locks import flock
from pigeon.worker.locks.kind import Fit, Holder

INSTEAD = "a lock made of files"
NEEDS_LINKS = True

FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Its inode, fixed by the kernel (PROC_PID_INIT_INO in proc_ns.h)."""

START_TICKS = (1 << 64) - 1
"""The part of a claim's `start` that is the process's start in ticks since boot; above it stands the boot's id."""


def judge(_mount: Mount) -> Fit:
    """Links and renames are all that it needs."""
    return Fit(True, "files that are published by hard links exclude everywhere")


class StrictLock(flock.FileLock):
    """A flock, and the claim beside it."""

    def __init__(self, plain: flock.FileLock, lock_path: str, claim: StrictSoftFileLock) -> None:
        super().__init__(lock_path, plain.descriptor)
        self._claim = claim

    def release(self) -> None:
        """Free both."""
        super().release()
        self._claim.release()


def try_lock(lock_path: str) -> StrictLock | None:
    """As `Kind.try_lock`."""
    plain = flock.try_lock(lock_path)
    if plain is None:
        return None
    try:
        claim = _try_claim(lock_path) or (_try_claim(lock_path) if _break_dead(lock_path) else None)
    except OSError:
        os.close(plain.descriptor)
        raise
    if claim is None:
        plain.release()
        return None
    return StrictLock(plain, lock_path, claim)


def holders(lock_path: str) -> list[Holder]:
    """As `Kind.holders`."""
    here = _own_name()
    return [_holder(claim, here) for claim in _lock(lock_path).claims]


def break_holder(lock_path: str, holder: Holder) -> None:
    """As `Kind.break_holder`."""
    with _private_files():
        _lock(lock_path).force_break(holder.name)


def _holder(claim: StrictSoftFileClaim, here: str) -> Holder:
    started = None if claim.start is None else claim.start & START_TICKS
    # A container's name is followed by its pid namespace.
    host = claim.hostname.partition("?")[0]
    return Holder(host, claim.hostname == here, claim.pid, started, claim.name)


def _own_name() -> str:
    """What filelock puts into a claim for this host: outside the first pid namespace it adds that to the name."""
    inode = os.stat("/proc/self/ns/pid").st_ino
    return socket.gethostname() + ("" if inode == FIRST_PID_NAMESPACE else f"?pidns-{inode:x}")


def _lock(lock_path: str) -> StrictSoftFileLock:
    """On a path of its own: the kinds do not mix on one."""
    return StrictSoftFileLock(f"{lock_path.removesuffix('.lock')}.strict", thread_local=False)


@contextmanager
def _private_files() -> Iterator[None]:
    """The library leaves its files' modes to the caller's umask."""
    umask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(umask)


def _try_claim(lock_path: str) -> StrictSoftFileLock | None:
    claim = _lock(lock_path)
    with _private_files():
        try:
            claim.acquire(timeout=0)
        except Timeout:
            return None
    return claim


def _break_dead(lock_path: str) -> bool:
    """Remove the claims of runners of this host that were killed, or ended with it. True if there were any.

    Only for who holds the flock: a runner and its command hold it beside the claim, so a claim of this host (and pid
    namespace) whose process is gone belongs to nobody, whatever journal the dead had. One that got the same number
    later (after a reboot, say) is another.
    """
    dead = [
        holder
        for holder in holders(lock_path)
        if holder.is_here and not identity.is_running(holder.pid, holder.started)
    ]
    for holder in dead:
        try:
            break_holder(lock_path, holder)
        except FileNotFoundError:
            pass  # another was quicker
    return bool(dead)
