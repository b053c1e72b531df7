"""When a client that waits says so: at once when the reason changes, and again, ever more rarely, while it stays."""

from __future__ import annotations

from pigeon.text import duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.workers import Reason

AGAIN_S = (30.0, 120.0, 600.0)
"""The same reason is told again after so long, counted from when it was first told ..."""

THEN_S = 1800.0
"""... and then each time that this has passed."""

LAST_S = 5.0
"""Who gives up as soon as this says why in the end, and nothing just before."""

COUNTS_S = 5.0
"""A terminal shows how long it has been from then on."""


class Telling:
    """What has been said so far. Pure: seconds come in as arguments."""

    def __init__(self) -> None:
        self._kind = ""
        self._since = 0.0
        self._due: list[float] = []

    def notice(self, reason: Reason, now: float, waited_s: float, left_s: float | None) -> str:
        """The line that is due, or "". `left_s`: in how many seconds the client gives up, if it does."""
        if reason.kind != self._kind:
            self._kind, self._since, self._due = reason.kind, now, list(AGAIN_S)
            return _line(reason.text, reason, left_s)
        held_s = now - self._since
        if not self._due:
            self._due.append(held_s + THEN_S)
        if held_s < self._due[0]:
            return ""
        while self._due and self._due[0] <= held_s:  # a client that was stopped says it once
            self._due.pop(0)
        if left_s is not None and left_s < LAST_S:
            return ""
        return _line(f"{duration(waited_s)}: still {reason.text}", reason, left_s)

    def progress(self, reason: Reason, waited_s: float) -> str:
        """The line that counts, or "" in the first seconds."""
        if waited_s < COUNTS_S:
            return ""
        text = reason.text.partition(", held by")[0].partition(": ")[0]
        return f"{text} ({duration(waited_s)})"


def _line(text: str, reason: Reason, left_s: float | None) -> str:
    gives_up = "" if left_s is None else f" (giving up in {duration(max(0.0, left_s))}; Ctrl-C leaves)"
    return text + (f"; {reason.way_out}" if reason.way_out else "") + gives_up
