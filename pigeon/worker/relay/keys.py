"""What is typed for a command whose stdin is no terminal, on its way to the terminal that it has all the same."""

from __future__ import annotations

import os

from pigeon.worker.relay.command import Command


class Keys:
    """One session's. A key that interrupts drops what is before it and has not been read, as in `InputQueue`."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self.offset = 0
        """Everything before this byte of control.jsonl has been taken."""
        self._acknowledged = 0
        self._queue = b""
        self._read_to = 0
        self._has_new = False

    @property
    def is_waiting(self) -> bool:
        """Something has not been taken."""
        return bool(self._queue)

    @property
    def is_unacknowledged(self) -> bool:
        """Some have been taken since `acknowledge`."""
        return self.offset != self._acknowledged

    def acknowledge(self) -> int:
        """What is to be told: `offset`."""
        self._acknowledged = self.offset
        return self.offset

    def type(self, data: bytes) -> None:
        """Queue what was typed."""
        self._queue += data
        self._has_new = True

    def read(self, offset: int) -> None:
        """All that stands in control.jsonl before `offset` has been queued."""
        if self._has_new:
            self._read_to, self._has_new = offset, False

    def write(self) -> bool:
        """Give the terminal what it takes without blocking. True if it took something."""
        command = self._command
        if command.master is None:
            self._queue = b""
        took = False
        while self._queue and command.master is not None:
            try:
                count = os.write(command.master, self._queue[:4096])
            except BlockingIOError:
                if self._overtake():
                    continue
                break
            except OSError:
                count = len(self._queue)  # the terminal has gone
            took = True
            self._queue = self._queue[count:]
        if not self._queue:
            self.offset = self._read_to
        return took

    def _overtake(self) -> bool:
        command = self._command
        keys = command.interrupt_keys()
        at = max((self._queue.rfind(key) for key in keys), default=-1)
        if at < 0:
            return False
        number, rest = keys[self._queue[at]], self._queue[at:]
        if command.flush_terminal_input():
            self._queue = rest
            return True
        command.send_signal(number)
        self._queue = rest[1:]
        return False
