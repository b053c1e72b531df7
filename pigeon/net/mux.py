"""All channels of one stream: frames in, frames out, windows, whose turn it is. Pure: neither sockets nor descriptors.

What this promises: nobody reads the stream slower because one connection's reader is slow, since only windows hold
data; control overtakes data; who has to wait for the stream gets one piece in turn; what lies here is bounded: for the
stream QUEUE_BYTES and a piece for each channel, for the readers what their windows allow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from pigeon.net import channel as steps
from pigeon.net import frames
from pigeon.net.channel import BadStep, Channel

FIRST_WINDOW_BYTES = 256 * 1024
"""Each new channel may be sent so much unasked: what a reader that never reads costs."""

WINDOW_BYTES = 2 * 1024 * 1024
"""And so much once its reader reads. On a busy machine one download gains 0.4 of what it makes with half of this, and
0.7 with twice this; others beside it wait as long as with half (12 ms), and 17 ms with twice."""

MAX_WINDOW_BYTES = 4 * 1024 * 1024
NEAR_S = 0.025
"""Where an answer takes longer the window grows as much, up to the limit: a share whose looks cost 20 ms."""

WINDOWS_BYTES = 256 * 1024 * 1024
"""All windows of a stream; beyond this none grows any more."""

QUEUE_BYTES = 512 * 1024
"""Data that waits for the stream; who has more waits for his turn."""

BATCH_BYTES = 256 * 1024
BATCH_FRAMES = 250
MAX_CHANNELS = 8192


class Owner(Protocol):
    """What the edge does for a channel."""

    def opened(self, text: str, /) -> None:
        """The other side has connected; `text` says to what."""

    def refused(self, code: int, text: str, /) -> None:
        """It has not, and why. The channel is closed."""

    def deliver(self, data: memoryview, /) -> None:
        """Data came; copy what cannot be passed on at once."""

    def ended(self) -> None:
        """No more data comes."""

    def was_reset(self) -> None:
        """The other side's connection broke. The channel is closed."""

    def has_credit(self) -> None:
        """More may be sent."""

    def turn(self) -> None:
        """It is this channel's turn: send one piece, if there is one."""


