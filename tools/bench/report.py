"""From samples to words: medians and quartiles, verdicts, printed tables, JSON, and comparisons of two runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from .rounds import CaseResult, Samples
from .table import Target

Json = dict[str, Any]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def judged_values(target: Target, samples: dict[str, Samples]) -> list[float]:
    """The values that a target is about. Ratios and differences pair samples of one round: drift cancels out."""
    mine = samples.get(target.who, Samples()).by_index
    other_name = target.over or target.minus
    if not other_name:
        return [metrics[target.metric] for metrics in mine.values() if target.metric in metrics]
    theirs = samples.get(other_name, Samples()).by_index
    pairs = [(mine[i][target.metric], theirs[i][target.metric]) for i in sorted(mine.keys() & theirs.keys())]
    if target.minus:
        return [a - b for a, b in pairs]
    return [a / b for a, b in pairs if b]


def judge(result: CaseResult) -> list[Json]:
    """One entry per target of the case."""
    entries = []
    for target in result.case.targets:
        values = judged_values(target, result.samples)
        entry: Json = {
            "case": result.case.name,
            "target": target.text,
            "limit": target.limit,
            "n": len(values),
        }
        failures = result.samples.get(target.who, Samples()).failures
        if values:
            entry["q1"], entry["median"], entry["q3"] = spread(values)
            entry["verdict"] = _verdict(target, entry["median"])
        else:
            entry["verdict"] = "not measured"
        if failures:
            entry["verdict"] = f"FAILED: {failures[0]}"
        entries.append(entry)
    return entries


def _verdict(target: Target, value: float) -> str:
    def reached(limit: float) -> bool:
        return value >= limit if target.at_least else value <= limit

    if not reached(target.limit):
        return "MISSED"
    return "met, and the aim" if target.aim is not None and reached(target.aim) else "met"


def as_json(result: CaseResult) -> Json:
    """A case for the results file."""
    contenders = {}
    for name, samples in result.samples.items():
        metrics = sorted({metric for one in samples.by_index.values() for metric in one})
        contenders[name] = {
            "samples": {metric: [round(v, 5) for v in samples.of(metric)] for metric in metrics},
            "failures": samples.failures,
        }
    return {
        "what": result.case.what,
        "load": result.load,
        "seconds": round(result.seconds, 1),
        "contenders": contenders,
        "targets": judge(result),
    }


def case_lines(result: CaseResult) -> list[str]:
    """The measurements of one case, as printed."""
    lines = [f"{result.case.name}: {result.case.what}   (load {result.load:.1f})"]
    for name, samples in result.samples.items():
        metrics = dict.fromkeys(metric for one in samples.by_index.values() for metric in one)
        order = (
            sorted(metrics, key=lambda m: spread(samples.of(m))[1]) if result.case.steps else list(metrics)
        )
        before = 0.0
        for metric in order:
            values = samples.of(metric)
            low, middle, high = spread(values)
            quartiles = f"{figure(low)} … {figure(high)}"
            step = f"   + {figure(middle - before)}" if result.case.steps else ""
            lines.append(
                f"  {name:<16} {metric:<30} {figure(middle):>9}   {quartiles:>21}   n {len(values)}{step}"
            )
            before = middle
        lines.extend(f"  {name:<16} failed: {failure}" for failure in samples.failures)
    return lines


def target_lines(targets: list[Json]) -> list[str]:
    """The table of targets."""
    rows = [("case", "target", "median", "quartiles", "n", "verdict")]
    for one in targets:
        shown = (
            (figure(one["median"]), f"{figure(one['q1'])} … {figure(one['q3'])}")
            if "median" in one
            else ("", "")
        )
        rows.append((one["case"], one["target"], *shown, str(one["n"]), one["verdict"]))
    return _table(rows)


def comparison_lines(old: Json, new: Json) -> list[str]:
    """What changed between two results files: each target, then medians whose quartiles lie apart."""
    before = {(t["case"], t["target"]): t for t in old["targets"]}
    rows = [("case", "target", "old", "new", "change", "verdict")]
    for one in new["targets"]:
        was = before.get((one["case"], one["target"]))
        if was and "median" in was and "median" in one:
            verdict = (
                one["verdict"]
                if one["verdict"] == was["verdict"]
                else f"{was['verdict']} -> {one['verdict']}"
            )
            rows.append(
                (
                    one["case"],
                    one["target"],
                    figure(was["median"]),
                    figure(one["median"]),
                    _change(was["median"], one["median"]),
                    verdict,
                )
            )
    lines = _table(rows) if len(rows) > 1 else ["no target was measured in both"]
    rows = [("case", "who", "metric", "old", "new", "change")]
    for name, case in new["cases"].items():
        for who, part in case["contenders"].items():
            earlier = old["cases"].get(name, {}).get("contenders", {}).get(who, {}).get("samples", {})
            for metric, values in part["samples"].items():
                if values and earlier.get(metric) and _apart(earlier[metric], values):
                    a, b = statistics.median(earlier[metric]), statistics.median(values)
                    rows.append((name, who, metric, figure(a), figure(b), _change(a, b)))
    if len(rows) > 1:
        lines += [
            "",
            "medians whose quartiles lie apart (the machine's own changes show in bash and ssh):",
            *_table(rows),
        ]
    return lines


def _apart(a: Sequence[float], b: Sequence[float]) -> bool:
    (low_a, _, high_a), (low_b, _, high_b) = spread(a), spread(b)
    return high_a < low_b or high_b < low_a


def _change(old: float, new: float) -> str:
    return f"{(new - old) / old * 100:+.0f} %" if old else "-"


def figure(value: float) -> str:
    """Three significant digits, no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [lines[0], "-" * min(150, sum(widths) + 2 * len(widths)), *lines[1:]]
