"""The same keys to a program that runs plainly in a terminal and to one that runs through pigeon: what each shows.

Plainly first; each step's screen is taken when it shows what it should and has become still. Through pigeon the same
screen has to come up, cell by cell with colours, attributes and cursor; nobody waits there for a time, only for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.emulator import Cell
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import marked
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import patient, wait_until
from tests.terminal.modes import modes_on

Shows = str | Callable[[str], object]

STILL_S = 0.25


class Step(NamedTuple):
    """Keys, and by what the program shows that it has acted on them."""

    keys: str
    shows: Shows
    is_alike: bool = True
    """False for a screen that is never the same twice (a process list)."""
    foreground: str = ""
    """A command line that must have the terminal before the next keys."""


class Program(NamedTuple):
    """One way to use a program."""

    name: str
    text: str
    """What bash runs."""
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    prepare: Callable[[Path, Pigeon], None] = lambda place, pigeon: None
    code: int = 0
    size: tuple[int, int] = (80, 24)
    end_is_alike: bool = True
    last_keys: str = ""
    """Typed at the end; the program ends by them."""


class Picture(NamedTuple):
    """What is on a screen."""

    cells: list[list[Cell]]
    cursor: tuple[int, int]


class Ending(NamedTuple):
    """How a program has left its terminal."""

    code: int
    picture: Picture | None
    settings: list[Any]
    modes: dict[str, bytes]


def picture(window: Terminal) -> Picture:
    """The screen now."""
    window.pump()
    return Picture(window.emulator.cells(), window.emulator.cursor)


def compare(pigeon: Pigeon, program: Program) -> None:
    """Run it both ways. Raises AssertionError for the first difference."""
    expected: list[Picture | None] = []
    place = pigeon.base / "dirs" / program.name
    plain = _spawn(pigeon, program, place, through=False)
    for step in program.steps:
        plain.type(step.keys)
        plain.wait_for(step.shows, 30)
        _wait_foreground(pigeon, step)
        plain.wait_still(patient(STILL_S))
        expected.append(picture(plain) if step.is_alike else None)
    plain_end = _end(plain, program)
    pigeon.wait_quiet()

    window = _spawn(pigeon, program, place, through=True)
    for step, wanted in zip(program.steps, expected, strict=True):
        window.type(step.keys)
        window.wait_for(step.shows, 30)
        if wanted is not None:
            _wait_same(window, wanted, f"{program.name} after {step.keys!r}")
        _wait_foreground(pigeon, step)
    end = _end(window, program)
    assert end == plain_end, _differences(end, plain_end)
    assert end.code == program.code
    assert end.settings == window.settings_before


def _spawn(pigeon: Pigeon, program: Program, place: Path, *, through: bool) -> Terminal:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    program.prepare(place, pigeon)
    words = pigeon.command(program.text) if through else ["bash", "-lc", program.text]
    env = {"PS1": "$ ", "LESSHISTFILE": "-", "PWD": str(place)}
    return pigeon.spawn_plain(*words, cwd=place, size=program.size, env=env)


def _end(window: Terminal, program: Program) -> Ending:
    window.type(program.last_keys)
    code = window.wait(30).code
    last = picture(window) if program.end_is_alike else None
    return Ending(code, last, window.settings(), modes_on(window.raw))


def _wait_foreground(pigeon: Pigeon, step: Step) -> None:
    def has_the_terminal() -> bool:
        for pid, line in marked(pigeon.mark).items():
            if line.strip() == step.foreground:
                try:
                    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] == "S" and fields[2] == fields[5]:
                    return True
        return False

    if step.foreground:
        wait_until(has_the_terminal, 15, f"`{step.foreground}` in the foreground")


def _wait_same(window: Terminal, wanted: Picture, what: str) -> None:
    def same() -> bool:
        window.pump(0.02)
        return picture(window) == wanted

    def describe() -> str:
        return f"the same screen: {what}\n{difference(picture(window), wanted)}\n{window.tell()}"

    wait_until(same, 30, describe, interval_s=0.0)


def difference(got: Picture, wanted: Picture) -> str:
    """The first rows that are not alike, both ways."""
    lines = [f"cursor {got.cursor}, plainly {wanted.cursor}"] if got.cursor != wanted.cursor else []
    return "\n".join([*lines, *_cell_differences(got.cells, wanted.cells)][:12])


def _cell_differences(got: list[list[Cell]], wanted: list[list[Cell]]) -> Iterator[str]:
    for number, (row, other) in enumerate(zip(got, wanted, strict=True)):
        if row != other:
            first = next(i for i, (a, b) in enumerate(zip(row, other, strict=True)) if a != b)
            yield f"row {number}, from column {first}: {row[first]}, plainly {other[first]}"
            yield "  through pigeon: " + "".join(cell.text for cell in row).rstrip()
            yield "  plainly:        " + "".join(cell.text for cell in other).rstrip()


def _differences(end: Ending, plain: Ending) -> str:
    told = f"code {end.code}, plainly {plain.code}; modes {end.modes}, plainly {plain.modes}\n"
    if end.settings != plain.settings:
        told += f"termios {end.settings}\nplainly {plain.settings}\n"
    if end.picture is not None and plain.picture is not None:
        told += difference(end.picture, plain.picture)
    return told
