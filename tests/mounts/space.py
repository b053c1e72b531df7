"""How much the files may still grow, counted over all mounts of one rig.

Owns one small file: a signed number of bytes by which files have grown since the limit was set. Every change of it
happens under a lock on that file, so that mounts which write at the same time share one limit.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Space:
    """The shared account; nothing is counted while there is no limit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _account(self) -> Iterator[int]:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def reset(self) -> None:
        """Nothing has been used."""
        with self._account() as descriptor:
            os.pwrite(descriptor, struct.pack("<q", 0), 0)

    def used(self) -> int:
        """Bytes of growth; negative when more was removed than written."""
        with self._account() as descriptor:
            return self._read(descriptor)

    def take(self, wanted_bytes: int, limit_bytes: int | None) -> int:
        """Grant as much of `wanted_bytes` as there is room for."""
        if limit_bytes is None:
            return wanted_bytes
        with self._account() as descriptor:
            used = self._read(descriptor)
            granted = max(0, min(wanted_bytes, limit_bytes - used))
            os.pwrite(descriptor, struct.pack("<q", used + granted), 0)
        return granted

    def give(self, freed_bytes: int, limit_bytes: int | None) -> None:
        """A file was removed or cut."""
        if limit_bytes is not None and freed_bytes > 0:
            with self._account() as descriptor:
                os.pwrite(descriptor, struct.pack("<q", self._read(descriptor) - freed_bytes), 0)

    @staticmethod
    def _read(descriptor: int) -> int:
        data = os.pread(descriptor, 8, 0)
        (value,) = struct.unpack("<q", data) if len(data) == 8 else (0,)
        return int(value)
