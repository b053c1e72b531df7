"""Where the journal lies: on a local disk, in a place that nobody else can write.

SQLite's write-ahead log needs all its processes on one host, and its locks corrupt a database on a network
filesystem; so the kind of filesystem is looked at first, and a network filesystem is refused, never tried.
"""

from __future__ import annotations

import os
import stat

from pigeon.errors import JournalError
from pigeon.mountinfo import filesystem_of, is_network

PRIVATE_BASE = "/var/tmp"
"""Where the journal goes when the home directory is shared: on the host's own disk, and kept over a reboot."""

_ELSEWHERE = "pass `--journal PATH`, or set `[worker] journal`, with a path on a local disk of this machine"


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
        hint=_ELSEWHERE
        if not explicit
        else f"take a path on a local disk, such as `{private_directory()}/journal.db`",
    )


def prepare(path: str) -> None:
    """Make the private directory if `path` lies in it; any other directory must be there already.

    Raises:
        JournalError: the directory is missing, or the private one is not ours alone.
    """
    directory = os.path.dirname(path) or "."
    if os.path.abspath(directory) == private_directory():
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise JournalError(f"cannot make `{directory}`: {error.strerror}", hint=_ELSEWHERE) from error
        _check_private(directory)
    elif not os.path.isdir(directory):
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
