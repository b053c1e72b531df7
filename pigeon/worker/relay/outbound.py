"""From the command's outputs to stream.jsonl: reading, coalescing, flow control.

The bytes of one flush become records of at most MAX_DATA_BYTES. While somebody works with the command, output leaves
within a millisecond; otherwise it is gathered for 50 ms, so that a program that prints all day costs 20 records a
second. What has been read is kept until it is written; reading stops, and with it the command, as a full pipe would
stop it, when the client is a window behind, when writes fail, or when what lies on the share is all that may lie there.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

from pigeon.wire.names import SessionFiles
from pigeon.wire.records import BULK_AFTER_BYTES, CHANNELS, MAX_DATA_BYTES, PTY
from pigeon.wire.segment_writer import SEGMENT_BYTES
from pigeon.wire.stream import StreamWriter
from pigeon.worker.relay.window import window_bytes

READ_BYTES = 256 * 1024
UNSEEN_S = 2.0
"""A terminal that has shown nothing for so long after the start is another's now (a job in the background): its command
goes on as one on pipes does."""

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
        session: SessionFiles,
        *,
        max_bytes: int,
        offset: int = 0,
        scrollback_bytes: int = 0,
        keeps_unread: bool = True,
        trace: Callable[[bytes], None] | None = None,
    ) -> None:
        """`scrollback_bytes`: how much of the segments stays for those who look later. `keeps_unread`: while nobody
        acknowledges what he reads, all of them stay, as pipes have it; else no more than that, as terminals have it."""
        # What a session may have on the share has room for several segments.
        self.stream = StreamWriter(
            session,
            offset,
            bulk_after_bytes=min(BULK_AFTER_BYTES, max_bytes // 4),
            segment_bytes=min(SEGMENT_BYTES, max_bytes // 8),
        )
        self.takes_bulk = False
        """Whether whoever reads the stream now knows segments."""
        self.acknowledged_bulk = 0
        self._most_bulk = 0
        """What any client has acknowledged of the segments, where `acknowledged_bulk` may count from a switch on."""
        self._scrollback_bytes = min(scrollback_bytes, max_bytes // 4)
        self._keeps_unread = keeps_unread
        self._queue_bytes = min(QUEUE_BYTES, max_bytes // 8)
        self.channel_bytes = dict.fromkeys(CHANNELS, 0)
        self.acknowledged: int | None = None
        self.is_watched = False
        """The client acknowledges as often as a terminal's window needs."""
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
        """As much lies on the share as `max_stream` lets it, and nothing will make room."""
        is_written = not self._held and not self.stream.queued_bytes  # what is written may make room for more
        return is_written and self._allowance <= 0 and not self._makes_room

    @property
    def _makes_room(self) -> bool:
        """Segments lie there that go as soon as their reader has acknowledged them."""
        return self.acknowledged is not None and self.stream.bulk_bytes > self.acknowledged_bulk

    @property
    def _allowance(self) -> int:
        """Bytes of output that may still be read. They grow by a third on the share, each piece by its record."""
        records = RECORD_BYTES * len(self._parts)
        return (self._max_bytes - RESERVE_BYTES - self.stream.lying_bytes - records) * 3 // 4 - self._held

    @property
    def volume(self) -> int:
        """Bytes that the session has said so far, written or not."""
        return self.stream.lines.end + self.stream.bulk_bytes + self._held

    def may_read(self) -> bool:
        """Whether more output may be taken from the command now."""
        if self._held + self.stream.queued_bytes >= self._queue_bytes or self._allowance <= 0:
            return False
        if self.acknowledged is None:
            return True
        ahead = self.stream.lines.end - self.acknowledged + self.stream.bulk_bytes - self.acknowledged_bulk
        return ahead < window_bytes(takes_bulk=self.takes_bulk, is_watched=self.is_watched)

    def judge_watching(self, running_s: float) -> None:
        """Whether the window may be as small as a terminal's. `running_s`: since the start."""
        if self.is_watched and running_s > UNSEEN_S and self.acknowledged == 0 and not self.acknowledged_bulk:
            self.is_watched = False

    def acknowledge(self, offset: int, bulk_bytes: int) -> bool:
        """The client has printed so much: an offset in stream.jsonl, and payload bytes in segments. True if that made
        room on the share."""
        self._most_bulk = max(bulk_bytes, self._most_bulk)
        self.acknowledged, self.acknowledged_bulk = offset, self._most_bulk
        return self.release()

    def left_alone(self) -> None:
        """Nobody takes what is said: so nobody may hold it back, for ever, either."""
        self.acknowledged = None

    def acknowledge_all(self) -> None:
        """A new client's window counts from here on, and is as wide as any client can do with."""
        self.is_watched = False
        self.acknowledged, self.acknowledged_bulk = self.stream.lines.end, self.stream.bulk_bytes

    def read(self, fd: int, channel: str, now: float) -> bool:
        """Take what the output has, up to READ_BYTES or what the session may still write. False once it has ended."""
        taken = 0
        goes_on = True
        limit = min(READ_BYTES, self._allowance)
        while taken < limit:
            try:
                data = os.read(fd, limit - taken)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                data = b""  # the last process has closed the terminal
            if not data:
                goes_on = False
                break
            if self._trace is not None:
                self._trace(data)
            self._parts.append((channel, data))
            taken += len(data)
            if channel != PTY and len(data) < 4096:
                break  # a pipe hands over all it has; a terminal at most 4095 bytes at a time
        if taken:
            self._held += taken
            self.channel_bytes[channel] += taken
            self.last_output = now
            if not self._urgent and channel == PTY and now > self.brisk_until:
                # The end of the last piece is looked at again: a question may be split over two reads.
                self._urgent = bool(_QUERY.search(self._tail + b"".join(d for _, d in self._parts[-64:])))
                self._tail = self._parts[-1][1][-32:]
                if self._urgent:
                    self.brisk_until = now + BRISK_S
        return goes_on

    def say(self, event: bytes) -> None:
        """Queue an event (wire/events.py) behind all output read so far; it leaves with the next flush, due at once."""
        self._encode()
        self.stream.put_event(event)
        self._urgent = True

    def take_stock(self) -> int:
        """Payload bytes in segments once everything that has been read is queued; 0 where there are none."""
        self._encode()
        return self.stream.bulk_bytes

    def due(self, now: float) -> float | None:
        """Seconds until a flush is due; None if there is nothing to write."""
        if not self._parts and not self.stream.queued_bytes:
            return None
        if self._urgent or self._held >= MAX_DATA_BYTES:
            return 0.0
        spacing = BRISK_SPACING_S if now <= self.brisk_until else CALM_SPACING_S
        return max(0.0, self._flushed_at + spacing - now)

    def flush(self, now: float) -> None:
        """Write everything. Raises OSError; nothing is lost then, and the next flush writes the same again."""
        self._encode()
        self.stream.flush()
        self._flushed_at = now
        self._urgent = False
        self.release()

    def release(self) -> bool:
        """Remove the segments that nobody needs any more. True if there were any."""
        bulk = self.stream.bulk
        if bulk is None:
            return False
        if self.acknowledged is not None:
            return bulk.release(self.acknowledged_bulk, self._scrollback_bytes)
        return not self._keeps_unread and bulk.release(bulk.end, self._scrollback_bytes)

    def nearly_full(self) -> bool:
        """True once, when nine tenths of `max_stream` are used."""
        if not self._warned and not self._makes_room and self.stream.lying_bytes > self._max_bytes // 10 * 9:
            self._warned = True
            return True
        return False

    def _encode(self) -> None:
        for channel, data in _merged(self._parts):
            self.stream.put_output(channel, data, takes_bulk=self.takes_bulk)
        self._parts.clear()
        self._held = 0


def _merged(parts: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbouring pieces of one channel as one piece, where they are small; the order between channels stays."""
    if len(parts) < 2:
        return parts
    merged: list[tuple[str, list[bytes]]] = []
    for channel, data in parts:
        if merged and merged[-1][0] == channel and len(data) < MAX_DATA_BYTES:
            merged[-1][1].append(data)
        else:
            merged.append((channel, [data]))
    return [(channel, pieces[0] if len(pieces) == 1 else b"".join(pieces)) for channel, pieces in merged]
