"""Whole directories of the share: made with what lacks above them, described, removed with all that lies in them.

Not on the path of a plain `pigeon true`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from pigeon.wire.files import Refused, check_directory, make_directory, status_of
from pigeon.wire.names import SessionFiles
from pigeon.wire.share import at, open_listing


def make_directories(path: str) -> None:
    """`path` and what lacks above it, each private."""
    try:
        make_directory(path)
    except FileExistsError:
        check_directory(path)
    except FileNotFoundError:
        parent = os.path.dirname(path)
        if parent == path:
            raise
        make_directories(parent)
        try:
            make_directory(path)
        except FileExistsError:  # made by another at the same time
            check_directory(path)


def list_status(path: str, is_wanted: Callable[[str], bool] = lambda _: True) -> dict[str, os.stat_result]:
    """What lstat(2) says of each entry of a directory whose name is wanted. Raises OSError as `open_listing`."""
    fd = open_listing(path)
    try:
        found = {}
        for name in os.listdir(fd):
            if is_wanted(name):
                try:
                    found[name] = os.stat(name, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    continue
        return found
    finally:
        os.close(fd)


def remove_session(session: SessionFiles) -> bool:
    """Remove a session's directory. As `remove_directory`."""
    return remove_directory(session.directory)


def remove_directory(path: str) -> bool:
    """Remove a directory of ours and what lies in it, never through a link, and nothing outside of it.

    False: some process still has a file of it open (`.nfs…`); it is left for a later turn.

    Raises:
        OSError: it, or something in it, cannot be removed. FileNotFoundError: it has gone already.
    """
    fd = open_listing(path)
    try:
        if _empty(fd):
            return False
        found = os.fstat(fd)
        there = status_of(path)
        if (there.st_dev, there.st_ino) != (found.st_dev, found.st_ino):
            raise Refused(errno.EPERM, "has been exchanged while it was removed", path)
        at(path, lambda name, directory: os.rmdir(name, dir_fd=directory))
    finally:
        os.close(fd)
    return True


def _empty(fd: int) -> bool:
    """Remove what lies in the open directory, directories that somebody has put there as well. True: something is left.

    Raises OSError.
    """
    is_left = False
    for entry in list(os.scandir(fd)):
        if entry.name.startswith(".nfs"):
            is_left = True  # what an NFS client makes of a file that is open
        elif entry.is_dir(follow_symlinks=False):
            inner = os.open(
                entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd
            )
            try:
                if os.fstat(inner).st_dev != os.fstat(fd).st_dev:
                    raise Refused(errno.EBUSY, "holds a mounted filesystem", entry.name)
                is_left |= _empty(inner)
            finally:
                os.close(inner)
            os.rmdir(entry.name, dir_fd=fd)
        else:
            os.unlink(entry.name, dir_fd=fd)
    return is_left or any(name.startswith(".nfs") for name in os.listdir(fd))
