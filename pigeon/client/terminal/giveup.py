"""When Ctrl-C means "give me my shell back". Pure: seconds come in as arguments."""

from __future__ import annotations

PRESSES = 3
WITHIN_S = 2.0
"""So many presses within so many seconds ..."""

UNANSWERED_S = 1.5
"""... of which the first has had no answer for so long: even a program that takes Ctrl-C silently is acknowledged
within a second, and a key held down repeats thirty times in one."""


INTERRUPT_KEY = b"\x03"


def presses_in(keys: bytes) -> int:
    """How often the interrupt key was pressed, in whatever way it is reported; 0 if another key is among them."""
    if b"\x1b" not in keys:
        return 0 if keys.strip(INTERRUPT_KEY) else len(keys)
    from pigeon.client.terminal import keyreports

    presses = at = 0
    while at < len(keys):
        at, meaning, _ = keyreports.read(keys, at) or (at + 1, keys[at], False)
        if meaning == INTERRUPT_KEY[0]:
            presses += 1
        elif meaning != keyreports.SILENT:
            return 0
    return presses


class GiveUp:
    """Counts the presses that the session has not answered."""

    def __init__(self) -> None:
        self._presses: list[float] = []

    def pressed(self, now: float) -> None:
        """The interrupt key, by itself: one inside a paste is no wish to leave."""
        if self.due(now) is None:  # a fourth press does not put the decision off
            self._presses = [at for at in self._presses if now - at <= WITHIN_S] + [now]

    def answered(self) -> None:
        """The session has said something."""
        self._presses.clear()

    def due(self, now: float) -> float | None:
        """Seconds until it is time to leave, if the session stays silent; None if nobody wants that."""
        if len(self._presses) < PRESSES:
            return None
        return max(0.0, self._presses[0] + UNANSWERED_S - now)
