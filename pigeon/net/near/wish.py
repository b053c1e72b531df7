"""Where a program wants to be connected, however it has said so, and how it is told what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
"""What a program may say before it is clear where it wants to go."""


@dataclass(frozen=True)
class Wish:
    """One connection that is wanted."""

    host: str
    port: int
    how: str
    """For people: `CONNECT`, `HTTP`, `SOCKS 5`, …"""
    yes: bytes
    """Said once it is there."""
    no: Callable[[int, str], bytes]
    """(code, why) -> said instead."""
    first: bytes = b""
    """What the program has sent to the target already."""


class Greeter:
    """Reads what a program says before it is connected. Pure: `feed` what came, then look at the rest."""

    def __init__(self) -> None:
        self.reply = b""
        """To be sent now."""
        self.wish: Wish | None = None
        self.is_over = False
        """Send `reply`, and close."""
        self.asks_status = False
        """It wants to know who is connected where (running.py)."""
        self._data = b""

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._data += data
        self.reply = b""
        while self.wish is None and not self.is_over and self._step():
            pass
        if self.wish is None and len(self._data) > MAX_HEAD_BYTES:
            self._end(b"")

    def _step(self) -> bool:
        """Take what is whole from `_data`. False: more has to come first."""
        raise NotImplementedError

    def _take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def _end(self, last: bytes) -> bool:
        self.reply += last
        self.is_over = True
        return False
