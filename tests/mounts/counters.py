"""Counts that one process writes and any other reads, with no message between them.

Owns the layout of a `<mount>.counts` file: little-endian 64-bit numbers in a shared memory map, first the requests of
each kind, then those of them that the "server" had to answer. Only the mount's own process adds. "Reset" is the
reader's business: it remembers a baseline and subtracts.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path

KINDS = (
    "getattr",  # look-ups too: the binding's interface knows no difference
    "open", "create", "read", "write", "flush", "fsync", "release",
    "opendir", "readdir", "releasedir",
    "rename", "link", "unlink", "symlink", "readlink", "mkdir", "rmdir", "mknod",
    "truncate", "chmod", "chown", "utimens", "statfs", "lock",
)  # fmt: skip
"""Every kind of request that is counted and that a fault can name."""

_PLACE = {kind: place for place, kind in enumerate(KINDS)}
_SIZE = 8 * 2 * len(KINDS)


class Counters:
    """One mount's counts, mapped; the writer and every reader make one for the same file."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._lock = threading.Lock()

    def _add(self, place: int) -> None:
        with self._lock:
            (value,) = struct.unpack_from("<Q", self._map, 8 * place)
            struct.pack_into("<Q", self._map, 8 * place, value + 1)

    def request(self, kind: str) -> None:
        """The mount was asked for something of this kind."""
        self._add(_PLACE[kind])

    def server(self, kind: str) -> None:
        """Its cache could not answer."""
        self._add(len(KINDS) + _PLACE[kind])

    def requests(self) -> dict[str, int]:
        """All requests since the file was made, by kind."""
        return self._block(0)

    def served(self) -> dict[str, int]:
        """Those that the server answered."""
        return self._block(len(KINDS))

    def _block(self, start: int) -> dict[str, int]:
        values = struct.unpack_from(f"<{len(KINDS)}Q", self._map, 8 * start)
        return dict(zip(KINDS, values, strict=True))

    def close(self) -> None:
        """Drop the map; the file stays."""
        self._map.close()
