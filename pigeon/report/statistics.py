"""Sums over sessions of the journal: by day, by directory, by program. Pure: rows in, lines or records out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from pigeon import clock
from pigeon.journal.rows import Row
from pigeon.report import history_table as text
from pigeon.report.history_table import Look
from pigeon.text import width

BAR_COLUMNS = 12

_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass
class Sum:
    """What a group of sessions comes to. Times are seconds, `first` and `last` unix seconds."""

    group: str
    commands: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = 0
    run_s: float = 0.0
    wait_s: float = 0.0
    longest_wait_s: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    first: float | None = None
    last: float | None = None

    def add(self, row: Row) -> None:
        """Count one more."""
        kind = text.ending(row)[0]
        self.commands += 1
        self.failed += kind == "failed"
        self.cancelled += kind == "cancelled"
        self.open += kind == "open"
        self.run_s += row.run_s or 0.0
        self.wait_s += row.wait_s
        self.longest_wait_s = max(self.longest_wait_s, row.wait_s)
        self.bytes_in += row.bytes_in or 0
        self.bytes_out += row.bytes_out or 0
        if row.when is not None:
            self.first = row.when if self.first is None else min(self.first, row.when)
            self.last = row.when if self.last is None else max(self.last, row.when)


def program(row: Row) -> str:
    """The program that a command names: its first word that is no assignment, without its directory."""
    words = row.command[2].split(None, 8) if row.is_text else row.command
    for word in words:
        name, equals, _ = word.partition("=")
        if not (equals and name.isidentifier()):
            return os.path.basename(word.rstrip("/")) or word
    return "-"


def _day(row: Row) -> str:
    return "-" if row.when is None else clock.local_text(row.when)[:10]


GROUPS: dict[str, Callable[[Row], str]] = {
    "day": _day,
    "directory": lambda row: row.cwd or "-",
    "command": program,
}
"""`--stats` -> to which group a row belongs."""

ORDERS: dict[str, Callable[[Sum], float]] = {
    "slowest": lambda one: one.run_s,
    "waited": lambda one: one.wait_s,
    "bytes": lambda one: float(one.bytes_in + one.bytes_out),
}
"""`--sort` -> the quantity by which groups are ordered, largest first."""


def sums(rows: Sequence[Row], by: str, order: str | None) -> list[Sum]:
    """The groups, largest first in `order`; without one, the newest day or the most commands first."""
    found: dict[str, Sum] = {}
    for row in rows:
        group = GROUPS[by](row)
        found.setdefault(group, Sum(group)).add(row)
    if order is None and by == "day":
        return sorted(found.values(), key=lambda one: one.group, reverse=True)
    measure = ORDERS[order] if order is not None else (lambda one: float(one.commands))
    return sorted(found.values(), key=lambda one: (-measure(one), one.group))


def record(one: Sum) -> dict[str, object]:
    """A group for JSON and CSV."""
    fields: dict[str, object] = asdict(one)
    for name in ("run_s", "wait_s", "longest_wait_s"):
        fields[name] = round(float(str(fields[name])), 3)
    for name in ("first", "last"):
        at = getattr(one, name)
        fields[name] = None if at is None else clock.utc_text(at)
    return fields


def table(every: Sequence[Sum], count: int, by: str, order: str | None, look: Look) -> Iterator[str]:
    """A heading, a line for each of the first `count` groups (0: all) with a bar, and the total of all."""
    found = every[:count] if count else every
    heading = (by.upper(), "COMMANDS", "FAILED", "RAN", "WAITED", "LONGEST", "IN/OUT")
    total = Sum("total" if len(found) == len(every) else f"total of {len(every)}")
    for one in every:
        total.commands += one.commands
        total.failed += one.failed
        total.open += one.open
        total.run_s += one.run_s
        total.wait_s += one.wait_s
        total.longest_wait_s = max(total.longest_wait_s, one.longest_wait_s)
        total.bytes_in += one.bytes_in
        total.bytes_out += one.bytes_out
    cells = [heading, *map(_cells, found), _cells(total)]
    widths = [max(width(line[n]) for line in cells) for n in range(len(heading))]
    if look.columns is not None:
        room = look.columns - sum(widths[1:]) - 2 * len(widths) - BAR_COLUMNS
        widths[0] = max(9, min(widths[0], room))
    measure = ORDERS[order] if order is not None else (lambda one: float(one.commands))
    most = max(map(measure, found), default=0.0)
    bars = [
        f"({order or 'commands'})",
        *(bar(measure(one) / most if most else 0.0, look) for one in found),
        "",
    ]
    for line, drawn in zip(cells, bars, strict=True):
        first = text.cut(line[0], widths[0], look.ellipsis, keep_end=by == "directory")
        padded = [text.padded(first, widths[0])]
        padded += [
            text.padded(cell, width, right=True) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        whole = "  ".join([*padded, drawn]).rstrip()
        yield whole if look.columns is None else text.cut(whole, look.columns, look.ellipsis)


def bar(share: float, look: Look) -> str:
    """A bar of up to BAR_COLUMNS; in eighths of a column where the encoding has them."""
    if look.ellipsis != "…":  # an encoding without it has no blocks either
        return "#" * round(share * BAR_COLUMNS)
    eighths = round(share * BAR_COLUMNS * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _cells(one: Sum) -> tuple[str, ...]:
    return (
        text.visible(one.group),
        str(one.commands),
        str(one.failed) if one.failed else "-",
        text.duration(one.run_s) if one.run_s or one.open < one.commands else "-",
        text.duration(one.wait_s) if one.wait_s else "-",
        text.duration(one.longest_wait_s) if one.longest_wait_s else "-",
        f"{text.size(one.bytes_in)}/{text.size(one.bytes_out)}",
    )
