"""Reading segments while their writer writes them (FORMAT.md, "Bulk"); `segments.py` has their format."""

from __future__ import annotations

import os

from pigeon.clock import monotonic
from pigeon.errors import DamagedSession
from pigeon.wire import files
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import MARK
from pigeon.wire.segments import (
    CHANNELS,
    END,
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    frame_header,
    header,
    path_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    Piece = tuple[str, bytes | memoryview]

CHUNK_BYTES = 1024 * 1024
"""A poll reads at most this much: about 2 ms of work."""

MAX_BUFFERS = 24
"""A window of input, and some that are under way."""

PATIENCE_S = 30.0
"""A frame whose checksum is wrong for so long is damage. The page of a late write is there after seconds."""


class _Buffers:
    """Memory to read into that is handed out as views, and used again once nobody has one any more: memory that is new
    each time costs more than reading into it."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[bytearray] = []

    def free(self) -> bytearray:
        """One that nobody else uses."""
        for buffer in self._kept:
            try:
                buffer.append(0)  # not while there is a view of it
            except BufferError:
                continue
            buffer.pop()
            return buffer
        made = bytearray(CHUNK_BYTES)
        if len(self._kept) < MAX_BUFFERS:
            self._kept.append(made)
        return made


class SegmentReader:
    """Where one reader stands in one direction.

    `total` and `marks` count the payload bytes and the marks handed over, and those before the segment that it began
    with; `base` are the payload bytes before the segment that it reads; `grew`, `cost_s` and `has_more` are those of a
    `Tail`.
    """

    __slots__ = (
        "number",
        "total",
        "base",
        "marks",
        "grew",
        "cost_s",
        "has_more",
        "_session",
        "_direction",
        "_offset",
        "_seen",
        "_buffers",
        "_wrong_since",
    )

    def __init__(self, session: SessionFiles, direction: str, number: int) -> None:
        """`number`: the segment to begin with."""
        self.number = number
        self.total = 0
        self.base = 0
        self.marks = 0
        self.grew = False
        self.cost_s = 0.0
        self.has_more = False
        self._session = session
        self._direction = direction
        self._offset = 0
        self._seen = 0
        self._buffers = _Buffers()
        self._wrong_since: float | None = None

    def poll(self) -> list[Piece]:
        """(channel, payload) of the frames that have arrived since the last call, marks included; at most CHUNK_BYTES.
        A large payload is a view of what has been read.

        Raises:
            DamagedSession: what lies at the reader's place has been wrong for PATIENCE_S.
            OSError: the segment could not be read now; the position is unchanged.
        """
        self.grew = self.has_more = False
        began = monotonic()
        path = path_of(self._session, self._direction, self.number)
        fd = self._open(path)
        try:
            if self._wrong_since is not None:
                # What the page cache holds of a half-arrived append can stay wrong until the page is dropped.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            buffer = self._buffers.free()
            size = os.preadv(fd, (buffer,), self._offset)
        finally:
            os.close(fd)
        self.cost_s = monotonic() - began
        if self._offset + size > self._seen:
            self.grew = True
            self._seen = self._offset + size
        data = memoryview(buffer)[:size]
        found: list[Piece] = []
        at, is_wrong = (0, False) if self._offset else self._take_header(data)
        if self._offset:
            at, found, is_wrong = self._take_frames(data, at)
        self._judge(path, is_wrong=is_wrong, moved=at > 0)
        self.has_more = at > 0 and (size == CHUNK_BYTES or self._offset == 0)
        return found

    def _open(self, path: str) -> int:
        """The segment anew. Its writer has told of it, so a look-up that fails is an old one that NFS remembers."""
        try:
            return files.open_checked(path)
        except FileNotFoundError:
            files.list_names(self._session.directory)
            return files.open_checked(path)

    def _take_header(self, data: memoryview) -> tuple[int, bool]:
        """How far it reaches, and whether what is there is wrong and not only short."""
        if len(data) < HEADER_BYTES:
            return 0, False
        base, marks = int.from_bytes(data[16:24], "little"), int.from_bytes(data[24:32], "little")
        if data[:HEADER_BYTES] != header(self.number, base, marks):
            return 0, True
        self.total, self.base, self.marks = base, base, marks
        self._offset = HEADER_BYTES
        return HEADER_BYTES, False

    def _take_frames(self, data: memoryview, at: int) -> tuple[int, list[Piece], bool]:
        """How far whole frames reach, their payloads, and whether what follows them is wrong and not only short."""
        start = at
        found: list[Piece] = []
        is_much = len(data) * 2 >= CHUNK_BYTES  # a view of a little would keep all of the buffer
        while len(data) - at >= FRAME_BYTES:
            length = int.from_bytes(data[at : at + 4], "little")
            kind = int.from_bytes(data[at + 8 : at + 12], "little")
            payload = data[at + FRAME_BYTES : at + FRAME_BYTES + length]
            if length > MAX_FRAME_BYTES:
                return self._moved(at, start), found, True
            if len(payload) < length:
                break
            if data[at : at + FRAME_BYTES] != frame_header(kind, payload):
                return self._moved(at, start), found, True
            at += FRAME_BYTES + length
            if kind == END:
                self._go_to_next()
                return at, found, False
            if kind in CHANNELS:
                found.append((CHANNELS[kind], payload if is_much else bytes(payload)))
            self.total += length
            self.marks += CHANNELS.get(kind) == MARK
        return self._moved(at, start), found, False

    def _moved(self, at: int, start: int) -> int:
        self._offset += at - start
        return at

    def _go_to_next(self) -> None:
        self.number += 1
        self._offset = self._seen = 0

    def _judge(self, path: str, *, is_wrong: bool, moved: bool) -> None:
        """Bytes that are there and do not fit are a page that is still on its way, for a while."""
        if not is_wrong:
            self._wrong_since = None
        elif moved or self._wrong_since is None:
            self._wrong_since = monotonic()
        elif monotonic() - self._wrong_since > PATIENCE_S:
            raise DamagedSession(path, self._offset, "a frame with its checksum")
