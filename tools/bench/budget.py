"""Where the milliseconds go: reads the steps that client and worker write down with PIGEON_TRACE (pigeon/trace.py)."""

from __future__ import annotations

import time

from .contenders import Standing
from .lab import Failed
from .table import Metrics

_BOOKS_S = 0.05  # what the runner still does after the client has gone


def steps_of_true(standing: Standing) -> Metrics:
    """When each step of a `true` was reached, and its end; ordered by time."""
    time.sleep(0.2)  # somebody types the next command; a scheduler that has just been busy looks more often
    open(standing.trace, "w").close()
    running = standing.start("true")
    ended_ms = running.finish(standing.lab.buffer(1 << 16)).seconds * 1000
    time.sleep(_BOOKS_S)
    steps = {name: (at - running.started) * 1000 for at, name in read_steps(standing.trace)}
    if not steps:
        raise Failed("it wrote down no steps")
    steps["end of the client"] = ended_ms
    return dict(sorted(steps.items(), key=lambda item: item[1]))


def read_steps(path: str) -> list[tuple[float, str]]:
    """(monotonic seconds, step) of each line; on one host the clocks of all processes agree."""
    steps = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            at, _pid, step = line.rstrip("\n").split(" ", 2)
            steps.append((float(at), step))
    return steps
