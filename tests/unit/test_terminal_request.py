"""The terminal in request.json: what travels, and that nothing which stands there can be an error."""

from __future__ import annotations

import json
import os
import termios
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.wire import documents, termmodes
from pigeon.wire.documents import Request
from pigeon.wire.request_reading import parse_request
from tests.unit.test_format import FORMAT

ID = "1700000000000-0123456789ab"
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-300, 70000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*termmodes.FLAGS, *termmodes.CHARACTERS, "min", "time", "ispeed", "future"])
MODES = st.dictionaries(NAMES, ANYTHING, max_size=20)


@pytest.fixture(scope="module")
def terminal() -> Iterator[int]:
    """A new terminal's descriptor."""
    master, slave = os.openpty()
    yield slave
    os.close(slave)
    os.close(master)


def read_back(terminal: object) -> Request:
    document = {"session_id": ID, "command": ["true"], "cwd": "/", "terminal": terminal}
    return parse_request(json.dumps(document).encode(), ID)


@given(MODES | ANYTHING, ANYTHING, ANYTHING)
def test_whatever_stands_there_is_read(modes: object, x: object, y: object) -> None:
    request = read_back({"modes": modes, "size": {"cols": 80, "rows": 24, "xpixel": x, "ypixel": y}})
    assert request.size == (80, 24)
    fits = all(type(value) is int and 0 < value < 65536 for value in (x, y))
    assert request.pixels == ((x, y) if fits else (0, 0))
    assert all(0 <= mode < 256 for mode in request.modes.values())


@given(MODES)
def test_whatever_stands_there_can_be_set(terminal: int, modes: dict[str, Any]) -> None:
    new = termios.tcgetattr(terminal)
    wanted = termmodes.apply(new, read_back({"modes": modes}).modes)
    termios.tcsetattr(terminal, termios.TCSANOW, wanted)
    got = termios.tcgetattr(terminal)
    termios.tcsetattr(terminal, termios.TCSANOW, new)
    assert got[2:3] + got[4:6] == new[2:3] + new[4:6]
    assert [got[6][termios.VMIN], got[6][termios.VTIME]] in ([1, 0], [b"\1", b"\0"])
    before, after = termmodes.of(new), termmodes.of(got)
    for name in before:
        mode = modes.get(name)
        fits = isinstance(mode, bool) if name in termmodes.FLAGS else type(mode) is int and 0 <= mode < 256
        assert after[name] == (mode if fits else before[name]), name


def test_they_come_back_as_they_went(terminal: int) -> None:
    request = Request(ID, ["true"], "/")
    request.size, request.pixels = (80, 24), (800, 480)
    request.modes = termmodes.of(termios.tcgetattr(terminal))
    read = parse_request(request.encode("1"), ID)
    assert (read.size, read.pixels, read.modes) == ((80, 24), (800, 480), request.modes)
    assert len(read.modes) == len(termmodes.FLAGS) + len(termmodes.CHARACTERS)


def test_without_them_the_request_is_as_it_was() -> None:
    request = Request(ID, ["true"], "/")
    request.size = (80, 24)
    terminal = json.loads(request.encode("1"))["terminal"]
    assert set(terminal) == {"stdin_isatty", "stdout_isatty", "size", "pty"}
    assert terminal["size"] == {"cols": 80, "rows": 24}
    read = read_back(terminal)
    assert (read.modes, read.pixels) == ({}, (0, 0))


@pytest.mark.parametrize(
    "size", [None, {}, {"cols": 80}, {"cols": 0, "rows": 1}, {"cols": "80", "rows": 24}, [80]]
)
def test_no_window_has_no_pixels(size: object) -> None:
    assert documents.size_of(size) is None


def test_the_page_names_them_all() -> None:
    """And no other beside them in its two lists."""
    paragraph = FORMAT.partition("**The terminal's settings.**")[2].partition("\n\n")[0]
    lists = paragraph.partition("Keys: ")[2].partition(". The worker sets")[0]
    named = {word.strip("`,.;: ") for word in lists.split() if word.startswith("`")}
    assert named == {*termmodes.FLAGS, *termmodes.CHARACTERS}
