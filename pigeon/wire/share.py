"""Which namespaces this process has entered, and reaching what lies in them: by the descriptors of a checked way.

Every operation on a path below an entered namespace starts from there (`at`); other paths are taken as they are.
"""

from __future__ import annotations

import errno
import os

from pigeon.errors import ShareError
from pigeon.wire.names import Namespace
from pigeon.wire.way import TRUST_USER, Refused, Way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Result = TypeVar("Result")

_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_ways: tuple[Way, ...] = ()
"""The process's, as its descriptors are: a path below an entered namespace is reached by the checked way whoever asks.
If each had his own, a path that came from elsewhere would be reached by its name alone. Replaced as a whole: other
threads may be looking."""


def enter(
    cache: str, name: str, trust: str = TRUST_USER, *, make: bool = False, is_durable: bool = False
) -> Namespace:
    """The namespace, its way checked; from now on this process reaches what lies in it by descriptor only.

    `make`: its directories, where neither a worker nor a client has made them yet. The cache itself must be there:
    making it would hide a missing mount. `is_durable`: whatever this process writes there reaches the disk at once.

    Raises:
        UsageError: `name` cannot be a directory's.
        ShareError: the way is not safe, or the shared directory is not there or cannot be used.
    """
    namespace = Namespace(cache, name)
    way = Way(namespace, trust)
    way.is_durable = is_durable
    _walk(way, namespace, make=make)
    global _ways
    _ways = (*(one for one in _ways if one.prefix != way.prefix), way)
    return namespace


def make(namespace: Namespace) -> None:
    """Make the directories of a namespace that has been entered. Raises ShareError as `enter`."""
    for way in _ways:
        if way.prefix == f"{namespace.root}/":
            _walk(way, namespace, make=True)


def renew(namespace: Namespace) -> bool:
    """Check the way to a namespace that has been entered anew. True if another directory stands there by now.

    Raises OSError as `Way.walk`.
    """
    for way in _ways:
        if way.prefix == f"{namespace.root}/":
            before = way.identity()
            way.walk()
            return before != way.identity()
    return False


def _walk(way: Way, namespace: Namespace, *, make: bool) -> None:
    cache = namespace.cache
    try:
        way.walk(make=make)
    except Refused as error:
        raise ShareError(
            f"the way to the shared directory is not safe: `{error.filename}` {error.strerror}",
            hint=error.remedy,
        ) from error
    except OSError as error:
        if make and str(error.filename).startswith(f"{cache}/"):
            raise ShareError(
                f"cannot write to the shared directory `{cache}`: {(error.strerror or str(error)).lower()}",
                hint="`pigeon doctor` tells what is wrong with it",
            ) from error
        if not isinstance(error, FileNotFoundError):
            raise ShareError(
                f"the shared directory `{cache}` cannot be used: {error.strerror or error}",
                hint="`pigeon config show` tells who set it; `pigeon doctor` looks at it",
            ) from error
        raise ShareError(
            f"the shared directory `{cache}` does not exist on this machine",
            hint=f"is it mounted? if it is new: `mkdir -p -m 700 {cache}`, on one machine",
        ) from error


def at(path: str, act: Callable[[str, int | None], Result]) -> Result:
    """`act(name, descriptor of its directory)` for a path below a namespace that has been entered.

    A directory that is gone from the tree by now is looked for anew, once: it may have been made again.

    Raises:
        OSError: with the whole path in `filename`.
    """
    return _at(_way_of(path), path, act)


def _at(way: Way | None, path: str, act: Callable[[str, int | None], Result]) -> Result:
    if way is None:
        return act(path, None)
    directory, _, name = path.rpartition("/")
    try:
        return act(name, way.directory(directory))
    except OSError as error:
        is_stale = error.errno == errno.ESTALE
        if not (is_stale or error.errno == errno.ENOENT) or not _lost(way, directory, is_stale=is_stale):
            _name(error, path)
            raise
    try:
        return act(name, way.directory(directory))
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: str) -> None:
    """Say of which file an error is; a descriptor's name says nothing to people."""
    if not isinstance(error, Refused):
        error.filename = path


