"""Every write to the share, and every checked open. But for the replacing of status.json (publish.py), nothing else
of pigeon changes a file there.

Each function is one step that either happened or did not; where a failure leaves that open (a lost reply on NFS,
link(2), rename(2), open(2) "BUGS"), the function looks at the result before it answers. Files are 0600 and
directories 0700 whatever the umask (FORMAT.md, "Permissions").
"""

from __future__ import annotations

import errno
import os
import stat

from pigeon.wire.names import TEMPORARY_PREFIX, SessionFiles
from pigeon.wire.share import at, is_durable
from pigeon.wire.share import list_names as list_names
from pigeon.wire.way import UMASK, make_private
from pigeon.wire.way import Refused as Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Piece = bytes | memoryview

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_PASSING = (
    "ESTALE EIO ETIMEDOUT ENOSPC EDQUOT EAGAIN EINTR EREMOTEIO EHOSTDOWN EHOSTUNREACH ENETUNREACH "
    "ENOTCONN ECONNREFUSED ENOLCK EBUSY ENFILE EMFILE ENOMEM"
)

MAY_PASS: frozenset[int] = frozenset(getattr(errno, name) for name in _PASSING.split())
"""Errors of a filesystem's bad moment: the same call may work later."""

SELDOM_PASSES = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
"""And of one that may be for good: a server that changes its exports, a ticket that has run out."""

_NOT_REGULAR = (errno.ELOOP, errno.ENXIO, errno.EISDIR)
"""Of open(2) with our flags: a symbolic link, a socket or FIFO, a directory."""

MAX_PIECES = 256
"""Written in one call as they are: what is joined first is copied, to memory that is new each time."""


def may_pass(error: OSError) -> bool:
    """Whether the same operation may succeed later. ENOENT is judged by the caller, who knows what must exist."""
    return error.errno in MAY_PASS and not isinstance(error, Refused)


def seldom_passes(error: OSError) -> bool:
    """Whether it is worth a while of trying, but not for ever."""
    return error.errno in SELDOM_PASSES and not isinstance(error, Refused)


def is_hopeless(error: OSError, failing_s: float, patience_s: float) -> bool:
    """Whether an operation that has failed for `failing_s` seconds, now with `error`, is to be given up.

    `patience_s`: for so long an error is repeated that seldom passes by itself (EROFS, EACCES). A name that is not
    there is no reason: the caller knows what must exist.
    """
    if may_pass(error) or isinstance(error, FileNotFoundError):
        return False
    return failing_s >= (patience_s if seldom_passes(error) else 0.0)


GONE_S = 300.0
"""A share that is not there for so long (unmounted, renamed, removed) will not come back to this process. A server that
does not answer is another matter: it is waited for."""


def is_gone(error: OSError, failing_s: float) -> bool:
    """Whether operations that have failed for `failing_s` seconds, now with `error`, say that the share is gone."""
    return isinstance(error, FileNotFoundError) and failing_s >= GONE_S


def _own(fd: int, mode: int) -> None:
    """Undo a umask that takes away what the owner needs; on the usual umask this costs nothing."""
    if UMASK & 0o700:
        os.fchmod(fd, mode)


def make_directory(path: str) -> None:
    """A private directory; its parent must exist. Raises FileExistsError if something is there already."""
    at(path, make_private)


def check_directory(path: str) -> None:
    """Raise Refused unless `path` is a directory of our own that others cannot write."""
    reason = _distrust(status_of(path), "directory")
    if reason:
        raise Refused(errno.EPERM, reason, path)


def _open(path: str, flags: int, mode: int = 0o600) -> int:
    return at(path, lambda name, directory: os.open(name, flags, mode, dir_fd=directory))


def _unlink(path: str) -> None:
    at(path, lambda name, directory: os.unlink(name, dir_fd=directory))


def rename(source: str, target: str) -> None:
    """Within one directory, over what is there."""
    name = os.path.basename(target)
    if os.path.dirname(source) != os.path.dirname(target):
        raise AssertionError(f"not in one directory: {source}, {target}")

    def act(old: str, directory: int | None) -> None:
        os.rename(old, target if directory is None else name, src_dir_fd=directory, dst_dir_fd=directory)

    at(source, act)