class Mux:
    """One side of the stream. `on_frame(kind, number, payload)` gets what belongs to no channel, OPEN included."""

    def __init__(
        self, *, is_client: bool, on_frame: Callable[[int, int, bytes], None], wake: Callable[[], None]
    ) -> None:
        self._on_frame = on_frame
        self._wake = wake
        self._next = 1 if is_client else 2
        self.channels: dict[int, tuple[Channel, Owner]] = {}
        self._urgent: deque[bytes] = deque()
        self._data: deque[tuple[bytes, bytes]] = deque()
        self._waiting: dict[int, Owner] = {}
        self.queued = 0
        self.round_trip_s = 0.0
        self.peer_window = FIRST_WINDOW_BYTES
        self._windows = 0

    # Channels

    def open(self, by: int, host: str, port: int, owner: Owner) -> Channel:
        """A new channel of ours; data may follow at once."""
        number = self._next
        self._next += 2
        channel = self._add(number, owner)
        self.control(frames.OPEN, number, frames.target(by, host, port))
        return channel

    def accept(self, number: int, owner: Owner) -> Channel:
        """The channel of an OPEN of the peer's."""
        return self._add(number, owner)

    def _add(self, number: int, owner: Owner) -> Channel:
        channel = Channel(number, self.peer_window, FIRST_WINDOW_BYTES)
        self.channels[number] = channel, owner
        self._windows += FIRST_WINDOW_BYTES
        return channel

    def _forget(self, channel: Channel) -> None:
        if self.channels.pop(channel.number, None) is not None:
            self._windows -= channel.window.size
        self._waiting.pop(channel.number, None)

    @property
    def is_full(self) -> bool:
        """There are as many channels as one stream may have."""
        return len(self.channels) >= MAX_CHANNELS

    # Out

    def control(self, kind: int, number: int, payload: bytes = b"") -> None:
        """A frame that overtakes data."""
        self._urgent.append(frames.encode(kind, number, payload))
        self._wake()

    def has_room(self, channel: Channel, owner: Owner) -> bool:
        """Whether the channel may send a piece now; if not, it gets its `turn`."""
        if self.queued < QUEUE_BYTES and not self._waiting:
            return True
        self._waiting[channel.number] = owner
        return False

    def send(self, channel: Channel, data: bytes) -> None:
        """A piece of at most MAX_DATA_BYTES and not more than the credit."""
        assert channel.credit >= len(data)
        channel.credit -= len(data)
        channel.sent += len(data)
        self._put(frames.DATA, channel, data)

    def send_end(self, channel: Channel) -> None:
        """No more data follows."""
        channel.step(steps.END_SENT)
        self._put(frames.END, channel, b"")
        if channel.is_closed:
            self._forget(channel)

    def _put(self, kind: int, channel: Channel, data: bytes) -> None:
        self._data.append((frames.HEADER.pack(kind, channel.number, len(data)), data))
        self.queued += len(data)
        self._wake()

    def confirm(self, channel: Channel, text: str) -> None:
        """The connection that the peer wanted is there."""
        channel.step(steps.OPENED)
        self.control(frames.OPENED, channel.number, text.encode("utf-8", "replace"))

    def refuse(self, channel: Channel, code: int, text: str) -> None:
        """It cannot be had."""
        channel.step(steps.REFUSED)
        self.control(frames.REFUSED, channel.number, frames.answer(code, text))
        self._forget(channel)

    def reset(self, channel: Channel) -> None:
        """The connection on this side broke, or nobody wants it any more. Nothing where both have ended it already."""
        if not channel.is_closed:
            channel.step(steps.RESET)
            self._put(
                frames.RESET, channel, b""
            )  # behind its data: a server may answer, and reset what it has not read
        self._forget(channel)

    def took(self, channel: Channel, count: int) -> None:
        """The reader on this side has taken so much."""
        if channel.state not in steps.MAY_GET:
            return
        before = channel.window.size
        credit = channel.window.took(count, self._most())
        if credit:
            self._windows += channel.window.size - before
            self.control(frames.WINDOW, channel.number, frames.CREDIT.pack(credit))

    def _most(self) -> int:
        if self._windows >= WINDOWS_BYTES:
            return 0
        return min(MAX_WINDOW_BYTES, int(WINDOW_BYTES * max(1.0, self.round_trip_s / NEAR_S)))

    @property
    def has_output(self) -> bool:
        """`batch` has something."""
        return bool(self._urgent or self._data)

    def batch(self) -> list[bytes]:
        """What is to be written next, in order; the waiting get their turn as the queue empties."""
        parts = list(self._urgent)
        self._urgent.clear()
        size = 0
        while self._data and size < BATCH_BYTES and len(parts) < BATCH_FRAMES:
            head, data = self._data.popleft()
            parts.append(head)
            if data:
                parts.append(data)
                size += len(data)
        self.queued -= size
        if self._waiting and self.queued < QUEUE_BYTES // 2:
            self._give_turns()
        return parts

    def _give_turns(self) -> None:
        for number in list(self._waiting):
            if self.queued >= QUEUE_BYTES:
                return
            owner = self._waiting.pop(number, None)  # one may have been reset meanwhile
            if owner is not None:
                owner.turn()

    # In

    def received(self, kind: int, number: int, payload: memoryview) -> None:
        """One frame of the peer's. Raises BadFrame."""
        found = self.channels.get(number) if kind in _OF_A_CHANNEL else None
        if found is not None:
            try:
                self._receive(kind, *found, payload)
            except BadStep:  # the peer is wrong about this connection; the others are well
                self._break(*found)
        elif kind not in _OF_A_CHANNEL and kind in frames.NAMES:
            self._on_frame(kind, number, bytes(payload))

    def _receive(self, kind: int, channel: Channel, owner: Owner, payload: memoryview) -> None:
        if kind == frames.DATA:
            count = len(payload)
            if channel.state not in steps.MAY_GET or not channel.window.came(count):
                self._break(channel, owner)
                return
            channel.got += count
            owner.deliver(payload)
        elif kind == frames.WINDOW:
            if len(payload) != frames.CREDIT.size:
                raise frames.BadFrame("credit of a wrong size")
            had = channel.credit
            channel.credit += frames.CREDIT.unpack(payload)[0]
            if had <= 0:
                owner.has_credit()
        elif kind == frames.END:
            channel.step(steps.END_GOT)
            if channel.is_closed:
                self._forget(channel)
            owner.ended()
        elif kind == frames.RESET:
            channel.step(steps.RESET)
            self._forget(channel)
            owner.was_reset()
        elif kind == frames.OPENED:
            channel.step(steps.OPENED)
            owner.opened(bytes(payload).decode("utf-8", "replace"))
        else:
            code, text = frames.parse_answer(bytes(payload))
            channel.step(steps.REFUSED)
            self._forget(channel)
            owner.refused(code, text)

    def _break(self, channel: Channel, owner: Owner) -> None:
        self.reset(channel)
        owner.was_reset()

    def lost(self) -> None:
        """The stream has gone: every connection on it is broken, never ended, since a cut body must not look whole."""
        for channel, owner in list(self.channels.values()):
            channel.state = steps.CLOSED
            owner.was_reset()
        self.channels.clear()
        self._waiting.clear()
        self._urgent.clear()
        self._data.clear()
        self.queued = self._windows = 0


_OF_A_CHANNEL = frozenset(
    (frames.OPENED, frames.REFUSED, frames.DATA, frames.END, frames.RESET, frames.WINDOW)
)
