"""Proof of life and of death: a lock that the kernel drops with the process that took it (flock(2))."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Collection, Iterator

from pigeon import clock
from pigeon.wire.text import from_bytes, to_bytes
from pigeon.worker.identity import boot_id, is_running, start_ticks

_NOTE_BYTES = 16384
"""More than any path is long."""


class ProofOfLife:
    """A flock that lives exactly as long as the process that took it.

    The kernel drops it with the process, whatever pid namespace it was in, stopped or not; so a runner whose file can
    be locked by somebody else is dead, and nothing else proves that. A child of the runner has it until it executes the
    command (process.start) and no longer: so whoever finds it free also knows that no child is still on its way there,
    where nothing would tell it from the runner.
    """

    def __init__(self, directory: str, token: str) -> None:
        """`token`: the claim's, and what tells this attempt at it from others. Raises OSError."""
        self.path = f"{directory}/{token}.{os.getpid()}.alive"  # two may try the same claim
        self._fd = _make_proof(directory, self.path)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._note = b"\0"

    @property
    def descriptor(self) -> int:
        """Of the locked file, closed by executing a program."""
        return self._fd

    def note_directory(self, resolved: str) -> None:
        """Leave word of the second name under which the session's directory is held, for who frees it in our place."""
        self._leave(to_bytes(resolved) + b"\0")

    def note_command(self, pid: int) -> None:
        """Leave word of the command's leader, for who ends the command in our place: a row alone proves nothing."""
        self._leave(self._note.partition(b"\0")[0] + b"\0%d %d" % (pid, start_ticks(pid) or 0))

    def take_notes_of(self, lock_path: str) -> None:
        """Leave the same word as a dead runner has left."""
        self._leave(b"\0".join(_note_in(lock_path)))

    def _leave(self, note: bytes) -> None:
        self._note = note
        try:
            os.pwrite(self._fd, note, 0)
        except OSError:
            pass  # no room: the second directory frees itself with its last process, the command shows its environment

    def remove(self) -> None:
        """The session is final: the file says nothing any more."""
        try:
            os.unlink(self.path)
        except OSError:
            pass
        os.close(self._fd)


def _make_proof(directory: str, path: str) -> int:
    """A file of our own in the proofs' directory, made if need be; whatever the umask, both are private."""
    try:
        os.mkdir(directory, 0o700)
        os.chmod(directory, 0o700)
    except FileExistsError:
        pass  # looked at whenever the journal is opened
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(fd, 0o600)
    return fd


def lay_proof_of_nobody(directory: str, token: str) -> str:
    """A proof of life for the claim `token` that nobody holds; its path. Raises OSError."""
    path = f"{directory}/{token}.lost"
    os.close(_make_proof(directory, path))
    return path


_TOKEN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")


def is_token(text: str) -> bool:
    """Whether a claim can be called so: what is read becomes part of a file's name."""
    return 0 < len(text) <= 64 and _TOKEN.issuperset(text)


def proof_of(directory: str, token: str, said: str | None) -> str:
    """Where the proof of life of a claim's runner lies, `said` being the path in the claim's row.

    A row is data and no order. Only the name of the file counts, below our own directory, and only one of that claim.
    """
    name = os.path.basename(said or "")
    return f"{directory}/{name if name.startswith(f'{token}.') else f'{token}.unknown'}"


def holds_proof(pid: int, started: int | None, lock_path: str) -> bool:
    """Whether `pid` is the process that started at `started` and has this very proof of life open."""
    if started is None or start_ticks(pid) != started:
        return False
    try:
        proof = os.lstat(lock_path)
    except OSError:
        return False
    return any((one.st_dev, one.st_ino) == (proof.st_dev, proof.st_ino) for one in _open_files(pid))


def _open_files(pid: int) -> Iterator[os.stat_result]:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                yield os.stat(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue  # closed meanwhile
    except OSError:
        return


def _note_in(lock_path: str) -> tuple[bytes, bytes]:
    """(second name of the directory, the command's leader), as its runner has left them; empty where it has not."""
    try:
        fd = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b"", b""
    try:
        note = os.read(fd, _NOTE_BYTES)
    except OSError:
        return b"", b""
    finally:
        os.close(fd)
    directory, _, leader = note.partition(b"\0")
    return directory, leader


def noted_directory(lock_path: str) -> str | None:
    """What a runner has left in its proof of life; None if nothing."""
    return from_bytes(_note_in(lock_path)[0]) or None


def is_noted_command(lock_path: str, pid: int, started: int | None) -> bool:
    """Whether the runner has left word in its proof of life that this process is its command."""
    return started is not None and _note_in(lock_path)[1] == b"%d %d" % (pid, started)


def is_proven_dead(lock_path: str, boot: str, pid: int | None, started: int | None) -> bool:
    """Whether the runner that took `lock_path` is dead beyond doubt. Held or unreadable means alive.

    Where the file is missing (a cleaner of /var/tmp) or is no file at all, another boot proves it, or, in the same boot
    and pid namespace, that no process has such a file open. What the row says of the process is a hint where to look
    first: a number and a start that fit may be anybody's.
    """
    try:
        return _can_be_locked(lock_path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _NO_FILE:
            return False
    here = boot_id()
    if here.partition("/")[0] != boot.partition("/")[0]:
        return True
    return here == boot and not _is_open_somewhere(lock_path, pid, started)


_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO)
"""Of open(2), for what no runner can have made."""


def _is_open_somewhere(lock_path: str, pid: int | None, started: int | None) -> bool:
    """Whether a process has a proof of this claim open, though the file has been removed."""
    directory, _, name = lock_path.rpartition("/")
    beginning = f"/{os.path.basename(directory)}/{name.partition('.')[0]}."
    first = [str(pid)] if pid is not None and is_running(pid, started) else []
    for one in (*first, *filter(str.isdigit, os.listdir("/proc"))):
        try:
            fds = os.listdir(f"/proc/{one}/fd")
        except PermissionError:
            if one in first:
                return True  # nobody can say
            continue  # another user's
        except OSError:
            continue  # it has ended
        for fd in fds:
            try:
                target = os.readlink(f"/proc/{one}/fd/{fd}")
            except OSError:
                continue  # closed meanwhile
            if beginning in target:
                return True
    return False


def _can_be_locked(path: str) -> bool:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def is_any_held(directory: str) -> bool:
    """Whether a runner lives whose proof of life lies there."""
    try:
        with os.scandir(directory) as found:
            return any(not _can_be_locked(entry.path) for entry in found)
    except OSError:
        return False


def signal_holder(pid: int, started: int | None, lock_path: str, number: int) -> bool:
    """Signal a runner that a row names, once its proof of life shows that it is one."""
    if not holds_proof(pid, started, lock_path):
        return False
    try:
        os.kill(pid, number)
        return True
    except (ProcessLookupError, PermissionError):
        return False


def sweep_proofs(directory: str, needed: Collection[str], *, older_than_s: float) -> None:
    """Remove proofs that prove nothing: of dead runners, in no unfinished row (`needed`), and not quite new."""
    try:
        names = {os.path.basename(path) for path in needed}
        found = [entry for entry in os.scandir(directory) if entry.name not in names]
    except OSError:
        return
    for entry in found:
        try:
            if clock.wall() - entry.stat().st_mtime > older_than_s and _can_be_locked(entry.path):
                os.unlink(entry.path)
        except OSError:
            pass  # of a runner that has just removed it


def discard_proof(path: str) -> None:
    """Remove the proof of a dead runner whose session is final."""
    try:
        os.unlink(path)
    except OSError:
        pass
