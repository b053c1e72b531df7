#!/usr/bin/env python3
"""Show that the tables which decide are held by tests: change each cell of each, one at a time, and see a test fail.

    python -m tools.mutants [--table NAME] [--sample N] [--all-tests]

A mutant is made in a forked process, in memory: no file is touched. There the new table takes the place of the old one
in every module that has it, and the quick tests of that table run until one fails. A mutant that none of them notices
survives, and the exit code is 1. `--sample N` takes about so many of each table; `--all-tests` runs the
tests to their end, and says how many notice each mutant instead of which one does first.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Table:
    """`module.name`, the test files that hold it, and how one of its cells can be wrong."""

    module: str
    name: str
    tests: tuple[str, ...]
    mutants: Callable[[Any], Iterator[tuple[str, Any]]]
    """The table -> (what is changed, the changed table) for each mutant."""


# How a table can be wrong


def choices(table: Mapping[Hashable, Any]) -> Iterator[tuple[str, Any]]:
    """A mapping, of mappings perhaps, to members of an Enum: each cell says anything else, or is not there."""
    for key, cell in table.items():
        for what, changed in _wrong_choices(cell):
            yield f"{_said(key)} {what}", {**table, key: changed}
        yield f"{_said(key)} is not there", {k: v for k, v in table.items() if k != key}


def _wrong_choices(cell: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(cell, Mapping):
        yield from choices(cell)
    else:
        for other in type(cell):
            if other is not cell:
                yield f"-> {_said(other)}", other


def sets(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A mapping to sets of names: each has one too many, or one too few, of all that occur."""
    everything = sorted({*table, *(name for names in table.values() for name in names)})
    for key, names in table.items():
        for name, changed in _toggled(names, everything):
            yield f"{key} {name}", {**table, key: changed}


def members(table: Any) -> Iterator[tuple[str, Any]]:
    """A set of an Enum's members, of names, or of classes: one too few; of an Enum, one too many, too."""
    first = next(iter(table))
    yield from _toggled(table, list(type(first)) if isinstance(first, Enum) else list(table))


def _toggled(names: Any, everything: list[Any]) -> Iterator[tuple[str, Any]]:
    kind = type(names)
    for name in everything:
        if name in names:
            yield f"without {_said(name)}", kind(other for other in names if other != name)
        else:
            yield f"with {_said(name)}", kind((*names, name))


def fields(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A mapping, of mappings perhaps, to fields' names: one is not there, or one is there that should not be."""
    for key, cell in table.items():
        inner = fields(cell) if isinstance(cell, Mapping) else _toggled(cell, [*cell, "surplus"])
        for what, changed in inner:
            yield f"{key} {what}", {**table, key: changed}


def moves(table: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """The scheduler's: another state, another look, one of its marks turned round, or no such cell."""
    for key, move in table.items():
        wrong = [replace(move, to=other) for other in type(move.to) if other is not move.to]
        wrong += [replace(move, look=other) for other in type(move.look) if other is not move.look]
        marks = ("is_death", "is_told", "ends_worker")
        wrong += [replace(move, **{name: not getattr(move, name)}) for name in marks]
        for changed in wrong:
            said = [name for name in marks if getattr(changed, name)]
            what = f"-> {changed.to.name} {changed.look.name} {' '.join(said)}"
            yield f"{_said(key)} {what}", {**table, key: changed}
        # What is not listed has died: the cells that say the same anyhow are the default itself.
        if key[1] != "died" and table[key[0], "died"] != move:
            yield f"{_said(key)} is not there", {k: v for k, v in table.items() if k != key}


def steps(table: tuple[tuple[float, Any], ...]) -> Iterator[tuple[str, Any]]:
    """(bound, what) in ascending order: each bound and each number is another, and each line may be missing."""
    for number, (bound, what) in enumerate(table):
        wrong: list[tuple[float, Any]] = [(bound * 1.5 or 1.0, what)] if bound != float("inf") else []
        if isinstance(what, float):
            wrong += [(bound, what * 1.5), (bound, what / 1.5)]
        else:
            wrong += [(bound, tuple(w for w in what if w != one)) for one in what]
        for line in wrong:
            yield f"{bound:g}: {line[0]:g} {_said(line[1])}", (*table[:number], line, *table[number + 1 :])
        yield f"{bound:g} is not there", (*table[:number], *table[number + 1 :])


def number(value: float) -> Iterator[tuple[str, Any]]:
    """A number by itself."""
    yield "more", value * 1.5
    yield "less", value / 1.5


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_said, value))
    return str(getattr(value, "name", None) or getattr(value, "__name__", None) or value)


