"""Room on the share that a writer keeps, so that it can still act when what it has written has filled the share."""

from __future__ import annotations

import errno
import os

from pigeon.wire import files

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Of a full filesystem, and of a quota that is used up."""


class Reserve:
    """One file of `size` bytes at `path`, there while `is_kept`."""

    __slots__ = ("is_kept", "size", "_path")

    def __init__(self, path: str) -> None:
        self.is_kept = False
        self.size = 0
        self._path = path

    def take(self) -> None:
        """Keep it. Raises OSError: there is no such room, and nothing is kept."""
        if self.is_kept:
            return
        try:
            # Random, since a filesystem that compresses has room for any number of zeros.
            files.create_anew(self._path, os.urandom(self.size))
        except OSError:
            files.remove(self._path)
            raise
        self.is_kept = True

    def spend(self, path: str, data: bytes) -> None:
        """Make a file of `data` at `path` with some of it, and give the rest back.

        Raises:
            OSError: not done; what was kept may be lost.
        """
        self.is_kept = False
        try:
            files.cut(self._path, len(data))
            files.write_at(self._path, [data], 0)
            files.rename(self._path, path)
        except OSError:
            files.remove(self._path)
            files.create_anew(path, data)

    def give_back(self) -> None:
        """Keep nothing."""
        if self.is_kept:
            self.is_kept = False
            files.remove(self._path)