def _lost(way: Way, directory: str, *, is_stale: bool) -> bool:
    """Forget what is held of `directory` and above it and is gone. True if there was such."""
    if is_stale:
        way.forget(way.prefix[:-1])  # whatever the kernel still remembers of it
        return True
    was_lost = False
    while f"{directory}/".startswith(way.prefix):
        if way.is_lost(directory):
            way.forget(directory)
            was_lost = True
        directory = directory.rpartition("/")[0]
    return was_lost


def is_durable(path: str) -> bool:
    """Whether what is written there is to reach the disk before anything else is done."""
    way = _way_of(path)
    return way is not None and way.is_durable


def _way_of(path: str) -> Way | None:
    for way in _ways:
        if path.startswith(way.prefix):
            return way
    return None


def mount_of(path: str) -> str:
    """A directory on the filesystem that `path` lies on: its namespace, the last that is looked at by its path."""
    way = _way_of(path)
    return os.path.dirname(path) if way is None else os.path.dirname(way.prefix)


def open_listing(path: str) -> int:
    """A descriptor of a directory, opened by its name, for its entries and to go on from; to be closed.

    Raises:
        Refused: it is a link, or not safe.
        OSError: as open(2).
    """
    return _open_listing(path)[0]


def _open_listing(path: str) -> tuple[int, os.stat_result]:
    way = _way_of(path)
    try:
        fd = _at(way, path, _list)
    except NotADirectoryError:
        raise Refused(errno.ENOTDIR, "is not a directory", path) from None
    try:
        return fd, os.fstat(fd) if way is None else way.listed(path, fd)
    except BaseException:
        os.close(fd)
        raise


def _list(name: str, directory: int | None) -> int:
    return os.open(name, _LIST, dir_fd=directory)


def list_names(path: str) -> list[str]:
    """What lies in a directory now. Raises OSError as `open_listing`."""
    fd = open_listing(path)
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)


SETTLED_S = 2.5
"""A directory that was read so long after its stamps have changed last holds nothing that came with the same stamps: no
file server's are rounded to more than two seconds. So these can be asked for without opening it."""

OPENED_EVERY = 8
"""Of the looks that only ask for the stamps, so many are followed by a listing all the same."""

LIES = 3
"""So often the stamps may deny what a listing finds: once is a change in between."""

AGAIN_S = 0.02
"""A directory that seems to be as it was is read after so long all the same: the stamps of some filesystems are rounded
to seconds, or come from a cache. Longer than the tick of any kernel's clock, from which the others have them."""


class Listing:
    """A directory that is looked into all the time. Each look opens and checks it as `list_names` does, since that is
    when a network filesystem asks the server; to read what has not changed would be most of the work.
    """

    __slots__ = ("_asked", "_lies", "_path", "_read_at", "_seen", "_since", "_stamps_of")

    def __init__(self, path: str, stamps_of: Callable[[str], tuple[int, ...]] | None = None) -> None:
        """`stamps_of`: what asks the server for less than an open does (`looks.stamps_for`), once all is quiet."""
        self._path = path
        self._stamps_of = stamps_of
        self._asked = self._lies = 0
        self._seen: tuple[int, ...] = ()
        self._since = self._read_at = 0.0

    def _is_denied(self) -> bool:
        """Whether the stamps are those of a directory whose every name is known."""
        if self._stamps_of is None or not self._seen or self._read_at - self._since < SETTLED_S:
            return False
        try:
            return self._stamps_of(self._path) == self._seen[1:]
        except OSError:
            return False  # opening tells what is the matter

    def changed(self, now: float) -> list[str] | None:
        """What lies in it now, at monotonic `now`; None: the same as at the last call, beyond what AGAIN_S allows for.

        Raises OSError as `open_listing`.
        """
        denied = self._is_denied()
        if denied:
            self._asked += 1
            if self._asked % OPENED_EVERY:
                return None
        fd, found = _open_listing(self._path)
        try:
            seen = (
                found.st_dev,
                found.st_ino,
                found.st_mtime_ns,
                found.st_ctime_ns,
                found.st_nlink,
                found.st_size,
            )
            if seen != self._seen:
                self._seen, self._since = (), now
                self._lies += denied
                if self._lies >= LIES:
                    self._stamps_of = None
            # What came in one tick of the clock with the last change has no stamp of its own.
            elif self._read_at - self._since >= AGAIN_S > now - self._read_at:
                return None
            names = os.listdir(fd)
            self._seen, self._read_at = seen, now
            return names
        finally:
            os.close(fd)
