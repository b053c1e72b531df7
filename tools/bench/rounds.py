"""Carrying out cases and curves: opens the contenders, runs the rounds interleaved, keeps samples and failures."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field

from .contenders import Contender, Pigeon, Standing
from .lab import Failed, Lab
from .table import Case, Curve, Metrics


@dataclass
class Samples:
    """What one contender showed in one case: metrics by the index of the sample, so that rounds can be paired."""

    by_index: dict[int, Metrics] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def of(self, metric: str) -> list[float]:
        """All values of a metric."""
        return [metrics[metric] for metrics in self.by_index.values() if metric in metrics]


@dataclass
class CaseResult:
    """All samples of a case, and how busy the machine was when it began."""

    case: Case
    load: float
    seconds: float = 0.0
    samples: dict[str, Samples] = field(default_factory=dict)


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def run_case(lab: Lab, case: Case, contenders: list[Contender], rounds: int) -> CaseResult:
    """Measure a case. A failure ends that contender's part in it, not the case."""
    result = CaseResult(case, os.getloadavg()[0])
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        standings = []
        for contender in contenders:
            result.samples[contender.name] = Samples()
            try:
                standings.append(stack.enter_context(contender.open(lab, case.worker_args)))
            except Failed as error:
                result.samples[contender.name].failures.append(str(error))
        for number in range(rounds):
            _run_round(case, standings, result, number)
    result.seconds = time.monotonic() - started
    return result


def _run_round(case: Case, standings: list[Standing], result: CaseResult, number: int) -> None:
    for again in range(case.repeat):
        index = number * case.repeat + again
        shift = index % max(1, len(standings))  # nobody always follows the same one
        for standing in standings[shift:] + standings[:shift]:
            samples = result.samples[standing.name]
            if samples.failures:
                continue
            try:
                samples.by_index[index] = case.measure(standing)
            except (Failed, OSError) as error:
                samples.failures.append(str(error))
                say(f"  {case.name}: {standing.name}: {error}")


def run_curve(lab: Lab, curve: Curve, contenders: list[Contender]) -> dict[str, list[tuple[float, float]]]:
    """The points of a curve, for each contender."""
    series: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in contenders}
    worker_args = ("--max-jobs", "64")
    for contender in contenders:
        with contextlib.ExitStack() as stack:
            standing: Standing | None = None
            for x in curve.xs:
                try:
                    if curve.crowd and isinstance(contender, Pigeon):
                        with contender.crowded(x).open(lab, worker_args) as crowded:
                            series[contender.name].append((x, curve.measure(crowded, x)))
                        continue
                    standing = standing or stack.enter_context(contender.open(lab, worker_args))
                    series[contender.name].append((x, curve.measure(standing, x)))
                except (Failed, OSError) as error:
                    say(f"  curve {curve.name}: {contender.name} at {x}: {error}")
                    break
    return series
