"""How a command is hung up: the table of signals, and the one stepper that follows it, polled or awaited."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

from pigeon import clock

Signals = tuple[signal.Signals, ...]

HANGUP: tuple[tuple[float, Signals], ...] = (
    # What a lost terminal sends; a stopped process must be able to hear it.
    (0.0, (signal.SIGHUP, signal.SIGCONT)),
    (5.0, (signal.SIGTERM, signal.SIGCONT)),
    (10.0, (signal.SIGKILL,)),
)
"""(seconds after the decision, signals). 5 s lets an editor save its swap file."""

UNKILLABLE_S = 20.0
"""A command that is still there after this hangs in the kernel."""

_LOOK_S = 0.05


class Steps:
    """One command's way through the table, which began at monotonic `began`."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._next = 0

    def due(self, now: float) -> Iterator[Signals]:
        """What is to be sent by `now`, each once."""
        while self._next < len(HANGUP) and now - self._began >= HANGUP[self._next][0]:
            self._next += 1
            yield HANGUP[self._next - 1][1]

    def is_hopeless(self, now: float) -> bool:
        """Not even SIGKILL has ended it."""
        return now - self._began > UNKILLABLE_S


def carry_out(has_ended: Callable[[], bool], send: Callable[[Signals], None]) -> bool:
    """Take all the steps, as far as the command needs them. False: it is still there, and nothing more can be done."""
    steps = Steps(clock.monotonic())
    while not has_ended():
        now = clock.monotonic()
        if steps.is_hopeless(now):
            return False
        for numbers in steps.due(now):
            send(numbers)
        clock.sleep(_LOOK_S)
    return True
