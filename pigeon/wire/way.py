"""The way to a namespace: every directory from `/` down to its sessions, checked and then held by descriptor.

Whoever can write a directory on the way, or owns one, can put other directories in place of ours, and what lies in
them is run as us. So before anything is looked at, each directory from `/` to the resolved cache, and each symbolic
link that is followed to get there, is ours or root's and cannot be written by others unless it is sticky, as ssh and
cron ask it of their files (`trust.py` has the rule, and goes the way). Below the cache no link is followed, and from
the namespace on everything is ours alone.

What was checked is then held open, and all that lies below is reached from there (openat(2)): a directory that is
exchanged later changes nothing. The descriptors are O_PATH: they serve to go on from and cost no open on a file
server. A listing opens the directory by its name all the same, since that is when a network filesystem asks the server
anew, and is checked again by what that has opened.
"""

from __future__ import annotations

import errno
import os
import stat

from pigeon.printing import quote
from pigeon.trust import (
    NOBODY,
    OURS,
    OVERFLOW_UID,
    Fault,
    directory_fault,
    is_nobody_known,
    is_our_group,
    link_fault,
    mode_fault,
    reach,
)
from pigeon.wire.names import Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.trust import Judge

TRUST_USER = "user"
TRUST_GROUP = "group"
"""`share_trust`: who may write the directories on the way. With `group`, whoever is in a group of ours may do what we
can: run commands as us."""

_HOLD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_KEPT = 4
"""Directories of sessions that are held besides the namespace's own: who works with one opens it once, and who looks at
thousands keeps no thousand descriptors."""

_PARTS = ("sessions", "locks", "workers")


class Refused(OSError):
    """What is there and must not be trusted: somebody else's, writable by others, a link, not the kind it should be.

    `remedy`: the command that mends it, if there is one.
    """

    remedy = ""


def _refused(path: str, what: str, remedy: str) -> Refused:
    error = Refused(errno.EPERM, what, path)
    error.remedy = remedy
    return error


