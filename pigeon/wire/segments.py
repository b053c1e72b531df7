"""The bulk lane: payload as raw bytes in numbered segment files, beside the JSON lines (FORMAT.md, "Bulk").

One writer a direction, who makes each segment, appends frames at an offset of its own, and unlinks what its reader has
acknowledged. A reader believes a frame when its checksum is right; one that is not yet right has not arrived yet.
"""

from __future__ import annotations

import os
from binascii import crc32

from pigeon.wire import files
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Piece = tuple[str, bytes | memoryview]

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment that has grown to this is followed by the next. What is read goes in pieces of this size, so it is also how
much more than its window a session can have on the share."""

MAX_FRAME_BYTES = 256 * 1024
"""Payload of one frame. Larger ones save nothing; smaller ones cost a checksum's call each."""

MAGIC = b"PGNSEG1\n"
HEADER_BYTES = 36
"""MAGIC, number (8 bytes), payload bytes before this segment (8), marks before it (8), crc32 of these 32 (4); little
endian."""

FRAME_BYTES = 12
"""In front of each payload: its length (4), crc32 of the rest of this header and of the payload (4), channel (4)."""

CHANNEL_NUMBERS = {"pty": 1, "stdout": 2, "stderr": 3, "stdin": 4}
END = 255
"""Channel of the frame without payload that ends a segment: the next one lies there already."""

_NUMBERS = {**CHANNEL_NUMBERS, MARK: 254}
"""A mark is a frame without payload, at the place of an event that stands in the lines."""

CHANNELS = {number: name for name, number in _NUMBERS.items()}
"""A frame's channel -> its name."""


STREAM = "stream"
"""The direction of output; those of input are `names.input_stem`."""


def name_of(direction: str, number: int) -> str:
    """The file of segment `number`, from 1."""
    return f"{direction}.{number}.bulk"


def path_of(session: SessionFiles, direction: str, number: int) -> str:
    """Where it lies."""
    return f"{session.directory}/{name_of(direction, number)}"


def numbers_in(names: list[str], direction: str) -> list[int]:
    """The segments of one direction in a listing, in order."""
    found = []
    for name in names:
        number = name.removeprefix(f"{direction}.").removesuffix(".bulk")
        is_number = number.isascii() and number.isdigit() and len(number) < 12
        if is_number and name == name_of(direction, int(number)):
            found.append(int(number))
    return sorted(found)


def is_of_input(name: str) -> bool:
    """Whether this is a segment of a client's or an attacher's input."""
    return name.startswith("stdin.") and name.endswith(".bulk")


def written_bytes(session: SessionFiles, direction: str, sizes: Mapping[str, int]) -> int:
    """Payload bytes that have been written so far, nearly: frames are counted as payload. For people.

    `sizes`: of the files in the session's directory. Raises OSError.
    """
    numbers = numbers_in(list(sizes), direction)
    if not numbers:
        return 0
    path = path_of(session, direction, numbers[-1])
    fd = files.open_checked(path)
    try:
        header = os.pread(fd, HEADER_BYTES, 0)
    finally:
        os.close(fd)
    size = sizes.get(os.path.basename(path), 0)
    return int.from_bytes(header[16:24], "little") + max(0, size - HEADER_BYTES)


def marks_at_end(session: SessionFiles, direction: str, number: int) -> tuple[int, bool]:
    """How many marks have been written to a segment since its last payload, and whether it has no payload at all.

    For people: a payload that ends as a mark looks is taken for one. Raises OSError.
    """
    fd = files.open_checked(path_of(session, direction, number))
    try:
        end = os.fstat(fd).st_size
        if os.pread(fd, FRAME_BYTES, end - FRAME_BYTES) == frame_header(END, b""):
            end -= FRAME_BYTES
        found, mark = 0, frame_header(_NUMBERS[MARK], b"")
        while end > HEADER_BYTES and os.pread(fd, FRAME_BYTES, end - FRAME_BYTES) == mark:
            end -= FRAME_BYTES
            found += 1
    finally:
        os.close(fd)
    return found, end <= HEADER_BYTES


def header(number: int, base: int, marks: int) -> bytes:
    """The first HEADER_BYTES of a segment."""
    text = MAGIC + b"".join(value.to_bytes(8, "little") for value in (number, base, marks))
    return text + crc32(text).to_bytes(4, "little")


