"""Asking for a file's length before opening it: what is there is read all the same, and a filesystem that lies is found
out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from pigeon.mountinfo import filesystem_of
from pigeon.wire import files, looks, tail
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import heartbeat_line
from pigeon.wire.tail import LIES, OPENED_EVERY, Tail


@pytest.fixture
def control(session: SessionFiles) -> str:
    files.create(session.control())
    return session.control()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that a look has opened."""
    paths: list[str] = []

    def counting(path: str) -> int:
        paths.append(path)
        return files.open_checked(path)

    monkeypatch.setattr(tail, "open_checked", counting)
    yield paths


@pytest.fixture
def everywhere(session: SessionFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this filesystem were one where asking is cheaper."""
    monkeypatch.setattr(looks, "KINDS", {filesystem_of(session.directory).fstype})


def look(reader: Tail) -> tuple[int, bool]:
    """How many records came, and whether the file had grown."""
    return len(reader.poll()), reader.grew


def append(path: str, count: int = 1) -> None:
    with open(path, "ab") as file:
        file.write(heartbeat_line() * count)


@pytest.mark.usefixtures("everywhere")
def test_a_file_that_has_not_grown_is_seldom_opened(control: str, opened: list[str]) -> None:
    append(control, 3)
    reader = Tail(control, ())
    assert len(reader.poll()) == 3
    reader.ask_first(looks.question_for(control))
    opened.clear()
    for _ in range(10 * OPENED_EVERY):
        assert reader.poll() == [] and not reader.grew and not reader.has_more
    assert len(opened) == 10
    for number in range(1, 4):
        append(control, number)
        assert len(reader.poll()) == number and reader.grew
    assert len(opened) == 13


@pytest.mark.usefixtures("everywhere")
def test_half_a_line_is_no_record_and_a_sign_of_life(control: str) -> None:
    reader = Tail(control, ())
    reader.ask_first(looks.question_for(control))
    line = heartbeat_line()
    with open(control, "ab") as file:
        file.write(line[:9])
    assert [look(reader), look(reader)] == [(0, True), (0, False)]
    with open(control, "ab") as file:
        file.write(line[9:])
    assert len(reader.poll()) == 1


@pytest.mark.usefixtures("everywhere")
def test_what_has_gone_is_told_as_by_an_open(control: str) -> None:
    reader = Tail(control, ())
    reader.ask_first(looks.question_for(control))
    os.unlink(control)
    with pytest.raises(FileNotFoundError):
        reader.poll()


def test_a_filesystem_that_lies_is_not_asked_any_more(control: str, opened: list[str]) -> None:
    """What was appended is seen after OPENED_EVERY looks at the latest, and at once when it has been found out."""
    reader, asked = Tail(control, ()), []

    def lies(path: str) -> int:
        asked.append(path)
        return reader._seen

    reader.ask_first(lies)
    for _ in range(LIES):
        append(control)
        took = next(look for look in range(1, 100) if reader.poll())
        assert took <= OPENED_EVERY
    asked.clear()
    append(control)
    assert len(reader.poll()) == 1 and not asked


@pytest.mark.parametrize("why", ["another kind", "no such call"])
def test_where_it_cannot_be_asked_it_is_opened(
    control: str, monkeypatch: pytest.MonkeyPatch, why: str, request: pytest.FixtureRequest
) -> None:
    if why == "no such call":
        request.getfixturevalue("everywhere")

        def missing(wanted: int) -> Callable[[str], bytes]:
            raise AttributeError("statx")

        monkeypatch.setattr(looks, "_statx", missing)
    assert looks.question_for(control) is None