def link(source: str, target: str) -> None:
    """A second name for a file, within one directory. Raises FileExistsError if it is taken."""
    name = os.path.basename(target)

    def act(old: str, directory: int | None) -> None:
        os.link(old, target if directory is None else name, src_dir_fd=directory, dst_dir_fd=directory)

    at(source, act)


def status_of(path: str) -> os.stat_result:
    """What lstat(2) says."""
    return at(path, lambda name, directory: os.stat(name, dir_fd=directory, follow_symlinks=False))


def filesystem_at(directory: str) -> os.statvfs_result:
    """How large the filesystem of a directory is, and how full. Quotas do not show. Raises OSError."""
    return at(f"{directory}/.", lambda name, held: os.statvfs(name if held is None else held))


def _write_and_close(path: str, fd: int, pieces: Sequence[Piece], offset: int) -> None:
    """All pieces at `offset`, then close, each result checked: ENOSPC and EDQUOT can come as late as close(2).

    Closing makes a write visible to the other host; fsync(2) makes it durable, too.
    """
    try:
        views = [memoryview(piece) for piece in pieces if piece]
        while views:
            written = os.pwritev(fd, views, offset)
            if written <= 0:
                raise OSError(errno.EIO, "a write took no bytes")
            offset += written
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if written:
                views[0] = views[0][written:]
        if is_durable(path):
            os.fsync(fd)
    except BaseException:
        try:
            os.close(fd)
        except OSError:
            pass  # the first error is the one that tells what happened
        raise
    os.close(fd)


def write_at(path: str, pieces: Sequence[Piece], offset: int, *, grows: bool = True) -> None:
    """All pieces, one behind the other, at `offset` of a file of our own that is there already.

    `grows` False: only over what is there, and nothing if another has cut the file.

    Raises:
        Refused: as `open_checked`.
        OSError: it cannot be said how much has been written; the same again at the same offset is safe.
    """
    fd = _open_ours(path, _WRITE)
    if not grows and os.fstat(fd).st_size < offset + sum(map(len, pieces)):
        os.close(fd)
        return
    if len(pieces) > MAX_PIECES:
        pieces = (b"".join(pieces),)
    _write_and_close(path, fd, pieces, offset)


def cut(path: str, size: int) -> None:
    """Leave `size` bytes of a file of our own that is there already. Raises as `write_at`."""
    fd = _open_ours(path, _WRITE)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)


def create(path: str, data: bytes = b"") -> None:
    """A new file, exclusively. Raises FileExistsError if the name is taken."""
    fd = _open(path, _CREATE)
    _own(fd, 0o600)
    _write_and_close(path, fd, (data,), 0)


def make(path: str, data: bytes = b"") -> None:
    """A new file at a name that nobody can know yet: of a random name, or in a directory that has just been made.

    Not exclusively, which costs an NFS server one question more (it takes the mode only afterwards). What lies there
    against all odds is written over if it is ours, and Refused else.
    """
    fd = _open(path, _WRITE | os.O_CREAT)
    _own(fd, 0o600)
    if reason := _distrust(os.fstat(fd)):
        os.close(fd)
        raise Refused(errno.EPERM, reason, path)
    _write_and_close(path, fd, (data,), 0)


def create_anew(path: str, data: bytes) -> None:
    """A new file at a name that nobody else uses; what an attempt of ours that broke off left there goes first."""
    try:
        create(path, data)
    except FileExistsError:
        _unlink(path)
        create(path, data)


def open_lock(path: str) -> int:
    """A descriptor of a lock file, made if need be; writable, since some filesystems lock exclusively only then.

    Raises:
        Refused: what lies there is not such a file of our own.
        OSError: as open(2).
    """
    fd = _open_ours(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _own(fd, 0o600)
    except OSError:
        os.close(fd)
        raise
    return fd


def replace(path: str, data: bytes) -> None:
    """Put `data` at `path` in one step: readers see the old file or the new one, whole.

    Raises:
        OSError: `path` still holds what it held before, or (after an error of rename(2)) already the new content;
            doing it again is safe.
    """
    directory = os.path.dirname(path)
    temporary = f"{directory}/{TEMPORARY_PREFIX}{os.urandom(8).hex()}"
    try:
        make(temporary, data)
        rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path: str) -> None:
    """Unlink a file of our own that decides nothing; failing is no matter, retention comes by later."""
    try:
        _unlink(path)
    except OSError:
        pass


