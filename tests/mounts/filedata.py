"""The requests on open files: what a read sees, and when written data reach the server."""

from __future__ import annotations

import errno
import os
import threading
import time

from tests.mounts.binding import Binding
from tests.mounts.clientcache import Attributes, ClientCache, Key
from tests.mounts.counters import Counters
from tests.mounts.faults import RuleBook
from tests.mounts.openfile import Chunk, Handle, OpenInode
from tests.mounts.options import Options
from tests.mounts.requests import FileInfo, Requests, request
from tests.mounts.space import Space

MAX_UNSENT_BYTES = 64 << 20
"""A real client, too, sends early when much has gathered."""


def _flags(fi: FileInfo) -> int:
    """How to open the backing file: the client simulates appending, and what has become a pipe must not block us."""
    return fi.flags & ~(os.O_APPEND | os.O_DIRECT) | os.O_NONBLOCK | os.O_NOFOLLOW


class FileData(Requests):
    """Handles and what is done with them."""

    def __init__(
        self, options: Options, binding: Binding, counters: Counters, book: RuleBook, space: Space
    ) -> None:
        super().__init__(options, binding, counters, book, space)
        self.cache = ClientCache(options.ttl_s, options.negative_ttl_s, options.listing_ttl_s)
        self.handles: dict[int, Handle] = {}
        self._inodes: dict[Key, OpenInode] = {}
        self._table = threading.Lock()

    def _back(self, path: str) -> str:
        raise NotImplementedError

    def _give_to_caller(self, path: str) -> None:
        raise NotImplementedError

    # Open and close

    @request("open")
    def open(self, path: str, fi: FileInfo) -> int:
        """Asks the server, whatever is believed: the name may lead elsewhere, and the file may have grown."""
        asked_s = time.monotonic()
        self.ask_server("open")
        try:
            descriptor = os.open(self._back(path), _flags(fi))
        except OSError:
            self.cache.forget(path)
            raise
        return self._opened(descriptor, path, fi, asked_s)

    @request("create")
    def create(self, path: str, mode: int, fi: FileInfo) -> int:
        """Asks the server; with O_EXCL it fails if the name exists, whatever is believed of it."""
        self.ask_server("create")
        self.need_space()
        existed = os.path.lexists(self._back(path))
        try:
            descriptor = os.open(self._back(path), _flags(fi) | os.O_CREAT, mode)
        finally:
            self.cache.forget(path)  # also when it is said to exist
        if not existed:
            self._give_to_caller(path)
        return self._opened(descriptor, path, fi, time.monotonic())

    def _opened(self, descriptor: int, path: str, fi: FileInfo, asked_s: float) -> int:
        found = os.fstat(descriptor)
        key = (found.st_dev, found.st_ino)
        attributes = self.cache.learn(path, found, asked_s)
        with self._table:
            inode = self._inodes.setdefault(key, OpenInode(key))
            inode.handles += 1
        handle = Handle(descriptor, path, fi.flags, inode)
        if handle.is_writable:
            with inode.lock:
                inode.begin_writing(descriptor, max(attributes["st_size"], inode.dirty_end))
        self.handles[descriptor] = handle
        fi.fh = descriptor
        return 0

    def flush(self, path: str, fi: FileInfo) -> int:
        """`close`. Of a descriptor that was only read from, it asks nothing of the server, so no fault meets it."""
        if self.handles[fi.fh].is_writable:
            return self._flush_written(path, fi)
        self.counters.request("flush")
        return 0

    @request("flush")
    def _flush_written(self, path: str, fi: FileInfo) -> int:
        """Everything goes to the server, and what went wrong is said."""
        handle = self.handles[fi.fh]
        with handle.inode.lock:
            handle.inode.closed(handle.descriptor)
        self.send(handle, "flush")
        return 0

    @request("fsync")
    def fsync(self, path: str, is_data_only: int, fi: FileInfo) -> int:
        """As `close`."""
        self.send(self.handles[fi.fh], "fsync")
        return 0

    @request("release")
    def release(self, path: str, fi: FileInfo) -> int:
        """The last descriptor is closed; the caller has gone on already."""
        self.drop_handle(fi)
        return 0

    def drop_handle(self, fi: FileInfo) -> None:
        """Close the backing file, which frees a lock, too."""
        handle = self.handles.pop(fi.fh)
        inode = handle.inode
        with inode.lock:
            inode.end_writing(handle.descriptor)
        with self._table:
            inode.handles -= 1
            if not inode.handles:
                self._inodes.pop(inode.key, None)
            os.close(handle.descriptor)  # not before: its number would serve the next handle

    # Attributes of open files

    def _current(self, handle: Handle) -> Attributes:
        """The attributes that hold for the open file, asked for if none are believed."""
        attributes = self.cache.attributes(handle.inode.key)
        if attributes is None:
            asked_s = time.monotonic()
            self.ask_server("getattr")
            attributes = self.cache.learn(None, os.fstat(handle.descriptor), asked_s)
        return attributes

    def usable(self, fi: FileInfo) -> Handle:
        handle = self.handles[fi.fh]
        if handle.has_lost_lock:
            raise OSError(errno.EIO, "the server has forgotten the lock of this descriptor")
        if self.options.is_v3 and os.fstat(handle.descriptor).st_nlink == 0:
            raise OSError(errno.ESTALE, "removed on the server")
        return handle

    def handle_attributes(self, fi: FileInfo) -> Attributes:
        """`fstat`."""
        handle = self.usable(fi) if self.options.is_v3 else self.handles[fi.fh]
        return self.with_unsent(handle.inode.key, self._current(handle))

    def with_unsent(self, key: Key, attributes: Attributes) -> Attributes:
        """The size, as this client's own unsent data make it."""
        inode = self._inodes.get(key)
        if inode is None or not inode.dirty:
            return attributes
        with inode.lock:
            return {**attributes, "st_size": max(attributes["st_size"], inode.dirty_end)}

    # Data

    @request("read")
    def read(self, path: str, size: int, offset: int, fi: FileInfo) -> bytes:
        """Up to the size that is believed; a descriptor kept open sees growth only when that is asked for anew."""
        handle = self.usable(fi)
        inode = handle.inode
        known = self._current(handle)["st_size"]
        shape = self.shape
        if shape is not None and shape.act == "short":
            size = min(size, shape.size_bytes)
        from_server = b""
        if offset < known:
            self.ask_server("read")
            from_server = os.pread(handle.descriptor, min(size, known - offset), offset)
        with inode.lock:
            return inode.seen(offset, from_server, size)

    @request("write")
    def write(self, path: str, data: bytes, offset: int, fi: FileInfo) -> int:
        """Into this client's memory."""
        handle = self.usable(fi)
        inode = handle.inode
        shape = self.shape
        if shape is not None and shape.act == "short":
            data = data[: shape.size_bytes]
        with inode.lock:
            if self.book.settings.space_at == "write":
                size = max(self._current(handle)["st_size"], inode.dirty_end)
                data = self._that_fits(data, offset, size)
                if not data:
                    raise self.no_space()
            inode.write(offset, data)
            if handle.is_synchronous:
                self.send(handle, "write")
            elif inode.dirty_bytes > MAX_UNSENT_BYTES:
                self._send_early(handle)
        return len(data)

    def _that_fits(self, data: bytes, offset: int, size: int) -> bytes:
        growth = max(0, offset + len(data) - size)
        granted = self.space.take(growth, self.book.settings.space_bytes)
        return data[: len(data) - (growth - granted)]

    @request("truncate")
    def truncate(self, path: str, length: int, fi: FileInfo | None = None) -> int:
        """At once, on the server."""
        self.ask_server("truncate")
        place: int | str = self._back(path) if fi is None else self.handles[fi.fh].descriptor
        before = os.stat(place)
        os.truncate(place, length)
        key = (before.st_dev, before.st_ino)
        self.cache.forget_attributes(key)
        self.give_space(before.st_size - length)
        inode = self._inodes.get(key)
        if inode is not None:
            with inode.lock:
                inode.cut(length)
        return 0

    def drop_unsent(self, fi: FileInfo) -> None:
        """Sending failed."""
        handle = self.handles[fi.fh]
        if handle.is_writable:
            with handle.inode.lock:
                handle.inode.closed(handle.descriptor)
                handle.inode.take_dirty()

    def _send_early(self, handle: Handle) -> None:
        try:
            self.send(handle, "write")
        except OSError as error:
            handle.inode.error_at_close = error

    def send(self, handle: Handle, kind: str) -> None:
        """Write back everything that waits.

        Raises:
            OSError: some of it could not be written; the rest of it is lost.
        """
        inode = handle.inode
        with inode.lock:
            error, inode.error_at_close = inode.error_at_close, None
            chunks = inode.take_dirty()
            if chunks:
                self.ask_server(kind)
                try:
                    self._write_back(handle, chunks)
                finally:
                    asked_s = time.monotonic()
                    self.cache.forget_attributes(inode.key)
                    self.cache.learn(None, os.fstat(handle.descriptor), asked_s)
        if error is not None:
            raise error

    def _write_back(self, handle: Handle, chunks: list[Chunk]) -> None:
        shape = self.shape
        if shape is not None and shape.act == "tear":
            offset, data = chunks[-1]
            half = len(data) // 2
            self._write_out(handle, offset + half, bytes(data[half:]))
            chunks = [*chunks[:-1], (offset, data[:half])]
            self.book.hold(shape, lambda: False)
        room = shape.size_bytes if shape is not None and shape.act == "short" else None
        for offset, data in chunks:
            part = bytes(data if room is None else data[:room])
            self._write_out(handle, offset, part)
            if room is not None:
                room -= len(part)
        if room is not None and shape is not None:
            raise shape.failure()

    def _write_out(self, handle: Handle, offset: int, data: bytes) -> None:
        fitting = data
        if self.book.settings.space_at == "close":
            fitting = self._that_fits(data, offset, os.fstat(handle.descriptor).st_size)
        written = 0
        while written < len(fitting):
            written += os.pwrite(handle.descriptor, fitting[written:], offset + written)
        if len(fitting) < len(data):
            raise self.no_space()
