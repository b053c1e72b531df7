"""The stream's descriptors: bytes in to the mux, the mux's frames out. Reading never waits for writing."""

from __future__ import annotations

import os
from collections.abc import Callable

from pigeon import __version__, clock
from pigeon.net import frames
from pigeon.net.loop import ERR, HUP, IN, OUT, Loop
from pigeon.net.mux import FIRST_WINDOW_BYTES, Mux

BATCHES = 4
"""Written in one go; then the descriptors have their turn."""

PING_S = 5.0
"""Between two measurements of the delay, made only while data comes: a stream that rests stays at rest."""


class Stream:
    """A mux on two descriptors, which it owns. Begins with HELLO.

    `on_hello(pigeon)`: the other side speaks. `on_frame`: what belongs to no channel. `on_end(why)`: it has ended;
    `why` is "" where the other side has closed it.
    """

    def __init__(
        self,
        loop: Loop,
        reading: int,
        writing: int,
        *,
        is_client: bool,
        on_frame: Callable[[int, int, bytes], None],
        on_hello: Callable[[str], None],
        on_end: Callable[[str], None],
    ) -> None:
        self.loop = loop
        self.mux = Mux(is_client=is_client, on_frame=self._frame, wake=self._wake)
        self.received_bytes = self.sent_bytes = 0
        self._reading, self._writing = reading, writing
        self._on_frame, self._on_hello, self._on_end = on_frame, on_hello, on_end
        self._decoder = frames.Decoder()
        self._batch: list[bytes | memoryview] = []
        self._awake = False
        self._said_hello = False
        self._pinged_at = 0.0
        self._ended = False
        for fd in (reading, writing):
            os.set_blocking(fd, False)
        loop.watch(reading, IN, self._readable)
        loop.watch(writing, 0, self._writable)
        self.mux.control(frames.HELLO, 0, frames.hello(__version__, FIRST_WINDOW_BYTES))

    # In

    def _readable(self, _events: int) -> None:
        try:
            count = os.readv(self._reading, [self._decoder.room()])
        except BlockingIOError:
            return
        except OSError as error:
            self.end(error.strerror or "cannot be read")
            return
        if not count:
            self.end("")
            return
        self.received_bytes += count
        self._decoder.took(count)
        try:
            for kind, number, payload in self._decoder.frames():
                if not self._said_hello and kind != frames.HELLO:
                    raise frames.BadFrame("no greeting")
                self.mux.received(kind, number, payload)
                if self._ended:
                    return
        except frames.BadFrame as error:
            self.end(f"what came is not pigeon's: {error}")

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == frames.HELLO:
            if self._said_hello:
                raise frames.BadFrame("a second greeting")
            version, pigeon, self.mux.peer_window = frames.parse_hello(payload)
            if version != frames.VERSION:
                raise frames.BadFrame(f"version {version} of the frames")
            self._said_hello = True
            self._on_hello(pigeon)
        elif kind == frames.PING:
            self.mux.control(frames.PONG, number)
        elif kind == frames.PONG:
            self.mux.round_trip_s = clock.monotonic() - self._pinged_at
        else:
            self._on_frame(kind, number, payload)

    # Out

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            self.loop.soon(self._write)

    def _write(self) -> None:
        self._awake = False
        for _ in range(BATCHES):
            if self._ended:
                return
            if not self._batch:
                if (
                    self.received_bytes
                    and clock.monotonic() - self._pinged_at > PING_S
                    and self.mux.has_output
                ):
                    self._pinged_at = clock.monotonic()
                    self.mux.control(frames.PING, 0)
                self._batch = list(self.mux.batch())
                if not self._batch:
                    self.loop.change(self._writing, 0)
                    return
            try:
                count = os.writev(self._writing, self._batch)
            except BlockingIOError:
                self.loop.change(self._writing, OUT)
                return
            except OSError as error:
                self.end(error.strerror or "cannot be written")
                return
            self.sent_bytes += count
            done = 0
            while done < len(self._batch) and count >= len(self._batch[done]):
                count -= len(self._batch[done])
                done += 1
            del self._batch[:done]
            if count:
                self._batch[0] = memoryview(self._batch[0])[count:]
        self.loop.change(self._writing, OUT)

    def _writable(self, events: int) -> None:
        if events & (ERR | HUP) and not events & OUT:
            self.end("")
        else:
            self._write()

    # End

    def end(self, why: str) -> None:
        """Close it; every connection on it is broken."""
        if self._ended:
            return
        self._ended = True
        for fd in (self._reading, self._writing):
            self.loop.forget(fd)
            os.close(fd)
        self.mux.lost()
        self._on_end(why)