UNIT = "tests/unit/"
TABLES = (
    Table("pigeon.journal.states", "STEPS", (f"{UNIT}test_worker_tables.py",), sets),
    Table("pigeon.journal.states", "NOT_STARTED", (f"{UNIT}test_worker_tables.py",), members),
    Table("pigeon.journal.states", "AT_WORK", (f"{UNIT}test_worker_tables.py",), members),
    Table("pigeon.worker.recovery.plan", "RECOVERY", (f"{UNIT}test_recovery_plan.py",), choices),
    Table("pigeon.worker.recovery.plan", "TRIED_AGAIN", (f"{UNIT}test_recovery_plan.py",), members),
    Table("pigeon.worker.scheduler.exits", "MOVES", (f"{UNIT}test_exits.py",), moves),
    Table(
        "pigeon.worker.scheduler.sessions",
        "FORGOTTEN_WITH_ITS_DIRECTORY",
        (f"{UNIT}test_sessions.py",),
        members,
    ),
    Table("pigeon.worker.engine.steps", "LAUNCH_STEPS", (f"{UNIT}test_launch_steps.py",), choices),
    Table("pigeon.worker.hangup", "HANGUP", (f"{UNIT}test_worker_tables.py",), steps),
    Table("pigeon.worker.hangup", "UNKILLABLE_S", (f"{UNIT}test_worker_tables.py",), number),
    Table("pigeon.wire.pacing", "INTERACTIVE", (f"{UNIT}test_pacing.py",), steps),
    Table("pigeon.wire.pacing", "WATCHING", (f"{UNIT}test_pacing.py",), steps),
    Table("pigeon.wire.states", "TRANSITIONS", (f"{UNIT}test_format.py",), sets),
    Table(
        "pigeon.wire.records", "RECORDS", (f"{UNIT}test_format.py", f"{UNIT}test_record_tables.py"), fields
    ),
    Table("pigeon.wire.records", "EVENTS", (f"{UNIT}test_format.py", f"{UNIT}test_record_tables.py"), fields),
)


# Killing them


def put_in_place(old: Any, new: Any) -> None:
    """Whoever has the table has the changed one from now on, in this process."""
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()) if hasattr(module, "__dict__") else ():
            if value is old:
                setattr(module, name, new)


def killers(items: list[pytest.Item], table: Table, changed: Any, *, all_tests: bool) -> list[str]:
    """The tests that fail with the changed table, in a process of its own; at most one unless all are asked for."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        module = importlib.import_module(table.module)
        if isinstance(changed, float):
            setattr(module, table.name, changed)  # a number may be the same as another one
        else:
            put_in_place(getattr(module, table.name), changed)
        for number, item in enumerate(items):
            following = items[number + 1] if number + 1 < len(items) else None
            if any(report.failed for report in runtestprotocol(item, nextitem=following, log=False)):
                os.write(writing, f"{item.nodeid}\n".encode())
                if not all_tests:
                    break
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as said:
        found = said.read().splitlines()
    os.waitpid(pid, 0)
    return found


class Mutants:
    """A plug-in that runs the mutants in place of the tests that were collected."""

    def __init__(self, tables: list[Table], sample: int, *, all_tests: bool) -> None:
        self.tables = tables
        self.sample = sample
        self.all_tests = all_tests
        self.survivors: list[str] = []
        self.lines: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Every mutant of every table."""
        found = [(table, *mutant) for table in self.tables for mutant in self._chosen(table)]
        killed: dict[str, list[int]] = {}
        for table, what, changed in found:
            items = [item for item in session.items if item.nodeid.split("::")[0] in table.tests]
            by = killers(items, table, changed, all_tests=self.all_tests)
            if by:  # who has noticed one is likely to notice the next
                session.items.sort(key=lambda item, first=by[0]: item.nodeid != first)  # type: ignore[misc]
            count = killed.setdefault(f"{table.module}.{table.name}", [0, 0])
            count[0] += 1
            count[1] += bool(by)
            if not by:
                self.survivors.append(f"{table.name}: {what}")
            told = f"{len(by)} tests" if self.all_tests else (by[0].partition("::")[2] if by else "NOBODY")
            self.lines.append(f"  {table.name}: {what}: {told}")
        self.lines += [f"{name:<60} {k:>4} of {n:>4} killed" for name, (n, k) in killed.items()]
        total = [sum(column) for column in zip(*killed.values(), strict=True)]
        self.lines.append(f"{'together':<60} {total[1]:>4} of {total[0]:>4} killed")
        return True

    def _chosen(self, table: Table) -> list[tuple[str, Any]]:
        found = list(table.mutants(_value(table)))
        return found[:: max(1, len(found) // self.sample)] if self.sample else found


def _value(table: Table) -> Any:
    return getattr(importlib.import_module(table.module), table.name)


def run(tables: list[Table], sample: int = 0, *, all_tests: bool = False) -> Mutants:
    """Make the mutants of these tables (about `sample` of each; 0: all) and let the tests of each table see them."""
    mutants = Mutants(tables, sample, all_tests=all_tests)
    files = sorted({path for table in tables for path in table.tests})
    options = [
        "-q",
        "--no-header",
        "--no-summary",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    options += ["-m", "not long and not slow", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    os.environ.pop("PYTEST_ADDOPTS", None)  # it may have options of what is left out here
    pytest.main([*options, *files], plugins=[mutants])
    return mutants


def main() -> int:
    """The exit code: 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--table", action="append", choices=[table.name for table in TABLES])
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="about so many of each table; default: all"
    )
    parser.add_argument("--all-tests", action="store_true", help="count the tests that notice each")
    options = parser.parse_args()
    os.chdir(ROOT)
    tables = [table for table in TABLES if options.table is None or table.name in options.table]
    done = run(tables, options.sample, all_tests=options.all_tests)
    print("\n".join(done.lines))
    for survivor in done.survivors:
        print(f"SURVIVES {survivor}")
    return 1 if done.survivors else 0


if __name__ == "__main__":
    sys.exit(main())
