"""How often to look, and when silence means death. Pure: seconds come in as arguments.

Nothing announces what another host wrote, so both sides poll (FORMAT.md, "Reading"). The tables are tuned by
tools/bench: an interactive answer within 10 ms while somebody works, a dozen visits to the share per second and
session after ten minutes, and a ceiling below which waking up is still not noticed as waiting.
"""

from __future__ import annotations

HEARTBEAT_S = 5.0
"""A side that has said nothing for this long says `heartbeat`. Older peers ignore it."""

SLOW_LOOK_S = 0.002
"""What looking at one file costs at least where each operation goes over a network."""

Steps = tuple[tuple[float, float], ...]
"""(silence up to, interval) pairs in ascending order; the last one is the ceiling."""

INTERACTIVE: Steps = (
    (0.25, 0.001),  # an answer is on its way: half a millisecond more is not felt, half the CPU is
    (2.0, 0.002),
    (12.0, 0.004),  # the program may ask its terminal a question at any time; 10 ms for the round trip
    (20.0, 0.020),
    (75.0, 0.080),  # within the first minute, an answer within 100 ms
    (300.0, 0.120),
    (2400.0, 0.200),
    (float("inf"), 0.300),
)
"""The input of a running session."""

WATCHING: Steps = (*INTERACTIVE[:5], (300.0, 0.250), (float("inf"), 0.480))
"""Its stream: what comes after minutes of silence was not asked for, and may be half a second late."""


def interval(steps: Steps, silence_s: float) -> float:
    """Seconds to wait before the next look after `silence_s` without news."""
    for until, wait in steps:
        if silence_s <= until:
            return wait
    return steps[-1][1]


def pending_interval(waited_s: float) -> float:
    """For a client whose session nobody has started yet: an eighth of what it has waited already.

    So a free worker's answer is seen at once, and however many clients wait in a storm, they leave the machine to those
    that run.
    """
    return min(0.25, max(0.001, waited_s / 8))


def scan_interval(silence_s: float, ceiling_s: float) -> float:
    """Seconds between two listings of `sessions/`, at most `ceiling_s`.

    Short while the next command is likely, 1/300 of the time without news; with the usual ceiling of a fifth of a
    second, as rare as it gets after 18 seconds.
    """
    return min(ceiling_s, max(0.001, silence_s / 300, (silence_s - 2) / 80))


def polite(wait_s: float, cost_s: float) -> float:
    """`wait_s`, but at least what the last look took: a slow filesystem answers us for half of the time at most."""
    return max(wait_s, cost_s) if cost_s > SLOW_LOOK_S else wait_s


CLIENT_GONE_S = 2 * HEARTBEAT_S + 2.0
"""A waiting session whose client shows no sign of life for so long is cancelled."""


class Silence:
    """How long a peer has been silent, as this process can honestly know (FORMAT.md, "Liveness").

    The sum over completed looks of min(time since the last look, 1 s): a judge that was stopped, or whose filesystem
    stalled, has seen nothing and counts nothing.
    """

    __slots__ = ("seconds", "_last")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: float | None = None

    def looked(self, now: float, *, grew: bool) -> float:
        """A look succeeded at monotonic `now`; returns the silence so far in seconds."""
        if grew:
            self.seconds = 0.0
        elif self._last is not None:
            self.seconds += min(now - self._last, 1.0)
        self._last = now
        return self.seconds

    def failed(self) -> None:
        """A look failed or stalled: what was counted says nothing about the peer."""
        self.seconds = 0.0
        self._last = None
