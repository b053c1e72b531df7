"""What happens to a session on the worker side, as tables. Pure.

`STEPS` is the journal's state machine, `HANGUP` how a command is ended, `RECOVERY` what becomes of a session whose
runner is dead. Whoever looks up a pair that is not there has found a bug of ours, and gets a KeyError.
"""

from __future__ import annotations

import signal
from enum import Enum

CLAIMING = "claiming"
CLAIMED = "claimed"
STARTING = "starting"
RUNNING = "running"
EXITED = "exited"
FINAL = "final"

STEPS: dict[str, frozenset[str]] = {
    CLAIMING: frozenset((CLAIMED, FINAL)),
    CLAIMED: frozenset((STARTING, FINAL)),
    STARTING: frozenset((RUNNING, EXITED, FINAL)),
    RUNNING: frozenset((EXITED, FINAL)),
    EXITED: frozenset((FINAL,)),
    FINAL: frozenset(),
}
"""Journal state -> the states it may be advanced to. Each step is one compare-and-set in the journal."""

HANGUP: tuple[tuple[float, tuple[signal.Signals, ...]], ...] = (
    (
        0.0,
        (signal.SIGHUP, signal.SIGCONT),
    ),  # what a lost terminal sends; a stopped process must be able to hear it
    (5.0, (signal.SIGTERM, signal.SIGCONT)),
    (10.0, (signal.SIGKILL,)),
)
"""(seconds after the decision, signals): how a command is hung up. 5 s lets an editor save its swap file."""


class Recovery(Enum):
    """What to do with an unfinished session of this journal whose runner is proven dead."""

    CLAIM_AGAIN = "repeat the claim with the row's token; if it is ours, start it, else forget the row"
    FORGET = "another has claimed it before the dead runner could, or removed it: forget the row"
    START = "start it under the claim that it has"
    END_AS_LOST = "never start it again: end what is left of its processes, publish `failed`, 255"
    PUBLISH = "publish the result that the journal holds"


RECOVERY: dict[str, Recovery] = {
    CLAIMING: Recovery.CLAIM_AGAIN,
    CLAIMED: Recovery.START,
    STARTING: Recovery.END_AS_LOST,
    RUNNING: Recovery.END_AS_LOST,
    EXITED: Recovery.PUBLISH,
}
"""Journal state -> decision, for a runner that is proven dead. A runner that lives, or may live, is left alone."""


class RunnerExit:
    """Exit statuses of a runner process, by which the scheduler learns what became of its session."""

    DONE = 0
    HELD = 3  # another worker's command holds the directory: try again later
    LOST = 4  # somebody else has the claim
    LATER = (
        5  # nothing was claimed, since the share or this host failed, or this runner came too late: try again
    )
    SUPERSEDED = 6  # another process has taken the session over (a raised epoch, takeover.claim)
