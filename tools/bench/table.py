"""What a row of the case table is made of: cases, targets, curves. Pure data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .contenders import Standing

Metrics = dict[str, float]
Measure = Callable[[Standing], Metrics]


@dataclass(frozen=True)
class Target:
    """`metric` of `who`, as it is, divided by `over`'s or minus `minus`'s, must stay on the right side of `limit`."""

    metric: str
    limit: float
    aim: float | None = None
    at_least: bool = False
    who: str = "pigeon"
    over: str = ""
    minus: str = ""

    @property
    def text(self) -> str:
        """For the table."""
        left = self.metric if self.who == "pigeon" else f"{self.metric} of {self.who}"
        if self.over:
            left += f" / {self.over}"
        if self.minus:
            left += f" - {self.minus}"
        aim = "" if self.aim is None else f" (aim {self.aim:g})"
        return f"{left} {'>=' if self.at_least else '<='} {self.limit:g}{aim}"


@dataclass(frozen=True)
class Case:
    """One row of the bench: who is measured how, and what is expected."""

    name: str
    what: str
    who: tuple[str, ...]  # names of contenders, in the order of the first round
    measure: Measure
    targets: tuple[Target, ...] = ()
    rounds: int = 1  # of a full run; --quick and --rounds change it
    repeat: int = 1  # samples per contender and round
    peers: bool = True  # whether those of --peer take part
    steps: bool = (
        False  # the metrics are moments of one course of events: shown in order, with their distances
    )
    minutes: bool = False  # waits for a minute or more: left out by --quick
    long: bool = False  # waits for ten minutes or more: only with --long
    worker_args: tuple[str, ...] = ("--max-jobs", "64")


@dataclass(frozen=True)
class Curve:
    """How a cost grows: `measure(x)` gives one value per series."""

    name: str
    title: str
    x_label: str
    y_label: str
    xs: tuple[int, ...]
    who: tuple[str, ...]
    measure: Callable[[Standing, int], float]
    rounds: int = 1  # a point is the median of so many values, taken in turn with those of the other points
    crowd: bool = False  # x is the number of finished sessions on the share, made before the worker starts
    log_x: bool = True
