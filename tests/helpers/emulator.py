"""A terminal emulator for tests: draws on a pyte screen and answers questions as a terminal does.

pyte knows neither string sequences (DCS, APC) nor private parameters (`CSI > …`) and would draw them as
text; they are taken out before it sees them. Answers: cursor position, device attributes, colours, mode
reports, kitty keyboard.
"""

from __future__ import annotations

import copy
import re
from typing import Any, NamedTuple

import pyte

_NOT_DRAWN = re.compile(
    rb"\x1b[P_^X][^\x1b]*(?:\x1b(?!\\)[^\x1b]*)*\x1b\\"  # DCS, APC, PM, SOS … ST
    rb"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC … BEL or ST
    rb"|\x1b\[[<=>][0-9;:]*[ -/]*[@-~]"  # CSI with a private marker other than `?`
    rb"|\x1b\[\??[0-9;:]*[ -/]+[@-~]"  # CSI with an intermediate byte: cursor shape, mode report
    rb"|\x1b\[\?[0-9;]*[murs]"  # questions about key modes, saved modes: pyte takes them for colours and margins
    rb"|\x1b[=>]"
)
_UNFINISHED = re.compile(
    rb"(?:\x1b[P_^X](?:[^\x1b]|\x1b(?!\\))*|\x1b\](?:[^\x07\x1b]|\x1b(?!\\))*|\x1b\[[0-?]*[ -/]*|\x1b)\Z"
)
_ANSWERS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"\x1b\]10;\?(?:\x07|\x1b\\)\Z"), b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    (re.compile(rb"\x1b\]11;\?(?:\x07|\x1b\\)\Z"), b"\x1b]11;rgb:1414/1414/1414\x1b\\"),
    (re.compile(rb"\x1b\[>0?c\Z"), b"\x1b[>0;10;1c"),
    (re.compile(rb"\x1b\[\?u\Z"), b"\x1b[?0u"),
)
_MODE_REPORT = re.compile(rb"\x1b\[\?([0-9]+)\$p\Z")


class Cell(NamedTuple):
    """One character of the screen and how it is drawn."""

    text: str
    colours: tuple[str, str]
    attributes: tuple[bool, ...]


_ALTERNATE = {47, 1047, 1049}
"""The modes of xterm's second screen, which a full-screen program leaves with the first one as it was."""


class _Screen(pyte.Screen):
    """A pyte screen whose answers are collected, with the alternate screen that pyte does not have."""

    def __init__(self, cols: int, rows: int) -> None:
        self.answers: list[bytes] = []
        super().__init__(cols, rows)

    def reset(self) -> None:
        self._first: tuple[Any, Any] | None = None
        super().reset()

    def set_mode(self, *modes: int, **how: Any) -> None:
        super().set_mode(*modes, **how)
        if how.get("private") and not _ALTERNATE.isdisjoint(modes) and self._first is None:
            self._first = self.buffer.copy(), copy.copy(self.cursor)
            self.buffer.clear()

    def reset_mode(self, *modes: int, **how: Any) -> None:
        super().reset_mode(*modes, **how)
        if how.get("private") and not _ALTERNATE.isdisjoint(modes) and self._first is not None:
            hidden = self.cursor.hidden
            (lines, self.cursor), self._first = self._first, None
            self.cursor.hidden = hidden
            self.buffer.clear()
            self.buffer.update(lines)

    def write_process_input(self, data: str) -> None:
        self.answers.append(data.encode())


class Emulator:
    """Bytes in, screen and answers out."""

    def __init__(self, cols: int = 80, rows: int = 24) -> None:
        self._screen = _Screen(cols, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Draw `data`; returns what the terminal answers to it."""
        data = self._held + data
        tail = _UNFINISHED.search(data)
        self._held = data[tail.start() :] if tail else b""
        data = data[: tail.start()] if tail else data
        answers: list[bytes] = []
        position = 0
        for match in _NOT_DRAWN.finditer(data):
            self._draw(data[position : match.start()], answers)
            answers += self._answer(match.group())
            position = match.end()
        self._draw(data[position:], answers)
        return b"".join(answers)

    def _draw(self, data: bytes, answers: list[bytes]) -> None:
        self._stream.feed(data)
        answers += self._screen.answers
        self._screen.answers.clear()

    def _answer(self, question: bytes) -> list[bytes]:
        mode = _MODE_REPORT.match(question)
        if mode:
            return [b"\x1b[?%s;0$y" % mode[1]]
        return [answer for pattern, answer in _ANSWERS if pattern.match(question)]

    def resize(self, cols: int, rows: int) -> None:
        """The window has a new size; what is drawn stays."""
        self._screen.resize(rows, cols)

    @property
    def lines(self) -> list[str]:
        """The screen's rows as text, without trailing blanks."""
        return [str(line).rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The whole screen as text, without blank rows at the end."""
        return "\n".join(self.lines).rstrip()

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row, from 0."""
        return self._screen.cursor.x, self._screen.cursor.y

    def cells(self) -> list[list[Cell]]:
        """Every cell with its attributes, to compare two screens."""
        return [
            [self._cell(self._screen.buffer[row][column]) for column in range(self._screen.columns)]
            for row in range(self._screen.lines)
        ]

    @staticmethod
    def _cell(char: pyte.screens.Char) -> Cell:
        flags = (char.bold, char.italics, char.underscore, char.strikethrough, char.reverse)
        return Cell(char.data, (char.fg, char.bg), flags)
