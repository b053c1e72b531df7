"""Where the journal lies: on a local disk, in a place that nobody else can write.

SQLite's write-ahead log needs all its processes on one host, and its locks corrupt a database on a network
filesystem; so the kind of filesystem is looked at first, and a network filesystem is refused, never tried.

Recovery acts on what the journal says, and SQLite takes a log that lies beside it as it is. So the journal, all that
lies beside it and the whole way to it must be this user's (above: or root's) and closed to others, each time that it is
opened to be written. A directory that is merely sticky (`/tmp`) is none: others can put a log there first.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable

from pigeon import clock, trust
from pigeon.errors import JournalError
from pigeon.journal.connection import OTHER_PLACE, JournalUnavailable
from pigeon.mountinfo import filesystem_of, is_network

PRIVATE_BASE = "/var/tmp"
"""Where the journal goes when the home directory is shared: on the host's own disk, and kept over a reboot."""

PROOFS = ".runners"
"""Behind the journal's path: the directory of the runners' proofs of life."""

LOCK = ".lock"
"""Behind the journal's path: the lock under which it is made and migrated."""

SIDECARS = ("-wal", "-shm", "-journal")
"""Behind the journal's path: what SQLite keeps there (sqlite.org/tempfiles.html)."""

_ELSEWHERE = "pass `--journal PATH`, or set `[worker] journal`, with a path on a local disk of this machine"

_PRIVATE = "in a directory on a local disk that only you can write"


def default_path() -> str:
    """`~/.pigeon.db`, or a file in a private directory below /var/tmp if the home lies on a network filesystem.

    Creates nothing.

    Raises:
        JournalError: the private directory is there, but is not ours alone.
    """
    path = os.path.expanduser("~/.pigeon.db")
    if os.path.isabs(path) and not is_network(filesystem_of(path).fstype):
        return path
    directory = private_directory()
    if os.path.lexists(directory):
        _check_private(directory)
    return f"{directory}/journal.db"


def of_one_session(session_id: str) -> str:
    """A journal for a worker that serves one session, and for as long as it does: on this host's own disk.

    A new one at each call: another worker for the session, started beside this one, must not discard what this one has.
    """
    return f"{private_directory()}/session-{session_id}.{os.urandom(4).hex()}.db"


def discard(path: str) -> None:
    """Remove such a journal with all that lies beside it. What cannot be removed stays."""
    directory, name = os.path.split(path)
    _remove(directory, lambda one: one.name.startswith(name))


def discard_old(older_than_s: float, is_used: Callable[[str], bool]) -> None:
    """The same for those whose worker was killed, or its node lost, so long ago.

    `is_used`: whether a runner lives whose proof is in this directory; while its command runs it writes to no file.
    """
    before = clock.wall() - older_than_s
    directory = private_directory()

    def is_meant(one: os.DirEntry[str]) -> bool:
        journal, suffix, _ = one.name.partition(".db")
        is_old = one.name.startswith("session-") and one.stat().st_mtime < before
        return is_old and not is_used(f"{directory}/{journal}{suffix}{PROOFS}")

    _remove(directory, is_meant)


def _remove(directory: str, is_meant: Callable[[os.DirEntry[str]], bool]) -> None:
    try:
        for one in list(os.scandir(directory)):
            if is_meant(one) and one.is_dir(follow_symlinks=False):
                shutil.rmtree(one.path, ignore_errors=True)
            elif is_meant(one):
                os.unlink(one.path)
    except OSError:
        pass  # nothing depends on it


def private_directory() -> str:
    """The directory of this user's journal below /var/tmp."""
    return f"{PRIVATE_BASE}/pigeon-{os.geteuid()}"


def check(path: str, explicit: bool) -> None:
    """Refuse a place where SQLite would corrupt the journal. `explicit`: a person has named it.

    Raises:
        JournalError: `path` lies on a network filesystem.
    """
    mount = filesystem_of(path)
    if not is_network(mount.fstype):
        return
    named = "the journal" if explicit else "the only place that pigeon finds for its journal,"
    raise JournalError(
        f"{named} `{path}` lies on a network filesystem ({mount.fstype} on `{mount.mount_point}`), "
        "where SQLite corrupts its databases",
        hint=_ELSEWHERE if not explicit else f"take a path {_PRIVATE}{_such_as()}",
    )


def _such_as() -> str:
    """An example that may be followed: only while nobody else has put something there."""
    directory = private_directory()
    try:
        if os.path.lexists(directory):
            _check_private(directory)
    except JournalError:
        return ""
    return f", such as `{directory}/journal.db`"


def settled(path: str) -> str:
    """`path` without symbolic links, once the way to it and what lies beside it are found to be ours.

    Makes the private directory if `path` lies in it; any other directory must be there already.

    Raises:
        JournalUnavailable: something there belongs to another user, or others can write it; for whoever is in the
            middle of a session this passes when somebody mends it.
        JournalError: the directory is missing.
    """
    path = os.path.abspath(path)
    _prepare(os.path.dirname(path))
    real = os.path.realpath(path)
    try:
        fault = trust.way_fault(os.path.dirname(path))
        if fault is None and real != path:
            fault = trust.way_fault(os.path.dirname(real))
    except OSError as error:
        raise JournalUnavailable(
            f"the journal `{path}` cannot be reached: {error.strerror}", hint=OTHER_PLACE
        ) from error
    fault = fault or _beside(real)
    if fault is None:
        return real
    hint = f"take a path {_PRIVATE}"
    if fault.remedy is not None:
        hint = f"`{fault.remedy}`, or {hint}"
    raise JournalUnavailable(f"the journal cannot be `{path}`: {fault}", hint=hint)


def _beside(path: str) -> trust.Fault | None:
    """What is wrong with one of the files that belong to a journal; those that are not there yet are ours to make."""
    for suffix in (*SIDECARS, LOCK, PROOFS):
        name = path + suffix
        try:
            found = os.lstat(name)
        except OSError:
            continue  # not there, or not to be reached: whoever needs it will say so
        fault = trust.ours_fault(name, found, directory=suffix == PROOFS)
        if fault is not None:
            return fault
    return None


def _prepare(directory: str) -> None:
    if directory == private_directory():
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise JournalError(f"cannot make `{directory}`: {error.strerror}", hint=_ELSEWHERE) from error
        _check_private(directory)
    elif not os.path.lexists(directory):
        raise JournalError(
            f"there is no directory `{directory}` for the journal", hint=f"`mkdir -p -m 700 {directory}`"
        )


def _check_private(directory: str) -> None:
    """/var/tmp is everybody's: what lies there under our name may have been put there by another user."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode):
        raise JournalError(
            f"`{directory}` is not a directory, so it cannot hold the journal", hint=_ELSEWHERE
        )
    if found.st_uid != os.geteuid():
        raise JournalError(
            f"`{directory}` belongs to another user (uid {found.st_uid}), so it cannot hold the journal",
            hint=_ELSEWHERE,
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise JournalError(
            f"`{directory}` is open to other users, so it cannot hold the journal",
            hint=f"look at what is in it, then `chmod 700 {directory}`",
        )
