"""Frames between the client's two processes: one byte kind, four bytes length, payload. Over two pipes.

The guardian (the process that the shell started) has the keyboard, the signals and the terminal's state; the pump, its
child, has the share. Neither can wait for the other: each end is non-blocking and keeps what the pipe does not take.
"""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# guardian -> pump
KEYS = b"k"  # bytes from the keyboard
KEYS_END = b"e"  # the keyboard was closed (Ctrl-D on a cooked terminal)
SIGNAL = b"s"  # payload: the number in ASCII
SIZE = b"w"  # payload: "cols rows"
HANG_UP = b"h"  # end the session; the user has left
GONE = b"g"  # the user's terminal has gone: end the session, or leave it if it is to be kept
DETACH = b"d"
SUSPEND = b"z"
RESUME = b"c"
IS_RAW = b"R"  # RAW is done, after what may have been a stay in the background
BACKGROUND = (
    b"b"  # RAW has to wait: the terminal is another's now, where output may be shown that changes nothing
)
ORDER = b"o"  # payload: a line from the program that drives this client

# pump -> guardian
ALIVE = b"."  # no operation hangs
ANSWERED = b"a"  # the session has said something since the last such frame
RAW = b"r"  # make the user's terminal raw and say IS_RAW; payload: ALL or INPUT, and the escape character or nothing
READ = b"l"  # read the keyboard, line by line: nobody will ask for the terminal
STOP = b"Z"  # the command has been stopped: so does this job
TAKEN = b"n"  # so many more bytes of KEYS have been passed on, in ASCII; not for each of them
MODES = b"t"  # payload: as `modes_payload`
ASKED = b"q"  # the output asks the terminal something; payload: how often, in ASCII
SUSPENDED = b"S"  # SUSPEND is done
MESSAGE = b"m"  # lines for stderr, to be printed when the terminal has been restored
ABNORMAL = b"x"  # the session did not end by its command's end
BROKEN_PIPE = b"p"  # end like a program whose reader has gone
STATE = b"j"  # payload: a line for the program that drives this client
CAUGHT_UP = b"u"  # have all its lines been passed on? Answered by the same frame when they have
TOLD = b"T"  # the last words are on the share
SPOILED = b"P"  # a line of pigeon's own stands in the terminal
DIE = b"K"  # end by the signal that ended the command; payload: its number in ASCII
EXIT = b"E"  # the last frame: everything has been written; payload: the exit code in ASCII

ALL, INPUT = b"a", b"i"
"""Whether the terminal is to be raw both ways, or passes output on as it did, since others may write to it."""

_HEADER = 5


def modes_payload(off: bytes, on: bytes, *, wants_redraw: bool) -> bytes:
    """What MODES says: what switches off the terminal modes that are on now, what switches them on again, and whether
    the program, once it has its terminal back, has to draw itself anew. NUL stands in no sequence."""
    return b"\0".join((off, on, b"1" if wants_redraw else b""))


def split_modes(payload: bytes) -> tuple[bytes, bytes, bool]:
    """(off, on, wants redraw) of `modes_payload`; for nothing said so far, nothing."""
    off, on, redraw = payload.split(b"\0") if payload else (b"", b"", b"")
    return off, on, redraw == b"1"


def line(event: str, **fields: object) -> bytes:
    """A line for the program that drives this client; fields that are None are left out."""
    from pigeon.wire.jsontext import encode  # which whoever is driven has loaded to read the request

    return encode({"event": event, **{name: value for name, value in fields.items() if value is not None}})


class FramePipe:
    """One process's end."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing
        self.on_end: Callable[[], None] | None = None
        """Called at once when the peer turns out to have gone, before anything that may hang."""
        self.modes = b""
        """The payload of the last MODES frame that was sent from here."""
        self.is_driven = False
        """A program drives this client and hears of what `tell` says."""
        self._input = b""
        self._output = b""
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)

    @property
    def has_output(self) -> bool:
        """Frames wait for room in the pipe."""
        return bool(self._output)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Queue a frame and write what the pipe takes. A peer that has gone is noticed by reading."""
        if kind == MODES:
            self.modes = payload
        self._output += kind + len(payload).to_bytes(4, "big") + payload
        self.flush()

    def tell(self, event: str, **fields: object) -> None:
        """Let the program that drives this client know, if there is one."""
        if self.is_driven:
            self.send(STATE, line(event, **fields))

    def flush(self) -> None:
        """Write what the pipe takes now."""
        while self._output:
            try:
                written = os.write(self.writing, self._output[:65536])
            except BlockingIOError:
                return
            except OSError:
                self._output = b""
                return
            self._output = self._output[written:]

    def finish(self) -> None:
        """Write everything, however long the peer takes to read it, or until it has gone."""
        poll = select.poll()
        poll.register(self.writing, select.POLLOUT)
        while self._output:
            poll.poll()
            self.flush()

    def receive(self) -> list[tuple[bytes, bytes]] | None:
        """The frames that have arrived; None once the peer is gone and nothing is left."""
        ended = False
        while True:
            try:
                data = os.read(self.reading, 262144)
            except BlockingIOError:
                break
            if not data:
                ended = True
                break
            self._input += data
        frames = []
        start = 0
        while len(self._input) - start >= _HEADER:
            length = int.from_bytes(self._input[start + 1 : start + _HEADER], "big")
            end = start + _HEADER + length
            if len(self._input) < end:
                break
            frames.append((self._input[start : start + 1], self._input[start + _HEADER : end]))
            start = end
        self._input = self._input[start:]
        if ended and self.on_end is not None:
            on_end, self.on_end = self.on_end, None
            on_end()
        return None if ended and not frames else frames


def pair() -> tuple[FramePipe, FramePipe]:
    """The guardian's end and the pump's. After the fork each process closes the other's with `close`."""
    down_r, down_w = os.pipe()
    up_r, up_w = os.pipe()
    return FramePipe(up_r, down_w), FramePipe(down_r, up_w)


def close(link: FramePipe) -> None:
    """Close the end that belongs to the other process."""
    os.close(link.reading)
    os.close(link.writing)
