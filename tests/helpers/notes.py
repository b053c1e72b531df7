"""Commands that write down by themselves when they started and ended, independently of pigeon.

Each start makes a file of its own, so that a command that was started twice shows; intervals tell whether two
overlapped, which a shared counter would not once caches are in between.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from tests.helpers.waiting import wait_until


class Interval(NamedTuple):
    """When a command ran, in nanoseconds of this host's clock."""

    name: str
    start: int
    end: int


class Notes:
    """A directory of notes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory

    def text(self, name: str, body: str = "sleep 0.05") -> str:
        """A shell text that notes its start, does `body`, and notes its end."""
        place = shlex.quote(str(self.directory))
        return (
            f"date +%s%N > $(mktemp {place}/start.{name}.XXXXXX); {body}; code=$?; "
            f"date +%s%N > $(mktemp {place}/end.{name}.XXXXXX); exit $code"
        )

    def holding(self, name: str) -> str:
        """A text that runs until `release(name)`."""
        path = self.directory / f"hold.{name}"
        path.touch()
        return self.text(name, f"while [ -e {shlex.quote(str(path))} ]; do sleep 0.02; done")

    def release(self, name: str) -> None:
        """Let a `holding` command go on."""
        (self.directory / f"hold.{name}").unlink()

    def starts(self, name: str) -> list[int]:
        """The noted starts of a command: more than one is a violation."""
        return self._stamps("start", name)

    def _stamps(self, kind: str, name: str) -> list[int]:
        texts = [path.read_text() for path in self.directory.glob(f"{kind}.{name}.*")]
        return sorted(int(text) for text in texts if text.endswith("\n"))

    def wait_started(self, name: str, timeout_s: float = 15.0) -> None:
        """Until the command has noted its start."""
        wait_until(lambda: self.starts(name), timeout_s, f"the start of command {name}")

    def interval(self, name: str) -> Interval:
        """When the command ran. Raises AssertionError unless it ran exactly once, to its end."""
        starts, ends = self.starts(name), self._stamps("end", name)
        assert len(starts) == len(ends) == 1, f"command {name}: starts {starts}, ends {ends}"
        return Interval(name, starts[0], ends[0])

    def intervals(self, names: list[str]) -> list[Interval]:
        """The intervals of these commands, in the order of their starts."""
        return sorted((self.interval(name) for name in names), key=lambda interval: interval.start)


def overlapping(intervals: list[Interval]) -> list[tuple[str, str]]:
    """Pairs that ran at the same time."""
    ordered = sorted(intervals, key=lambda interval: interval.start)
    return [
        (one.name, other.name)
        for position, one in enumerate(ordered)
        for other in ordered[position + 1 :]
        if other.start < one.end
    ]


def most_at_once(intervals: list[Interval]) -> int:
    """How many ran at one time at most."""
    changes = sorted([(i.start, 1) for i in intervals] + [(i.end, -1) for i in intervals])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
