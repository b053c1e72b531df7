"""Reading a `.jsonl` file while its writer writes it (FORMAT.md, "Reading"): whole records from a byte offset."""

from __future__ import annotations

import os

from pigeon.clock import monotonic
from pigeon.errors import DamagedSession
from pigeon.wire.files import open_checked
from pigeon.wire.records import (
    DECODED,
    MAX_LINE_BYTES,
    Record,
    data_of,
    decode_line,
    decode_payload_line,
    integer,
)

CHUNK_BYTES = 1024 * 1024
"""Read at most this much at a time: about 20 ms of work, after which the caller looks at its other business."""

FIRST_BYTES = 16 * 1024
"""A buffer begins with so much, which is all that most sessions ever need: Python fills it with zeros at once, and each
page of it then costs a fault and its memory, in every process that reads a session."""


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

    def poll(self) -> list[Record]:
        """The records that have become complete since the last call, at most about CHUNK_BYTES of them.

        Raises:
            DamagedSession: a complete line that is no record, or a `seq` out of order.
            OSError: the file could not be read now; the position is unchanged.
        """
        self.grew = False
        began = monotonic()
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
