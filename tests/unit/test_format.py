"""FORMAT.md says what the code says: its tables are read and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pigeon.wire import pacing, records, states

FORMAT = Path(records.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")


def rows(first_cell: str) -> list[list[str]]:
    """The cells of every table row whose first cell matches."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in FORMAT.splitlines()
        if line.startswith("|")
    ]
    return [cells for cells in found if re.fullmatch(first_cell, cells[0])]


def names(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


def fields(cell: str) -> tuple[set[str], set[str]]:
    """(Those that a record has, those in brackets that it may have besides)."""
    always, _, sometimes = cell.partition("[")
    return set(names(always)), set(names(sometimes))


def test_record_table() -> None:
    table = {}
    for cells in rows(r"`(stream|stdin|control)\.jsonl`"):
        if len(cells) == 3:
            table[(names(cells[0])[0], names(cells[1])[0])] = fields(cells[2])
    code = {
        (file, kind): (set(always), set(records.OPTIONAL.get(kind, ())))
        for file, kinds in records.RECORDS.items()
        for kind, always in kinds.items()
    }
    assert table == code


def test_event_table() -> None:
    table = {names(cells[0])[0]: fields(cells[1]) for cells in rows(r"`[a-z_]+`") if len(cells) == 3}
    code = {
        event: (set(always), set(records.OPTIONAL_IN_EVENTS.get(event, ())))
        for event, always in records.EVENTS.items()
    }
    assert {event: table.get(event) for event in code} == code


def test_the_optional_fields_belong_to_something() -> None:
    types = {kind for kinds in records.RECORDS.values() for kind in kinds}
    assert records.OPTIONAL.keys() <= types
    assert records.OPTIONAL_IN_EVENTS.keys() <= records.EVENTS.keys()


def test_state_table() -> None:
    table = {
        names(cells[0])[0]: set(names(cells[1]))
        for cells in rows(r"`(pending|running|succeeded|failed|cancelled)`")
    }
    assert table == {state: set(after) for state, after in states.TRANSITIONS.items()}


def test_client_events_are_named() -> None:
    for event in records.CLIENT_EVENTS:
        assert f"`{event}`" in FORMAT


def test_heartbeat_interval_is_named() -> None:
    assert f"every {pacing.HEARTBEAT_S:.0f} s" in FORMAT


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (255, 255), (-1, 129), (-9, 137), (-15, 143)])
def test_exit_code_of(code: int, expected: int) -> None:
    assert states.exit_code_of(code) == expected
    assert states.state_of(code) == ("succeeded" if code == 0 else "failed")
