"""Hanging a command up, by the steps of `hangup.HANGUP`: why, since when, and whether there is still hope."""

from __future__ import annotations

from pigeon.worker.hangup import Steps
from pigeon.worker.relay.command import Command


class Hangup:
    """One command's. `cancelled` and `failed` say why, the one or the other."""

    def __init__(self, command: Command) -> None:
        self.cancelled: str | None = None
        self.failed: str | None = None
        self._command = command
        self._steps: Steps | None = None

    @property
    def has_begun(self) -> bool:
        """The command is to end."""
        return self._steps is not None

    def begin(self, now: float, *, cancelled: str | None, failed: str | None) -> bool:
        """From monotonic `now` on. False if it has begun already; the first reason stays."""
        if self._steps is not None:
            return False
        self.cancelled, self.failed, self._steps = cancelled, failed, Steps(now)
        return True

    def proceed(self, now: float) -> None:
        """Send the signals that are due."""
        if self._steps is not None:
            for numbers in self._steps.due(now):
                self._command.hang_up(numbers)

    def is_hopeless(self, now: float) -> bool:
        """Not even SIGKILL has ended it."""
        return self._steps is not None and self._steps.is_hopeless(now)