def frame_header(channel: int, data: bytes | memoryview) -> bytes:
    """What stands in front of a payload."""
    length, kind = len(data).to_bytes(4, "little"), channel.to_bytes(4, "little")
    return length + crc32(data, crc32(length + kind)).to_bytes(4, "little") + kind


class SegmentWriter:
    """The one writer of one direction.

    `put` queues, `flush` writes; after any error the same bytes go to the same place again (FORMAT.md, "Writing").
    `number` is that of the segment being written, 0 before the first.
    """

    __slots__ = (
        "number",
        "queued_bytes",
        "released",
        "_segment_bytes",
        "_session",
        "_direction",
        "_queue",
        "_queued_payload",
        "_offset",
        "_written",
        "_marks",
        "_closed",
    )

    def __init__(self, session: SessionFiles, direction: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """`segment_bytes`: what makes a segment full."""
        self._segment_bytes = segment_bytes
        self.number = 0
        self.queued_bytes = 0
        self.released = 0
        """Payload bytes that no longer lie on the share."""
        self._session = session
        self._direction = direction
        self._queue: list[bytes | memoryview] = []
        self._queued_payload = 0
        self._offset = 0
        self._written = 0
        self._marks = [0, 0]
        """Written, and queued."""
        self._closed: list[tuple[int, int]] = []
        """(number, payload bytes up to its end) of each segment that is full and still lies there."""

    @property
    def end(self) -> int:
        """Payload bytes behind everything queued."""
        return self._written + self._queued_payload

    @property
    def lying_bytes(self) -> int:
        """Payload bytes that lie on the share, or soon will."""
        return self.end - self.released

    def put(self, channel: str, data: bytes) -> None:
        """Queue a piece of any size."""
        kind = CHANNEL_NUMBERS[channel]
        view = memoryview(data)
        for start in range(0, len(data), MAX_FRAME_BYTES):
            piece = view[start : start + MAX_FRAME_BYTES]
            self._queue += (frame_header(kind, piece), piece)
            self.queued_bytes += FRAME_BYTES + len(piece)
            self._queued_payload += len(piece)

    def put_mark(self) -> None:
        """Here belongs a line that goes into the `.jsonl` file."""
        self._queue.append(frame_header(_NUMBERS[MARK], b""))
        self.queued_bytes += FRAME_BYTES
        self._marks[1] += 1

    def flush(self) -> None:
        """Write what is queued, beginning another segment where one is full.

        Raises:
            OSError: nothing is lost or counted as written; call again.
        """
        if not self._queue:
            return
        self._begin_next_if_full()
        files.write_at(self._path(self.number), self._queue, self._offset)
        self._offset += self.queued_bytes
        self._written += self._queued_payload
        self._queue.clear()
        self.queued_bytes = self._queued_payload = 0
        self._marks = [sum(self._marks), 0]
        self._begin_next_if_full()  # only what is closed can be released

    def _begin_next_if_full(self) -> None:
        if self.number == 0 or self._offset >= self._segment_bytes:
            self._begin_next()

    def _begin_next(self) -> None:
        """The next segment first, then the word in the full one that it is there: who reads that word finds it."""
        following = self.number + 1
        files.create_anew(self._path(following), header(following, self._written, self._marks[0]))
        if self.number:
            files.write_at(self._path(self.number), [frame_header(END, b"")], self._offset)
            self._closed.append((self.number, self._written))
        self.number = following
        self._offset = HEADER_BYTES

    def release(self, acknowledged: int, keep_bytes: int = 0) -> None:
        """Unlink the full segments before `acknowledged` payload bytes, but not the last `keep_bytes`.

        Who has acknowledged a segment to its last byte may not have read yet that the next one is there.
        """
        up_to = min(acknowledged - 1, self._written - keep_bytes)
        while self._closed and self._closed[0][1] <= up_to:
            number, self.released = self._closed.pop(0)
            files.remove(self._path(number))

    def clear(self) -> None:
        """Unlink whatever still lies there: nobody reads it any more."""
        for number, _ in self._closed:
            files.remove(self._path(number))
        self._closed.clear()
        if self.number:
            files.remove(self._path(self.number))
        self.released = self.end

    def _path(self, number: int) -> str:
        return path_of(self._session, self._direction, number)
