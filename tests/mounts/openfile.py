"""The data of a file that this client has open: what it wrote and has not sent, and what it cannot see.

Three habits of NFS clients are imitated. Written bytes stay here until `close` or `fsync`. Reads end at the size that
the client last heard of. And while a descriptor is open for writing, bytes that came from elsewhere since then read as
NUL. (A real client does so up to the next page boundary, if it had that page; here always, and for every such byte:
whoever relies on luck must fail.) No file operation happens in this module.
"""

from __future__ import annotations

import os
import threading
import time

from tests.mounts.clientcache import Key

Chunk = tuple[int, bytearray]

_RELEASE_S = 0.05
"""The kernel's word that a file is closed for good comes well within this time after the `close`."""


class OpenInode:
    """What all handles of one inode on one mount share; use it under its `lock`."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.lock = threading.RLock()
        self._released = threading.Condition(self.lock)
        self.handles = 0
        self.dirty: list[Chunk] = []
        self.error_at_close: OSError | None = None
        """Found when data were sent early; the next `close` or `fsync` reports it, once."""
        self._writers: dict[int, float | None] = {}
        """Handles open for writing; when one of the descriptors that lead to it was last closed."""
        self._intact_bytes = 0
        self._own: list[tuple[int, int]] = []
        """Ranges beyond the intact part that this client wrote itself."""

    @property
    def dirty_end(self) -> int:
        """The size that the unsent data give the file, at least."""
        return max((offset + len(data) for offset, data in self.dirty), default=0)

    @property
    def dirty_bytes(self) -> int:
        """How much waits to be sent."""
        return sum(len(data) for _, data in self.dirty)

    def begin_writing(self, handle_id: int, size: int) -> None:
        """A handle was opened for writing."""
        if not self._writers:
            self._intact_bytes, self._own = size, []
        self._writers[handle_id] = None

    def closed(self, handle_id: int) -> None:
        """A descriptor that leads to this handle was closed: the last one, or a copy (of a fork, say)."""
        if handle_id in self._writers:
            self._writers[handle_id] = time.monotonic()

    def end_writing(self, handle_id: int) -> None:
        """It was the last one. The kernel tells so after `close` has returned."""
        self._writers.pop(handle_id, None)
        self._released.notify_all()

    def write(self, offset: int, data: bytes) -> None:
        """Keep the data; they are sent later."""
        if self.dirty and self.dirty[-1][0] + len(self.dirty[-1][1]) == offset:
            self.dirty[-1][1].extend(data)
        else:
            self.dirty.append((offset, bytearray(data)))
        end = offset + len(data)
        if offset <= self._intact_bytes:
            self._intact_bytes = max(self._intact_bytes, end)
        elif self._own and self._own[-1][1] == offset:
            self._own[-1] = (self._own[-1][0], end)
        else:
            self._own.append((offset, end))

    def take_dirty(self) -> list[Chunk]:
        """What is to be sent now; afterwards nothing waits."""
        taken, self.dirty = self.dirty, []
        return taken

    def cut(self, length: int) -> None:
        """The file was truncated."""
        self.dirty = [(offset, data[: length - offset]) for offset, data in self.dirty if offset < length]
        self._intact_bytes = min(self._intact_bytes, length)
        self._own = [(start, min(end, length)) for start, end in self._own if start < length]

    def seen(self, offset: int, from_server: bytes, wanted: int) -> bytes:
        """What a read at `offset` gives this client, of what the server has there."""
        data = bytearray(from_server)
        if self._writers and offset + len(data) > self._intact_bytes and self._is_held_for_writing():
            self._blank_foreign(offset, data)
        for start, chunk in self.dirty:
            lower, upper = max(start, offset), min(start + len(chunk), offset + wanted)
            if lower < upper:
                if len(data) < upper - offset:
                    data.extend(bytes(upper - offset - len(data)))
                data[lower - offset : upper - offset] = chunk[lower - start : upper - start]
        return bytes(data)

    def _is_held_for_writing(self) -> bool:
        """Waits, if need be, until it is certain whether the last `close` was that of a copy."""
        now_s = time.monotonic()
        end_s = max((at + _RELEASE_S for at in self._writers.values() if at is not None), default=now_s)
        while self._writers and now_s < end_s:
            self._released.wait(end_s - now_s)
            now_s = time.monotonic()
        return bool(self._writers)

    def _blank_foreign(self, offset: int, data: bytearray) -> None:
        visible = bytearray(len(data))
        for start, end in [(0, self._intact_bytes), *self._own]:
            lower, upper = max(start, offset), min(end, offset + len(data))
            if lower < upper:
                visible[lower - offset : upper - offset] = data[lower - offset : upper - offset]
        data[:] = visible


class Handle:
    """One open file of one process: the descriptor of the backing file and how it was opened."""

    def __init__(self, descriptor: int, path: str, flags: int, inode: OpenInode) -> None:
        self.descriptor = descriptor
        self.path = path
        self.inode = inode
        self.is_writable = flags & os.O_ACCMODE != os.O_RDONLY
        self.is_readable = flags & os.O_ACCMODE != os.O_WRONLY
        self.is_synchronous = bool(flags & (os.O_SYNC | os.O_DSYNC))
        self.is_locked = False
        self.has_lost_lock = False
