"""Input that waits until the command takes it.

A key that interrupts (VINTR, VQUIT, VSUSP, while the terminal has ISIG on) overtakes what waits and drops it, as it
does in a terminal whose program does not read.
"""

from __future__ import annotations

import os

from pigeon.worker.relay.command import Command

WINDOW_BYTES = 16 * 1024 * 1024
"""Input held for a command that does not read. A client with feature `ack` sends hardly more ahead, except keys."""

WRITE_BYTES = 256 * 1024


class InputQueue:
    """What one client has sent to the command. `queued_bytes`: how much of it waits."""

    def __init__(self, command: Command) -> None:
        self.queued_bytes = 0
        self._command = command
        self._pieces: list[bytes | memoryview] = []
        self._is_searched = True
        self._is_ended = False
        self._end_given = False
        self._line_is_open = False

    @property
    def is_full(self) -> bool:
        """It holds as much as it may."""
        return self.queued_bytes >= WINDOW_BYTES

    @property
    def has_input(self) -> bool:
        """Something waits for the command to read it, the end of the input included."""
        return self.queued_bytes > 0 or (self._is_ended and not self._end_given)

    def keys(self) -> dict[int, int]:
        """The keys that would overtake now, and their signals."""
        return self._command.interrupt_keys() if self._command.types_input else {}

    def put(self, data: bytes | memoryview) -> None:
        """Behind everything that waits, but for a key."""
        if self._command.stdin is None:
            return  # the command has closed its input, or an earlier client has ended it
        keys = self.keys()
        data = bytes(data) if keys else memoryview(data)
        at = max((data.rfind(key) for key in keys), default=-1) if isinstance(data, bytes) else -1
        if at >= 0 and (self.queued_bytes or self._command.holds_input()):
            self._overtake(keys[data[at]], data[at:])
            return
        if data:
            self._is_searched = bool(self.queued_bytes)
            self._pieces.append(data)
            self.queued_bytes += len(data)

    def end(self) -> None:
        """Nothing comes any more."""
        self._is_ended = True

    def write(self) -> bool:
        """Give the command what it takes without blocking. True if it took something."""
        took = False
        while self._pieces and self._command.stdin is not None:
            data = self._pieces[0]
            try:
                count = os.write(self._command.stdin, data[:WRITE_BYTES])
            except BlockingIOError:
                if not self._is_searched:
                    self._search()
                break
            except OSError:  # EPIPE, EIO: nobody reads any more, which is the command's right
                self._pieces.clear()
                self.queued_bytes = 0
                self._command.close_stdin()
                return took
            took = True
            self._line_is_open = data[count - 1 : count] not in (b"\n", b"\r")
            self.queued_bytes -= count
            if count == len(data):
                self._pieces.pop(0)
            else:
                self._pieces[0] = data[count:]
        if not self._pieces and self._is_ended and not self._end_given:
            self._give_end()
        return took

    def _overtake(self, number: int, data: bytes | memoryview) -> None:
        """Let the key at the start of `data` act now, in place of everything that has not been read before it.

        With the terminal emptied, the key takes its usual way: the line discipline shows it and sends its signal to
        whom it concerns.
        """
        if self._command.flush_terminal_input():
            self._pieces = [data]
        else:
            self._command.send_signal(number)
            self._pieces = [data[1:]] if data[1:] else []
        self.queued_bytes = sum(map(len, self._pieces))
        self._is_searched = True

    def _search(self) -> None:
        """The command takes no more now: a key that came in one piece with what is before it overtakes that."""
        self._is_searched = True
        keys = self.keys()
        whole = b"".join(self._pieces) if keys else b""
        at = max((whole.rfind(key) for key in keys), default=-1)
        if at >= 0:
            self._overtake(keys[whole[at]], whole[at:])

    def _give_end(self) -> None:
        stdin = self._command.stdin
        if stdin is None:
            self._end_given = True
        elif not self._command.types_input:
            self._command.close_stdin()
            self._end_given = True
        else:
            # VEOF means "hand over what is typed": behind an unfinished line it takes two (termios(3)).
            keys = self._command.end_of_input_keys() * (2 if self._line_is_open else 1)
            try:
                if os.write(stdin, keys) == len(keys):
                    self._end_given = True
            except BlockingIOError:
                pass
            except OSError:
                self._end_given = True
