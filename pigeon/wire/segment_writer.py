"""Writing segments (FORMAT.md, "Bulk"); `segments.py` has their format.

One writer a direction, who makes each segment, appends frames at an offset of its own, and unlinks what its reader has
acknowledged. A reader believes a frame when its checksum is right; one that is not yet right has not arrived yet.
"""

from __future__ import annotations

import os

from pigeon.wire import files
from pigeon.wire.names import TEMPORARY_PREFIX, SessionFiles
from pigeon.wire.records import MARK
from pigeon.wire.room import NO_ROOM, Reserve
from pigeon.wire.segments import (
    CHANNEL_NUMBERS,
    END,
    FRAME_BYTES,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    NUMBERS,
    STREAM,
    frame_header,
    header,
    path_of,
)

SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment that has grown to this is followed by the next. What is read goes in pieces of this size, so it is also how
much more than its window a session can have on the share."""

RESERVE_BYTES = {"stream": 64 * 1024, "stdin": 256 * 1024}
"""Kept for the end of a segment and for the small records of both sides."""

INPUT_RESERVE_BYTES = 5 * 1024 * 1024 // 2
"""A writer of input keeps so much, or a quarter of what there is, on a share that its window might fill: the command's
output needs as much before it goes into segments, and what is not read while that waits makes no room."""

SMALL_SHARE_BYTES = 64 * 1024 * 1024
"""Of free room. Where there is less, segments are smaller, and nothing is kept that has been read: what one direction
leaves there the other may wait for."""

SHARE_OF_ROOM = 16
"""A segment on a small share is such a part of what is free."""

LITTLE_BYTES = 1024
"""Payload that begins a segment on a full share. It finds room beside the header, in the same block."""


class SegmentWriter:
    """The one writer of one direction.

    `put` queues, `flush` writes; after any error the same bytes go to the same place again (FORMAT.md, "Writing").
    `number` is that of the segment being written, 0 before the first.

    Where there is no room, a segment ends early, so that its reader's acknowledgement lets it go (`_end_early`). Room
    for that is reserved, and is given back then, since the reader needs some to acknowledge. `flush` fails until there
    is as much again.
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
        "_reserve",
        "_is_small",
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
        """Header, payload, header, payload; that of a mark is empty."""
        self._queued_payload = 0
        self._offset = 0
        self._written = 0
        self._marks = [0, 0]
        """Written, and queued."""
        self._closed: list[tuple[int, int]] = []
        """(number, payload bytes up to its end) of each segment that is full and still lies there."""
        self._is_small = False
        """There is little room on the share."""
        self._reserve = Reserve(f"{session.directory}/{TEMPORARY_PREFIX}{direction}-reserve")

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
        self._queue += (frame_header(NUMBERS[MARK], b""), b"")
        self.queued_bytes += FRAME_BYTES
        self._marks[1] += 1

    def begin(self) -> None:
        """Make the first segment, if it is not there, so that its reader can be told of it. Raises OSError."""
        if self.number == 0:
            if not self._reserve.size:
                self._reserve.size = self._reserve_bytes()
            self._reserve.take()
            self._begin_next_if_full()

    def _reserve_bytes(self) -> int:
        kind = self._direction.partition(".")[0]
        found = files.filesystem_at(self._session.directory)
        free = found.f_bavail * found.f_frsize
        if free > SMALL_SHARE_BYTES:
            return RESERVE_BYTES[kind]
        self._economize(free)
        if kind == STREAM:
            return RESERVE_BYTES[kind]
        return max(RESERVE_BYTES[STREAM], min(INPUT_RESERVE_BYTES, free // 4))

    def _economize(self, room: int) -> None:
        """There is no more room than this. A quota shows only once it is used up."""
        self._is_small = True
        self._segment_bytes = min(self._segment_bytes, max(MAX_FRAME_BYTES, room // SHARE_OF_ROOM))

    def flush(self) -> None:
        """Write what is queued, beginning another segment where one is full.

        Raises:
            OSError: nothing is lost or counted as written; call again.
        """
        if not self._queue:
            return
        self.begin()
        self._reserve.take()
        self._begin_next_if_full()
        try:
            self._write(len(self._queue))
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._write_what_fits()
            if self._queue:
                self._end_early()
                raise
        self._begin_next_if_full()  # only what is closed can be released

    def _write(self, pieces: int) -> None:
        """So many pieces of the queue, two for each frame. Raises OSError: none of them counts."""
        taken = self._queue[:pieces]
        files.write_at(self._path(self.number), taken, self._offset)
        payloads = taken[1::2]
        payload, marks = sum(map(len, payloads)), sum(not piece for piece in payloads)
        del self._queue[:pieces]
        size = FRAME_BYTES * len(payloads) + payload
        self._offset += size
        self.queued_bytes -= size
        self._written += payload
        self._queued_payload -= payload
        self._marks = [self._marks[0] + marks, self._marks[1] - marks]

    def _write_what_fits(self) -> None:
        """As much as there is room for, in smaller frames at last. Raises OSError, but not for want of it."""
        frames = max(1, len(self._queue) // 4)
        while self._queue:
            frames = min(frames, len(self._queue) // 2)
            try:
                self._write(2 * frames)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if frames == 1:
                    half = len(self._queue[1]) // 2
                    if half < 2 * LITTLE_BYTES or self._has_landed():
                        return
                    self._split(0, half)
                frames = max(1, frames // 2)

    def _begin_next_if_full(self) -> None:
        if self.number == 0 or self._offset >= self._segment_bytes:
            following, text = self._following()
            files.create_anew(self._path(following), text)
            self._go_to(following)

    def _following(self) -> tuple[int, bytes]:
        """The next segment's number and header."""
        number = self.number + 1
        return number, header(number, self._written, self._marks[0])

    def _go_to(self, following: int) -> None:
        """The next segment lies there first, then comes the word in the full one: who reads that word finds it."""
        if self.number:
            files.write_at(self._path(self.number), [frame_header(END, b"")], self._offset)
            self._closed.append((self.number, self._written))
        self.number = following
        self._offset = HEADER_BYTES

    def _end_early(self) -> None:
        """End a segment in which the next frame finds no room, and begin another with a little of that frame.

        Its reader has to acknowledge something of the next segment before the full one goes. No reader has believed
        what has landed of the frame, as long as it has not landed whole; else the next attempt finds room for it.

        Raises:
            OSError: not done; call `flush` again.
        """
        if self._has_landed():
            return
        self._economize(self.lying_bytes)
        following, text = self._following()
        self._reserve.spend(self._path(following), text)
        files.cut(self._path(self.number), self._offset)
        self._go_to(following)
        at = 0
        while at < len(self._queue) and not self._queue[at + 1]:
            at += 2
        if at < len(self._queue):
            self._split(at, LITTLE_BYTES)
        self._write(min(at + 2, len(self._queue)))

    def _has_landed(self) -> bool:
        """Whether the first frame lies there whole, whatever an error has said."""
        frame = b"".join(self._queue[:2])
        fd = files.open_checked(self._path(self.number))
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(fd, len(frame), self._offset) == frame
        finally:
            os.close(fd)

    def _split(self, at: int, size: int) -> None:
        """Make two frames of the one whose header stands at this place of the queue, if its payload is larger."""
        head, payload = self._queue[at : at + 2]
        if len(payload) <= size:
            return
        kind = int.from_bytes(head[8:FRAME_BYTES], "little")
        parts = payload[:size], payload[size:]
        self._queue[at : at + 2] = [piece for part in parts for piece in (frame_header(kind, part), part)]
        self.queued_bytes += FRAME_BYTES

    def make_room(self, error: OSError) -> bool:
        """Give the reserved room to another file of this writer, which has found none. False if there is none."""
        if error.errno not in NO_ROOM or not self._reserve.is_kept:
            return False
        self._reserve.give_back()
        return True

    def release(self, acknowledged: int, keep_bytes: int = 0) -> bool:
        """Unlink the full segments before `acknowledged` payload bytes, but not the last `keep_bytes`, unless there is
        little room. True if there were any.

        Who has acknowledged a segment to its last byte may not have read yet that the next one is there.
        """
        up_to = min(acknowledged - 1, self._written - (0 if self._is_small else keep_bytes))
        before = len(self._closed)
        while self._closed and self._closed[0][1] <= up_to:
            number, self.released = self._closed.pop(0)
            files.remove(self._path(number))
        return len(self._closed) < before

    def close(self) -> None:
        """Nothing more will be written."""
        self._reserve.give_back()

    def clear(self) -> None:
        """Unlink whatever still lies there: nobody reads it any more."""
        self.close()
        for number, _ in self._closed:
            files.remove(self._path(number))
        self._closed.clear()
        if self.number:
            files.remove(self._path(self.number))
        self.released = self.end

    def _path(self, number: int) -> str:
        return path_of(self._session, self._direction, number)
