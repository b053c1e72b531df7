"""Waiting times between attempts at what failed and may pass. Pure."""

from __future__ import annotations


class Backoff:
    """Waiting times for what failed and may pass: `first_s`, doubling up to `ceiling_s`, from anew after a success."""

    __slots__ = ("ceiling_s", "first_s", "_next_s")

    def __init__(self, ceiling_s: float = 1.0, first_s: float = 0.02) -> None:
        self.ceiling_s = ceiling_s
        self.first_s = first_s
        self._next_s = first_s

    def failed(self) -> float:
        """Seconds to wait before the next attempt."""
        wait = self._next_s
        self._next_s = min(self.ceiling_s, wait * 2)
        return wait

    def succeeded(self) -> None:
        """The next failure starts from the short wait again."""
        self._next_s = self.first_s
