"""From the command's outputs to stream.jsonl: reading, coalescing, flow control.

The bytes of one flush become records of at most MAX_DATA_BYTES. While somebody works with the command, output leaves
within a millisecond; otherwise it is gathered for 50 ms, so that a program that prints all day costs 20 records a
second. What has been read is kept until it is written; reading stops, and with it the command, as a full pipe would
stop it, when the client is a window behind, when writes fail, or when the session has written all that it may.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

from pigeon.wire.files import Appender
from pigeon.wire.records import MAX_DATA_BYTES, output_line

READ_BYTES = 256 * 1024
WINDOW_BYTES = 64 * 1024 * 1024
"""How far stream.jsonl may run ahead of a client that acknowledges."""

QUEUE_BYTES = 1024 * 1024
"""Read from the command but not yet written; more waits in the command's pipe."""

BRISK_S = 10.0
"""For so long after the start, a key or a resize, output is passed on at once."""

BRISK_SPACING_S = 0.001
CALM_SPACING_S = 0.050

RECORD_BYTES = 128
"""At most so much is a record longer than its payload."""

RESERVE_BYTES = 64 * 1024
"""Kept back from `max_stream` for the events that end a session."""

_QUERY = re.compile(
    rb"\x1b(\[[0-9;?>=]*[nc]|\[\?[0-9;]*(u|\$p)|\][0-9;]*;\?|P[+$]q|\[>[0-9;]*q|_G|Z|\[1[3-9]t|\[2[01]t)"
)
"""Output that asks the terminal something: the program waits for an answer (ECMA-48 DSR and DA, xterm's OSC, kitty)."""


class Outbound:
    """What one session has to say on its stream."""

    def __init__(
        self,
        path: str,
        *,
        max_bytes: int,
        offset: int = 0,
        trace: Callable[[bytes], None] | None = None,
    ) -> None:
        self.appender = Appender(path, offset)
        self.channel_bytes = {"pty": 0, "stdout": 0, "stderr": 0}
        self.acknowledged: int | None = None
        self.last_output = 0.0
        self.brisk_until = 0.0
        self._seq = 0
        self._trace = trace
        self._max_bytes = max_bytes
        self._warned = False
        self._parts: list[tuple[str, bytes]] = []
        self._held = 0
        self._flushed_at = 0.0
        self._urgent = False
        self._tail = b""

    @property
    def is_full(self) -> bool:
        """The session has written all that `max_stream` lets it."""
        return self._allowance <= 0

    @property
    def _allowance(self) -> int:
        """Bytes of output that may still be read. They grow by a third on the share, each piece by its record."""
        records = RECORD_BYTES * len(self._parts)
        return (self._max_bytes - RESERVE_BYTES - self.appender.end - records) * 3 // 4 - self._held

    @property
    def volume(self) -> int:
        """Bytes that the session has said so far, written or not."""
        return self.appender.end + self._held

    def may_read(self) -> bool:
        """Whether more output may be taken from the command now."""
        if self._held + self.appender.queued_bytes >= QUEUE_BYTES or self.is_full:
            return False
        return self.acknowledged is None or self.appender.end - self.acknowledged < WINDOW_BYTES

    def read(self, fd: int, channel: str, now: float) -> bool:
        """Take what the output has, up to READ_BYTES or what the session may still write. False once it has ended."""
        taken = 0
        limit = min(READ_BYTES, self._allowance)
        while taken < limit:
            try:
                data = os.read(fd, limit - taken)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno == errno.EIO:  # the last process has closed the terminal
                    return False
                raise
            if not data:
                return False
            if self._trace is not None:
                self._trace(data)
            self._parts.append((channel, data))
            taken += len(data)
            if channel != "pty" and len(data) < 4096:
                break  # a pipe hands over all it has; a terminal at most 4095 bytes at a time
        if taken:
            self._held += taken
            self.channel_bytes[channel] += taken
            self.last_output = now
            if not self._urgent and channel == "pty" and now > self.brisk_until:
                # The end of the last piece is looked at again: a question may be split over two reads.
                self._urgent = bool(_QUERY.search(self._tail + b"".join(d for _, d in self._parts[-64:])))
                self._tail = self._parts[-1][1][-32:]
                if self._urgent:
                    self.brisk_until = now + BRISK_S
        return True

    def say(self, event: bytes) -> None:
        """Queue an event (wire/events.py) behind all output read so far; it leaves with the next flush, due at once."""
        self._encode()
        self.appender.put(event)
        self._urgent = True

    def due(self, now: float) -> float | None:
        """Seconds until a flush is due; None if there is nothing to write."""
        if not self._parts and not self.appender.queued_bytes:
            return None
        if self._urgent or self._held >= MAX_DATA_BYTES:
            return 0.0
        spacing = BRISK_SPACING_S if now <= self.brisk_until else CALM_SPACING_S
        return max(0.0, self._flushed_at + spacing - now)

    def flush(self, now: float) -> None:
        """Write everything. Raises OSError; nothing is lost then, and the next flush writes the same again."""
        self._encode()
        self.appender.flush()
        self._flushed_at = now
        self._urgent = False

    def nearly_full(self) -> bool:
        """True once, when nine tenths of `max_stream` are used."""
        if not self._warned and self.appender.end > self._max_bytes // 10 * 9:
            self._warned = True
            return True
        return False

    def _encode(self) -> None:
        for channel, data in _merged(self._parts):
            for start in range(0, len(data), MAX_DATA_BYTES):
                self.appender.put(output_line(self._seq, channel, data[start : start + MAX_DATA_BYTES]))
                self._seq += 1
        self._parts.clear()
        self._held = 0


def _merged(parts: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbouring pieces of one channel as one piece; the order between channels stays."""
    if len(parts) < 2:
        return parts
    merged: list[tuple[str, list[bytes]]] = []
    for channel, data in parts:
        if merged and merged[-1][0] == channel:
            merged[-1][1].append(data)
        else:
            merged.append((channel, [data]))
    return [(channel, b"".join(pieces)) for channel, pieces in merged]
