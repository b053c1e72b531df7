"""Carrying out cases and curves: opens the contenders, runs the rounds interleaved, keeps samples and failures."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator
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
    """The points of a curve, for each contender; a failure leaves out that point."""
    return {contender.name: _points(lab, curve, contender) for contender in contenders}


def _points(lab: Lab, curve: Curve, contender: Contender) -> list[tuple[float, float]]:
    values: dict[int, list[float]] = {x: [] for x in curve.xs}
    with contextlib.ExitStack() as stack:
        try:
            standings = dict(_standings(lab, curve, contender, stack))
        except Failed as error:
            say(f"  curve {curve.name}: {contender.name}: {error}")
            return []
        for _ in range(curve.rounds):
            for x in curve.xs:
                try:
                    values[x].append(curve.measure(standings[x], x))
                except (Failed, OSError) as error:
                    say(f"  curve {curve.name}: {contender.name} at {x}: {error}")
    return [(x, statistics.median(found)) for x, found in values.items() if found]


def _standings(
    lab: Lab, curve: Curve, contender: Contender, stack: contextlib.ExitStack
) -> Iterator[tuple[int, Standing]]:
    worker_args = ("--max-jobs", "64")
    if curve.crowd and isinstance(contender, Pigeon):
        for x in curve.xs:
            yield x, stack.enter_context(contender.crowded(x).open(lab, worker_args))
        return
    standing = stack.enter_context(contender.open(lab, worker_args))
    yield from ((x, standing) for x in curve.xs)
