"""The states of a session in the journal, and the steps between them. Pure.

      begin_claim ──► claiming ──► claimed ──► starting ──► running
                         │            │         │    │         │
     (claim lost:        │            │         │    └──► exited ◄┘
      row forgotten) ◄───┤            │         │          │
                         ├────────────┴─────────┴───► final ◄── (running, too)
                         └──► launched (a worker started for it has the claim) ──► final

Each step is one compare-and-set on the claim's token, its epoch and the states that the step may begin in.
"""

from __future__ import annotations

from functools import cache

CLAIMING = "claiming"
"""The claim is about to be made. Whether it was, the share says."""

LAUNCHED = "launched"
"""A worker that was started for this session alone has the claim, and all that follows from it. Its end is copied."""

CLAIMED = "claimed"
"""The claim is ours, and nothing has been started."""

STARTING = "starting"
"""The command may have been started. From here on the session is never started again."""

RUNNING = "running"
EXITED = "exited"
"""The command has ended, and the row has its return code."""

FINAL = "final"
"""The session has its end, on the share as well."""

STEPS: dict[str, frozenset[str]] = {
    CLAIMING: frozenset((CLAIMED, LAUNCHED, FINAL)),
    LAUNCHED: frozenset((FINAL,)),
    CLAIMED: frozenset((STARTING, FINAL)),
    STARTING: frozenset((RUNNING, EXITED, FINAL)),
    RUNNING: frozenset((EXITED, FINAL)),
    EXITED: frozenset((FINAL,)),
    FINAL: frozenset(),
}
"""State -> the states that the row may be advanced to."""

NOT_STARTED = (CLAIMING, CLAIMED)
"""What has surely not been started."""

AT_WORK = (STARTING, RUNNING)
"""What may have been started, and has not ended as far as the journal knows."""


@cache
def origins(to: str) -> tuple[str, ...]:
    """The states from which a row may be advanced to `to`, in the order of a session's life.

    Raises:
        ValueError: no step leads there. It is a bug of the caller's.
    """
    found = tuple(state for state, after in STEPS.items() if to in after)
    if not found:
        raise ValueError(f"no step leads to the state `{to}`")
    return found
