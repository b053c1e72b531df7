"""The states of a session in the journal, and the steps between them. Pure."""

from __future__ import annotations

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