class Way:
    """To one namespace. `trust`: TRUST_USER or TRUST_GROUP."""

    __slots__ = ("_cache", "_faults", "_held", "_listed", "_root", "_group", "is_durable", "prefix")

    def __init__(self, namespace: Namespace, trust: str, faults: list[Refused] | None = None) -> None:
        """`faults`: where what is wrong is noted, instead of being raised, as far as one can look on all the same."""
        self._faults = faults
        self._cache = namespace.cache
        self._root = namespace.root
        self._group = OURS if trust == TRUST_GROUP else NOBODY
        self._held: dict[str, int] = {}
        self._listed: dict[str, tuple[int, int]] = {}
        """Path -> which directory it was (device, inode) when it was listed last, as long as that is held."""
        self.prefix = f"{namespace.root}/"
        self.is_durable = False
        """`[wire] fsync`: what is written below is to outlive the server's crash, too."""

    def walk(self, *, make: bool = False) -> None:
        """Check everything anew, and hold what was found instead of what was held. `make`: what lacks below the cache.

        What lacks is no fault without `make`: then whoever needs it finds that it is not there.

        Raises:
            Refused: something is not safe.
            OSError: the cache cannot be reached; with `make` also: something could not be made.
        """
        found: dict[str, int] = {}
        if is_nobody_known():
            self._refuse(
                Fault(self._cache, "cannot be judged: this user namespace has no uid of yours"), _NO_UID
            )
        try:
            found[self._cache] = reach(self._cache, self._judge_shared)[0]
            above = f"{self._cache}/namespaces"
            for path in (above, self._root, *(f"{self.prefix}{part}" for part in _PARTS)):
                parent, _, name = path.rpartition("/")
                try:
                    found[path] = self._enter(
                        found[parent],
                        name,
                        path,
                        self._judge_shared if path == above else self._judge_own,
                        make,
                    )
                except FileNotFoundError:
                    if make:
                        raise
                    if path in (above, self._root):
                        break
        except BaseException:
            for fd in found.values():
                os.close(fd)
            raise
        for path in (self._cache, f"{self._cache}/namespaces"):
            if path in found:
                os.close(found.pop(path))  # only the way to what is held
        self.let_go()
        self._held = found

    def identity(self) -> tuple[int, int] | None:
        """Which directory is held as the namespace's; None: there is none."""
        fd = self._held.get(self._root)
        if fd is None:
            return None
        found = os.fstat(fd)
        return found.st_dev, found.st_ino

    def let_go(self) -> None:
        """Hold nothing any more."""
        for fd in self._held.values():
            os.close(fd)
        self._held = {}
        self._listed = {}

    # Below it

    def _enter(self, parent: int, name: str, path: str, judge: Judge, make: bool) -> int:
        try:
            fd = _hold(name, parent, path)
        except FileNotFoundError:
            if not make:
                raise
            try:
                make_private(name, parent)
            except FileExistsError:
                pass  # made by another at the same time
            except OSError as error:
                error.filename = path
                raise
            fd = _hold(name, parent, path)
        try:
            judge(path, os.fstat(fd), judge == self._judge_shared and os.fstat(parent).st_mode & 0o022 != 0)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def directory(self, path: str) -> int:
        """A descriptor of the namespace's directory `path`, or of one below it, to go on from; not to be closed.

        Raises:
            Refused: it is not safe.
            OSError: it is not there, or cannot be opened.
        """
        fd = self._held.get(path)
        if fd is not None:
            return fd
        if path == self._root:
            self.walk()
            if path not in self._held:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return self._held[path]
        parent, _, name = path.rpartition("/")
        fd = self._enter(self.directory(parent), name, path, self._judge_own, False)
        self._keep(path, fd)
        return fd

    def _keep(self, path: str, fd: int) -> None:
        self.forget(path)
        self._held[path] = fd
        others = [held for held in self._held if held.count("/") > self.prefix.count("/")]
        for held in others[:-_KEPT]:
            self._let_go(held)

    def _let_go(self, path: str) -> None:
        os.close(self._held.pop(path))
        self._listed.pop(path, None)

    def forget(self, path: str) -> None:
        """Open `path` anew when it is needed next, and what is held below it."""
        for held in [h for h in self._held if h == path or h.startswith(f"{path}/")]:
            self._let_go(held)

    def is_lost(self, path: str) -> bool:
        """Whether the held directory is not in the tree any more: removed, here or by another host."""
        fd = self._held.get(path)
        if fd is None:
            return False
        try:
            return os.fstat(fd).st_nlink == 0
        except OSError:
            return True

    def listed(self, path: str, fd: int) -> os.stat_result:
        """`path` has just been opened by its name as `fd`: check it, and go on from it if it is another than the held.

        What fstat(2) says of it. Raises Refused.
        """
        found = os.fstat(fd)
        self._judge_own(path, found)
        held = self._held.get(path)
        if held is not None:
            which = found.st_dev, found.st_ino
            if (
                self._listed.get(path) != which
            ):  # what is held keeps its number: it need not be asked each time
                before = os.fstat(held)
                if (before.st_dev, before.st_ino) == which:
                    self._listed[path] = which
                else:
                    self.forget(path)
        return found

    # What is safe

    def _judge_shared(self, path: str, found: os.stat_result, in_open: bool) -> None:
        """Of a directory that others may use too, or a link: `/` to the cache, and `namespaces`."""
        if stat.S_ISLNK(found.st_mode):
            fault = link_fault(path, found, in_open=in_open)
        else:
            fault = directory_fault(path, found, passed=True, in_open=in_open, group=self._group)
        if fault is not None:
            self._refuse(fault, self._mend(fault, found) or _other(found, _OTHER_CACHE))

    def _judge_own(self, path: str, found: os.stat_result, _in_open: bool = False) -> None:
        if found.st_uid != os.geteuid():
            fault = Fault(path, f"belongs to another user (uid {found.st_uid}), not to {os.geteuid()}")
            self._refuse(fault, _other(found, _OTHER_NAMESPACE))
        open_to = mode_fault(path, found, passed=False, group=self._group)
        if open_to is not None:
            self._refuse(open_to, self._mend(open_to, found) or f"`chmod go-w {quote(path)}`")

    def _mend(self, fault: Fault, found: os.stat_result) -> str:
        if fault.remedy is None:
            return ""
        remedy = f"`{fault.remedy}`"
        if found.st_mode & 0o022 == 0o020 and is_our_group(found.st_gid):
            remedy += '; or `share_trust = "group"`, if all of its group may run commands as you'
        return remedy

    def _refuse(self, fault: Fault, remedy: str) -> None:
        error = _refused(fault.path, fault.reason, remedy)
        if self._faults is None:
            raise error
        self._faults.append(error)


_NO_UID = "map your own (`unshare --map-current-user`), or start it outside of the namespace"


def _other(found: os.stat_result, remedy: str) -> str:
    """What helps against an owner. Root may have made it himself, on a server that gives his files to nobody."""
    if os.geteuid() == 0 and found.st_uid == OVERFLOW_UID:
        return (
            f"{remedy}; where a file server gives root's files to nobody (root_squash), run pigeon as a user"
        )
    return remedy


_OTHER_NAMESPACE = "take another `namespace`, or another `cache`"

_OTHER_CACHE = "take a `cache` of your own, in a directory of your own"


def _hold(name: str, parent: int, path: str) -> int:
    try:
        return os.open(name, _HOLD, dir_fd=parent)
    except NotADirectoryError:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        what = "is a symbolic link" if stat.S_ISLNK(found.st_mode) else "is not a directory"
        if found.st_uid == os.geteuid():
            mend = f"`mv {quote(path)} {quote(path + '.old')}`, if it is not yours to keep"
        else:
            mend = _OTHER_NAMESPACE
        raise _refused(path, what, mend) from None
    except OSError as error:
        error.filename = path
        raise


# Making directories


def _current_umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


UMASK = _current_umask()


def make_private(name: str, directory: int | None) -> None:
    """A directory of mode 0700 whatever the umask. Raises FileExistsError if something is there already."""
    os.mkdir(name, 0o700, dir_fd=directory)
    if UMASK & 0o700:
        os.chmod(name, 0o700, dir_fd=directory)


def faults(cache: str, name: str, trust: str) -> list[Refused]:
    """All that is not safe on the way to a namespace, as far as it goes. Raises OSError: it cannot be looked at."""
    found: list[Refused] = []
    way = Way(Namespace(cache, name), trust, found)
    try:
        way.walk()
    except Refused as error:
        found.append(error)
    finally:
        way.let_go()
    return found
