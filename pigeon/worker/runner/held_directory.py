"""The directory that one session's command works in: held under the request's name, and under where that leads here.

The client resolved the name on its host. On this one part of it may be a symbolic link, for good (`/home`), or since
somebody moved the directory while the session waited: then another session may work where the name leads now. So the
resolved name is locked too, where it differs. Promises to hold all or nothing, and never waits: two that want each
other's second lock both come back later. Touches the user's directory, whose mount may hang: for runners only.
"""

from __future__ import annotations

import os

from pigeon import mountinfo
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace
from pigeon.wire.text import from_bytes, to_bytes, to_here
from pigeon.worker.locks.kind import Lock
from pigeon.worker.locks.kinds import KINDS


class HeldDirectory:
    """Its locks, in the order in which they were taken."""

    def __init__(self, cwd: str, leads_to: str, locks: list[Lock]) -> None:
        self._cwd = cwd
        self.leads_to = leads_to
        """The other name under which it is held, if it is another."""
        self._locks = locks

    @property
    def descriptors(self) -> tuple[int, ...]:
        """To be passed on to the command."""
        return tuple(lock.descriptor for lock in self._locks)

    def leads_elsewhere(self) -> bool:
        """Whether the name, or this process, which has entered it, is by now in another directory than the held one."""
        try:
            here = from_bytes(os.getcwdb())
        except OSError:  # it has been removed
            return True
        return here != self.leads_to or resolved(self._cwd) != self.leads_to

    def is_lost(self) -> bool:
        """Whether the server has dropped one of the locks (Lock.is_lost)."""
        return any(lock.is_lost() for lock in self._locks)

    def release(self) -> None:
        """Free all."""
        for lock in reversed(self._locks):
            lock.release()


def try_hold(namespace: Namespace, cwd: str, mode: str) -> HeldDirectory | None:
    """The directory, or None if another holds it under one of the names. Raises OSError as `Kind.try_lock`."""
    locks: list[Lock] = []
    held = HeldDirectory(cwd, resolved(cwd), locks)
    try:
        for name in dict.fromkeys((cwd, held.leads_to)):
            lock = KINDS[mode].try_lock(namespace.lock(name))
            if lock is None:
                held.release()
                return None
            locks.append(lock)
    except OSError:
        held.release()
        raise
    return held


def resolved(cwd: str) -> str:
    """Where a name leads on this host; as far as can be told, if it leads nowhere."""
    return from_bytes(os.path.realpath(to_bytes(cwd)))


def other_directory(request: Request, host: str) -> list[str]:
    """What the user must hear though the command starts: that the current directory is another one than his.

    On a filesystem that hosts share, a directory has one inode number on all of them; where a filesystem makes the
    numbers up (some FUSE and SMB mounts), the time of the last change agrees. Of two disks each has its own. Where
    those numbers are the same by chance (two fresh filesystems, two disks of one image), the kinds of the filesystems
    tell, or that both are local and the hosts two.
    """
    if request.directory is None or request.verb is not None:
        return []
    inode, modified, theirs = request.directory
    try:
        here = os.stat(".")
    except OSError:
        return []
    if here.st_ino == inode:
        if not theirs or mountinfo.is_network(theirs):
            return []  # as it should be, and the only case that costs nothing
        if request.requester.host == host and here.st_mtime_ns == modified:
            return []  # the same to the nanosecond, and on a host of the same name
        ours = mountinfo.filesystem_of(to_here(request.cwd)).fstype
        # Below a chroot the kernel's list may know a filesystem by its device and not by its path, or neither.
        is_one = ours == mountinfo.UNKNOWN or (request.requester.host == host and ours == theirs)
        if is_one or mountinfo.is_network(ours):
            return []
    elif _is_same_moment(here.st_mtime_ns, modified):
        return []
    return [
        f"`{request.cwd}` on {host} is another directory than the one here: files will not appear here "
        "(is it on the shared filesystem? `findmnt -T .`)"
    ]


def _is_same_moment(ours_ns: int, theirs_ns: int) -> bool:
    """Equal as far as both hosts' filesystems keep it: whole seconds (sshfs), or 100 ns (SMB)."""
    second = 1_000_000_000
    if 0 in (ours_ns % second, theirs_ns % second):
        return ours_ns // second == theirs_ns // second
    return ours_ns // 100 == theirs_ns // 100
