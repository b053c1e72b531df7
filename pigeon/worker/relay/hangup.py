"""Hanging a command up, by the steps of `lifecycle.HANGUP`: why, since when, and whether there is still hope."""

from __future__ import annotations

from pigeon.worker.lifecycle import HANGUP
from pigeon.worker.relay.command import Command

UNKILLABLE_S = 20.0
"""A command that is still there after this hangs in the kernel."""


class Hangup:
    """One command's. `cancelled` and `failed` say why, the one or the other."""

    def __init__(self, command: Command) -> None:
        self.cancelled: str | None = None
        self.failed: str | None = None
        self._command = command
        self._since: float | None = None
        self._next_step = 0

    @property
    def has_begun(self) -> bool:
        """The command is to end."""
        return self._since is not None

    def begin(self, now: float, *, cancelled: str | None, failed: str | None) -> bool:
        """From monotonic `now` on. False if it has begun already; the first reason stays."""
        if self._since is not None:
            return False
        self.cancelled, self.failed, self._since = cancelled, failed, now
        return True

    def proceed(self, now: float) -> None:
        """Send the signals that are due."""
        if self._since is None:
            return
        while self._next_step < len(HANGUP):
            after_s, numbers = HANGUP[self._next_step]
            if now - self._since < after_s:
                return
            self._command.hang_up(numbers)
            self._next_step += 1

    def is_hopeless(self, now: float) -> bool:
        """Not even SIGKILL has ended it."""
        return self._since is not None and now - self._since > UNKILLABLE_S
