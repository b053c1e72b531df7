"""The bulk lane: payload as raw bytes in numbered segment files, beside the JSON lines (FORMAT.md, "Bulk").

Their names, headers and frames; `segment_writer.py` and `segment_reader.py` move the payload.
"""

from __future__ import annotations

import os
from binascii import crc32

from pigeon.wire import files
from pigeon.wire.names import TEMPORARY_PREFIX, SessionFiles
from pigeon.wire.records import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"PGNSEG1\n"
HEADER_BYTES = 36
"""MAGIC, number (8 bytes), payload bytes before this segment (8), marks before it (8), crc32 of these 32 (4); little
endian."""

FRAME_BYTES = 12
"""In front of each payload: its length (4), crc32 of the rest of this header and of the payload (4), channel (4)."""

MAX_FRAME_BYTES = 256 * 1024
"""Payload of one frame. Larger ones save nothing; smaller ones cost a checksum's call each."""

CHANNEL_NUMBERS = {"pty": 1, "stdout": 2, "stderr": 3, "stdin": 4}
END = 255
"""Channel of the frame without payload that ends a segment: the next one lies there already."""

NUMBERS = {**CHANNEL_NUMBERS, MARK: 254}
"""A mark is a frame without payload, at the place of an event that stands in the lines."""

MARKS_AT_ONCE = 8192
"""Of them are looked at together: 96 KiB."""

CHANNELS = {number: name for name, number in NUMBERS.items()}
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
    """Whether this is a segment of a client's or an attacher's input, or room for one."""
    return (name.startswith("stdin.") and name.endswith(".bulk")) or name.startswith(
        f"{TEMPORARY_PREFIX}stdin"
    )


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
        marked = frame_header(NUMBERS[MARK], b"") * MARKS_AT_ONCE
        found, size = 0, len(marked)
        # As many as there may be, then half as many: days of quiet are many marks.
        while size := min(size, (end - HEADER_BYTES) // FRAME_BYTES * FRAME_BYTES):
            if os.pread(fd, size, end - size) == marked[:size]:
                end -= size
                found += size // FRAME_BYTES
            else:
                size = size // FRAME_BYTES // 2 * FRAME_BYTES
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
