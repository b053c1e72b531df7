"""Reading a `.jsonl` file while its writer writes it (FORMAT.md, "Reading"): whole records from a byte offset.

`Tail` reads one such file, `StreamReader` a session's output and events, or its input, in their order, whichever lane
carries the bytes (FORMAT.md, "Bulk").
"""

from __future__ import annotations

import os

from pigeon.clock import monotonic
from pigeon.errors import DamagedSession
from pigeon.wire.files import list_names, open_checked
from pigeon.wire.records import (
    DECODED,
    LINES_EVENT,
    MARK,
    MAX_LINE_BYTES,
    NUMBERED_OUTPUT,
    Record,
    data_of,
    decode_line,
    decode_payload_line,
    event_of,
    frame_record,
    integer,
    segment_of,
    turns_to_bulk,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pigeon.wire.names import SessionFiles
    from pigeon.wire.segment_reader import SegmentReader

CHUNK_BYTES = 1024 * 1024
"""Read at most this much at a time: about 20 ms of work, after which the caller looks at its other business."""

FIRST_BYTES = 16 * 1024
"""A buffer begins with so much, which is all that most sessions ever need: Python fills it with zeros at once, and each
page of it then costs a fault and its memory, in every process that reads a session."""


OPENED_EVERY = 8
"""Of the looks that only ask for the length, so many are followed by an open all the same."""

LIES = 3
"""So often the length may deny what the open finds: once is a write in between."""


class Tail:
    """Where one reader stands in one file.

    `offset` is that of the first line not yet consumed, `grew` whether the last poll saw bytes that no poll had seen
    before (a sign of life even while the line is incomplete), `cost_s` how long its open, read and close took,
    `has_more` whether it took as much as one poll may, so that the next should follow at once.
    """

    __slots__ = (
        "path",
        "offset",
        "next_seq",
        "grew",
        "_buffer",
        "_numbered",
        "_seen",
        "_stuck_nul",
        "_length_of",
        "_asked",
        "_lies",
        "cost_s",
        "has_more",
    )

    def __init__(self, path: str, numbered: tuple[str, ...]) -> None:
        """`numbered`: the record types whose `seq` counts from 0 without gaps; an unexpected one is damage."""
        self.path = path
        self.offset = 0
        self.next_seq = 0
        self.grew = False
        self.cost_s = 0.0
        self.has_more = False
        # Kept: new memory for each piece costs more than reading into it.
        self._buffer = bytearray(FIRST_BYTES)
        self._numbered = numbered
        self._seen = 0
        self._stuck_nul = False
        self._length_of: Callable[[str], int] | None = None
        self._asked = self._lies = 0

    def ask_first(self, length_of: Callable[[str], int] | None) -> None:
        """From now on open the file when it is longer than what has been seen of it (`looks.question_for`)."""
        self._length_of = length_of

    def _is_no_longer(self) -> bool:
        """Whether the file is as long as what has been seen of it, as far as asking tells."""
        if self._length_of is None or self._stuck_nul:
            return False
        try:
            return self._length_of(self.path) == self._seen
        except OSError:
            return False  # opening tells what is the matter

    def poll(self) -> list[Record]:
        """The records that have become complete since the last call, at most about CHUNK_BYTES of them.

        Raises:
            DamagedSession: a complete line that is no record, or a `seq` out of order.
            OSError: the file could not be read now; the position is unchanged.
        """
        self.grew = False
        began = monotonic()
        denied = self._is_no_longer()
        if denied:
            self._asked += 1
            if self._asked % OPENED_EVERY:
                self.cost_s, self.has_more = monotonic() - began, False
                return []
        fd = open_checked(self.path)
        try:
            if self._stuck_nul:
                # What the page cache holds of a half-arrived append can stay wrong until the page is dropped.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            data = self._buffer
            size = os.preadv(fd, (data,), self.offset)
            if size == len(data) < CHUNK_BYTES:
                data = self._buffer = bytearray(CHUNK_BYTES)
                size = os.preadv(fd, (data,), self.offset)
            if size == CHUNK_BYTES and b"\n" not in data:
                data = bytearray(os.pread(fd, MAX_LINE_BYTES, self.offset))
                size = len(data)
        finally:
            os.close(fd)
        self.cost_s = monotonic() - began
        self.has_more = size >= CHUNK_BYTES
        if not size:
            return []
        nul = data.find(b"\0", 0, size)
        self._stuck_nul = nul >= 0
        if nul >= 0:
            size = nul
        if self.offset + size > self._seen:
            self.grew = True
            self._seen = self.offset + size
            if denied:
                self._lies += 1
                if self._lies >= LIES:
                    self._length_of = None
        end = data.rfind(b"\n", 0, size) + 1
        if end == 0 and size >= MAX_LINE_BYTES:
            raise DamagedSession(self.path, self.offset, f"a line of at most {MAX_LINE_BYTES} bytes")
        return self._records(data, end)

    def _records(self, data: bytearray, end: int) -> list[Record]:
        """Those of the whole lines in `data[:end]`. What stands before damage is handed over; the next poll raises."""
        records: list[Record] = []
        start = 0
        while start < end:
            newline = data.find(b"\n", start, end)
            try:
                records.append(self._record(data, start, newline))
            except DamagedSession:
                if not records:
                    raise
                break
            start = newline + 1
        return records

    def _record(self, data: bytearray, start: int, end: int) -> Record:
        try:
            if self._numbered:
                record = decode_payload_line(data, start, end)
            else:
                record = decode_line(bytes(data[start:end]))
        except ValueError as error:
            raise DamagedSession(self.path, self.offset, f"a JSON object ({error})") from None
        if record.get("type") in self._numbered:
            if integer(record, "seq") != self.next_seq:
                raise DamagedSession(
                    self.path, self.offset, f"seq {self.next_seq}, not {record.get('seq')!r}"
                )
            if "data_b64" in record and not isinstance(record.get(DECODED), bytes):
                try:
                    record[DECODED] = data_of(record)
                except ValueError as error:
                    raise DamagedSession(self.path, self.offset, f"a payload ({error})") from None
            self.next_seq += 1
        self.offset += end + 1 - start
        return record


class StreamReader:
    """A reader's end, like a `Tail` over `<stem>.jsonl`, but with what lies in segments in its place.

    `offset` is that of the first line not yet given out, `bulk_bytes` counts the payload bytes of segments given out,
    `skipped_bytes` those that a late reader has missed. `grew`, `cost_s` and `has_more` are those of a `Tail`.
    """

    __slots__ = (
        "path",
        "offset",
        "bulk_bytes",
        "skipped_bytes",
        "grew",
        "cost_s",
        "has_more",
        "_session",
        "_stem",
        "_is_late",
        "_lines",
        "_read",
        "_bulk",
        "_is_bulk",
        "_frames",
        "_marks",
    )

    def __init__(
        self,
        session: SessionFiles,
        stem: str = "stream",
        numbered: tuple[str, ...] = NUMBERED_OUTPUT,
        *,
        is_late: bool = False,
    ) -> None:
        """`stem`: that of the names of both lanes (`names.input_stem` for input); `numbered`: as of a Tail. `is_late`:
        not the one for whom the segments are kept, so the first ones may be gone."""
        self.path = f"{session.directory}/{stem}.jsonl"
        self.offset = 0
        self.bulk_bytes = 0
        self.skipped_bytes = 0
        self.grew = False
        self.cost_s = 0.0
        self.has_more = False
        self._session = session
        self._stem = stem
        self._is_late = is_late
        self._lines = Tail(self.path, numbered)
        self._read: list[Record] = []
        """Lines that stand behind something in the segments, or were read together with such."""
        self._bulk: SegmentReader | None = None
        self._is_bulk = False
        self._frames: list[tuple[str, bytes | memoryview]] = []
        """Read, and behind a mark whose line has not come."""
        self._marks = 0

    @property
    def base_bytes(self) -> int:
        """Payload bytes in the segments before the one that is being read."""
        return self._bulk.base if self._bulk is not None else 0

    def ask_first(self, length_of: Callable[[str], int] | None) -> None:
        """As of a Tail; of the lines."""
        self._lines.ask_first(length_of)

    def __copy__(self) -> StreamReader:
        """Another reader, at the same place."""
        from copy import copy  # which no client needs

        other = StreamReader.__new__(StreamReader)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other._lines, other._bulk = copy(self._lines), copy(self._bulk)
        other._read, other._frames = self._read[:], self._frames[:]
        return other

    def poll(self) -> list[Record]:
        """What has arrived since the last call, in its order, at most about a mebibyte.

        Raises:
            DamagedSession: what stands there cannot be what the runner wrote.
            OSError: a file could not be read now; nothing is lost, call again.
        """
        self.grew = self.has_more = False
        self.cost_s = 0.0
        if not self._is_bulk:
            self._read_lines()
            found = self._take_lines()
        else:
            if not self._frames:
                self._read_frames()
            found = self._take_frames()
        if not self._read:
            self.offset = self._lines.offset
        self.has_more |= bool(found and (self._read or self._frames))
        return found

    def _read_lines(self) -> None:
        if self._read:
            return
        self._read = self._lines.poll()
        self.cost_s += self._lines.cost_s
        self.grew |= self._lines.grew
        self.has_more |= self._lines.has_more

    def _take_lines(self) -> list[Record]:
        """Up to where the output goes over to segments."""
        found = []
        while self._read and not self._is_bulk:
            found.append(self._read.pop(0))
            self._follow_lane(found[-1])
        return found

    def _read_frames(self) -> None:
        from pigeon.wire.segment_reader import SegmentReader

        reader = self._bulk
        assert reader is not None
        try:
            self._frames = reader.poll()
        except FileNotFoundError:
            oldest = self._oldest_segment(reader.number)
            if not self._is_late or oldest == reader.number:
                raise
            reader = self._bulk = SegmentReader(self._session, self._stem, oldest)
            self._frames = reader.poll()
        self.cost_s += reader.cost_s
        self.grew |= reader.grew
        self.has_more |= reader.has_more
        if self._frames:
            base = reader.total - sum(len(data) for _, data in self._frames)
            self.skipped_bytes += base - self.bulk_bytes
            self.bulk_bytes = base

    def _take_frames(self) -> list[Record]:
        """Up to a mark whose line cannot be had yet. Raises only while there is nothing to give out."""
        found: list[Record] = []
        assert self._bulk is not None
        missed = self._bulk.marks - sum(channel == MARK for channel, _ in self._frames) - self._marks
        while self._frames and self._is_bulk:
            channel, data = self._frames[0]
            if missed > 0 or channel == MARK:
                try:
                    self._read_lines()
                except OSError:
                    if found:
                        break
                    raise
                if not self._read:
                    break
                found.append(self._read.pop(0))
                self._follow_lane(found[-1])
                self._marks += 1
                if missed > 0:
                    missed -= 1
                    continue
            else:
                found.append(frame_record(channel, data))
                self.bulk_bytes += len(data)
            self._frames.pop(0)
        return found

    def _oldest_segment(self, number: int) -> int:
        """The first that lies there, from `number` on."""
        from pigeon.wire.segments import numbers_in

        lying = numbers_in(list_names(self._session.directory), self._stem)
        return min((n for n in lying if n >= number), default=number)

    def _follow_lane(self, record: Record) -> None:
        if turns_to_bulk(record):
            self.has_more = self._is_bulk = True  # there is more in the other lane, perhaps
            if self._bulk is None:
                from pigeon.wire.segment_reader import SegmentReader  # few sessions say as much

                number = segment_of(record)
                number = self._oldest_segment(number) if self._is_late else number
                self._bulk = SegmentReader(self._session, self._stem, number)
        elif event_of(record) == LINES_EVENT:
            self.has_more, self._is_bulk = True, False