def remove_if_there(path: str) -> None:
    """Unlink it. Raises OSError, but not because it has gone already."""
    try:
        _unlink(path)
    except FileNotFoundError:
        pass


def is_removed(session: SessionFiles, failing_s: float = 0.0) -> bool:
    """Whether the session's directory has been taken away. What cannot be listed is not proven gone, unless the share
    has not been there for the `failing_s` seconds that operations have failed.
    """
    try:
        return session.session_id not in list_names(os.path.dirname(session.directory))
    except OSError as error:
        return is_gone(error, failing_s)


def open_checked(path: str) -> int:
    """A descriptor for reading `path` anew, if it is what a peer of ours can have made.

    Raises:
        Refused: a symbolic link, not a regular file, another owner, writable by group or others.
        OSError: as open(2).
    """
    return _open_ours(path, _READ)


def _open_ours(path: str, flags: int) -> int:
    try:
        fd = _open(path, flags)
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise Refused(
                error.errno, "a link, directory or device in place of a regular file", path
            ) from None
        raise
    reason = _distrust(os.fstat(fd))
    if reason:
        os.close(fd)
        raise Refused(errno.EPERM, reason, path)
    return fd


def _distrust(found: os.stat_result, kind: str = "regular file") -> str | None:
    if not (stat.S_ISDIR if kind == "directory" else stat.S_ISREG)(found.st_mode):
        return f"not a {kind}"
    if found.st_uid != os.geteuid():
        return f"belongs to uid {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & 0o022:
        return f"writable by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def read(path: str, limit: int, *, one_link: bool = False) -> bytes:
    """The content of `path`, opened anew. At most `limit` bytes.

    Raises:
        Refused: as `open_checked`; with `one_link` also a file that has a second name.
        OSError: EFBIG if there is more than `limit`.
    """
    fd = open_checked(path)
    try:
        if one_link and os.fstat(fd).st_nlink > 1:
            raise Refused(errno.EMLINK, "has more than one name", path)
        data = os.read(fd, min(limit, 65536) + 1)
        if len(data) > 65536 or len(data) > limit:
            more = [data]
            while (got := os.read(fd, 1 << 20)) and sum(map(len, more)) <= limit:
                more.append(got)
            data = b"".join(more)
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        return data
    finally:
        os.close(fd)


def size(path: str) -> int:
    """Bytes in `path` as a fresh open shows them."""
    fd = open_checked(path)
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


class Appender:
    """The one writer of one `.jsonl` file, at an offset of its own.

    `put` queues whole records; `flush` writes everything queued at the offset, opening and closing the file. After any
    error the same bytes go to the same offset again, so what a failed call left behind is overwritten and never
    repeated behind itself (FORMAT.md, "Writing").
    """

    __slots__ = ("path", "offset", "_queue", "queued_bytes")

    def __init__(self, path: str, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self._queue: list[bytes] = []
        self.queued_bytes = 0

    def put(self, line: bytes) -> None:
        """Queue a record."""
        self._queue.append(line)
        self.queued_bytes += len(line)

    @property
    def end(self) -> int:
        """The offset behind everything queued."""
        return self.offset + self.queued_bytes

    def flush(self) -> None:
        """Write what is queued.

        Raises:
            OSError: nothing is lost or counted as written; call again.
        """
        self.flush_first(self.queued_bytes)

    def flush_first(self, size: int) -> None:
        """Write the first `size` bytes of what is queued, which are whole records. Raises as `flush`."""
        if size <= 0:
            return
        count = len(self._queue)
        if size < self.queued_bytes:
            count = length = 0
            while length < size:
                length += len(self._queue[count])
                count += 1
        write_at(self.path, self._queue[:count], self.offset)
        self.offset += size
        del self._queue[:count]
        self.queued_bytes -= size
