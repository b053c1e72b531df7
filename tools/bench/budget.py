"""Where the milliseconds go: reads the steps that client and worker write down with PIGEON_TRACE (pigeon/trace.py)."""

from __future__ import annotations

import random
import statistics
import time

from .contenders import Standing
from .drive import attend
from .lab import Failed
from .measures import windows
from .table import Metrics

_BOOKS_S = 0.05  # what the runner still does after the client has gone
_OUTPUT_STEPS = (
    "runner: output read",
    "runner: stream written",
    "client: output read",
    "client: output printed",
)
_ECHO_STEPS = (
    "client: key read",
    "client: input written",
    "runner: input read",
    "runner: input passed on",
    *_OUTPUT_STEPS,
)
_typist = random.Random(12)


def steps_of_true(standing: Standing) -> Metrics:
    """When each step of a `true` was reached, and its end; ordered by time."""
    return _steps_of(standing, "true")


def steps_of_output(standing: Standing) -> Metrics:
    """The same for the first output of a command that goes on: it says something and then sleeps."""
    return _steps_of(standing, "echo ready; sleep 0.2", until="client: output printed")


def _steps_of(standing: Standing, text: str, until: str = "end of the client") -> Metrics:
    time.sleep(0.2)  # somebody types the next command; a scheduler that has just been busy looks more often
    open(standing.trace, "w").close()
    running = standing.start(text)
    ended_ms = running.finish(standing.lab.buffer(1 << 16)).seconds * 1000
    time.sleep(_BOOKS_S)
    steps = _first_of_each(standing.trace, running.started)
    steps["end of the client"] = ended_ms
    return dict(sorted((step for step in steps.items() if step[1] <= steps[until]), key=lambda item: item[1]))


def steps_of_echo(standing: Standing, keys: int = 40) -> Metrics:
    """When each step of a key's way to the command and back was reached, ms since it was typed; medians."""
    found: dict[str, list[float]] = {name: [] for name in (*_ECHO_STEPS, "on the screen")}
    with windows(standing, [standing.lab.inside("echo")]) as (terminal,):
        for _ in range(keys):
            attend([terminal], _typist.uniform(0.05, 0.25))
            open(standing.trace, "w").close()
            typed = time.monotonic()
            ms = terminal.key(b"x")
            attend([terminal], 0.02)
            steps = {**_first_of_each(standing.trace, typed), "on the screen": ms}
            for name, times in found.items():
                if name in steps:
                    times.append(steps[name])
    return {name: statistics.median(times) for name, times in found.items()}


def _first_of_each(path: str, started: float) -> Metrics:
    """Milliseconds from `started` (monotonic seconds) to the first time that each step was reached.

    The stream is written to before there is output: it counts only once output has been read.
    """
    steps: Metrics = {}
    for at, name in read_steps(path):
        if at >= started and (name != "runner: stream written" or "runner: output read" in steps):
            steps.setdefault(name, (at - started) * 1000)
    if not steps:
        raise Failed("it wrote down no steps")
    return steps


def read_steps(path: str) -> list[tuple[float, str]]:
    """(monotonic seconds, step) of each line; on one host the clocks of all processes agree."""
    steps = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            at, _pid, step = line.rstrip("\n").split(" ", 2)
            steps.append((float(at), step))
    return steps
