"""The frames of a lent network: encoding, and decoding from a buffer that is read into (FORMAT.md, Part 3). Pure.

A frame is its type (1 byte), the number of a channel (4), the length of its payload (4, big-endian), the payload.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Final

HEADER = struct.Struct("!BII")
CREDIT = struct.Struct("!I")
_PORT = struct.Struct("!BH")

MAX_DATA_BYTES = 64 * 1024
MAX_PAYLOAD_BYTES = 128 * 1024
"""No frame has more; one that says so is no frame, and the stream is given up."""

VERSION = 1

HELLO: Final = 1
OPEN: Final = 2
OPENED: Final = 3
REFUSED: Final = 4
DATA: Final = 5
END: Final = 6
RESET: Final = 7
WINDOW: Final = 8
BIND: Final = 9
BOUND: Final = 10
RESOLVE: Final = 11
RESOLVED: Final = 12
GOAWAY: Final = 13
PING: Final = 14
PONG: Final = 15

NAMES: Final = {
    HELLO: "HELLO",
    OPEN: "OPEN",
    OPENED: "OPENED",
    REFUSED: "REFUSED",
    DATA: "DATA",
    END: "END",
    RESET: "RESET",
    WINDOW: "WINDOW",
    BIND: "BIND",
    BOUND: "BOUND",
    RESOLVE: "RESOLVE",
    RESOLVED: "RESOLVED",
    GOAWAY: "GOAWAY",
    PING: "PING",
    PONG: "PONG",
}

# Why a connection was refused: the reply codes of SOCKS 5 (RFC 1928, section 6), which has one for each case.
OK: Final = 0
FAILED: Final = 1
NOT_ALLOWED: Final = 2
NET_UNREACHABLE: Final = 3
HOST_UNREACHABLE: Final = 4
CONNECTION_REFUSED: Final = 5
TIMED_OUT: Final = 6

# Who wants a connection, the first byte of OPEN.
BY_PROGRAM: Final = 0
"""A program asked for it, which may have been talked into it."""
BY_USER: Final = 1
"""The user has named the target himself (`-L`)."""
BY_ARRIVAL: Final = 2
"""Somebody has connected to a listener (`-R`): host is the listener's number, port that of the one who came."""


class BadFrame(ValueError):
    """What came cannot be a frame; nothing behind it can be understood."""


def encode(kind: int, number: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return HEADER.pack(kind, number, len(payload)) + payload


def target(by: int, host: str, port: int) -> bytes:
    """The payload of OPEN and BIND: who wants it, the port, the host."""
    return _PORT.pack(by, port) + host.encode("utf-8", "surrogateescape")


def parse_target(payload: bytes) -> tuple[int, str, int]:
    """(by, host, port). Raises BadFrame."""
    if len(payload) < _PORT.size:
        raise BadFrame("a target without a port")
    by, port = _PORT.unpack_from(payload)
    return by, payload[_PORT.size :].decode("utf-8", "replace"), port


def answer(code: int, text: str) -> bytes:
    """The payload of REFUSED, BOUND and RESOLVED: a code, and words (a reason, a port, addresses)."""
    return bytes([code]) + text.encode("utf-8", "replace")


def parse_answer(payload: bytes) -> tuple[int, str]:
    """(code, text). Raises BadFrame."""
    if not payload:
        raise BadFrame("an answer without a code")
    return payload[0], payload[1:].decode("utf-8", "replace")


def hello(pigeon: str, window_bytes: int) -> bytes:
    """The payload of HELLO, the first frame of each side."""
    said = {"version": VERSION, "pigeon": pigeon, "features": [], "window": window_bytes}
    return json.dumps(said, sort_keys=True).encode()


def parse_hello(payload: bytes) -> tuple[int, str, int]:
    """(version, the peer's pigeon, bytes that each new channel may be sent unasked). Raises BadFrame."""
    try:
        said = json.loads(payload)
        version, window = int(said["version"]), int(said["window"])
        return version, str(said.get("pigeon", "")), window
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadFrame(f"not a greeting: {error}") from None


class Decoder:
    """Frames out of a stream. `room()` is where to read into, `took(n)` says how much came."""

    def __init__(self, size: int = 1024 * 1024) -> None:
        assert size >= 2 * (MAX_PAYLOAD_BYTES + HEADER.size)
        self._buffer = bytearray(size)
        self._view = memoryview(self._buffer)
        self._filled = 0

    def room(self) -> memoryview:
        """The free part of the buffer; never empty between two `frames()`."""
        return self._view[self._filled :]

    def took(self, count: int) -> None:
        """`count` bytes have been read into `room()`."""
        self._filled += count

    def frames(self) -> Iterator[tuple[int, int, memoryview]]:
        """Each whole frame: type, number, payload, which is valid until the next step. Raises BadFrame.

        Must be used up before more is read: what remains of the buffer is moved to its start at the end.
        """
        at, end, view, size = 0, self._filled, self._view, HEADER.size
        try:
            while end - at >= size:
                kind, number, length = HEADER.unpack_from(view, at)
                if length > MAX_PAYLOAD_BYTES:
                    raise BadFrame(f"type {kind} with {length} bytes")
                if end - at - size < length:
                    break
                start, at = at + size, at + size + length
                yield kind, number, view[start:at]
        finally:
            if at:
                self._buffer[: end - at] = self._buffer[at:end]
                self._filled = end - at
