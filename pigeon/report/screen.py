"""A whole terminal, drawn again and again without flicker, and its keys: what `pigeon top` and `--watch` show.

Plain escape sequences (ECMA-48, and xterm's alternate screen): only lines that differ are written, between the marks
of a synchronized update where a terminal knows them. The terminal is put back however the program leaves.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from collections.abc import Sequence
from types import FrameType, TracebackType

from pigeon.errors import UsageError

END = "end of input"
QUIT_KEYS = ("q", "escape", "^C")

_KEYS = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "escape",
    b"\x03": "^C",
    b"\x0c": "^L",
}

Line = tuple[str, str]
"""A text, and how it looks: parameters of SGR, or "" (`1` bold, `2` faint, `7` reversed, `31` red …)."""


class Screen:
    """Context manager; owns the terminal between enter and exit, but for `lent`."""

    def __init__(self) -> None:
        self.columns, self.rows = 80, 24
        self.exit_code = 0
        """Not 0 once a signal has asked for the end; `key` says END then."""
        self._drawn: list[Line] = []
        self._typed = b""
        self._waking, self._woken = -1, -1
        self._settings: list[object] = []
        self._former: dict[int, object] = {}
        self._colour = not os.environ.get("NO_COLOR")

    def __enter__(self) -> Screen:
        if not (os.isatty(0) and os.isatty(1)):
            raise UsageError(
                "this draws on a terminal, and stdin or stdout is none", hint="`pigeon sessions`"
            )
        self._woken, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._settings = termios.tcgetattr(0)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP):
            self._former[number] = signal.signal(number, self._hear)
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.give_back()
        signal.set_wakeup_fd(-1)
        for number, former in self._former.items():
            signal.signal(number, former)  # type: ignore[arg-type]  # what signal() gave
        os.close(self._woken)
        os.close(self._waking)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGWINCH:
            self.exit_code = 128 + number

    def take(self) -> None:
        """Make the terminal ours: no echo, keys one by one, the alternate screen, no cursor."""
        raw = termios.tcgetattr(0)
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, raw)
        self._write(b"\x1b[?1049h\x1b[?25l\x1b[?7l")
        self._drawn = []
        self._measure()

    def give_back(self) -> None:
        """Put everything back as it was, for good or for a while."""
        self._write(b"\x1b[?7h\x1b[?25h\x1b[?1049l")
        termios.tcsetattr(0, termios.TCSADRAIN, self._settings)  # type: ignore[arg-type]  # what tcgetattr gave

    def _measure(self) -> None:
        size = os.get_terminal_size(1)
        if (size.columns, size.lines) != (self.columns, self.rows) or not self._drawn:
            self.columns, self.rows = max(size.columns, 1), max(size.lines, 1)
            self._drawn = []

    def draw(self, lines: Sequence[str | Line]) -> None:
        """Show these lines, each at most `columns` wide; what is too much for the screen is left out."""
        self._measure()
        wanted = [(line, "") if isinstance(line, str) else line for line in lines[: self.rows]]
        out = b"" if self._drawn else b"\x1b[2J"
        for row, (text, look) in enumerate(wanted):
            if row < len(self._drawn) and self._drawn[row] == (text, look):
                continue
            data = text.encode("utf-8", "backslashreplace")
            styled = (
                b"\x1b[%sm%s\x1b[m" % (look.encode(), data)
                if look and (self._colour or look == "7")
                else data
            )
            out += b"\x1b[%d;1H%s\x1b[K" % (row + 1, styled)
        if len(wanted) < len(self._drawn):
            out += b"\x1b[%d;1H\x1b[J" % (len(wanted) + 1)
        self._drawn = wanted
        if out:
            self._write(b"\x1b[?2026h%s\x1b[?2026l" % out)

    def key(self, wait_s: float) -> str:
        """The next key: a character or one of the names above; "" after `wait_s` or when the window has changed."""
        if not self._typed:
            ready, _, _ = select.select([0, self._woken], [], [], wait_s)
            if self._woken in ready:
                os.read(self._woken, 4096)
            if 0 in ready:
                self._typed = os.read(0, 4096)
                if not self._typed:
                    return END
            if self.exit_code:
                return END
        for size in (3, 1):
            if self._typed[:size] in _KEYS and (
                size > 1 or len(self._typed) == 1 or self._typed[:1] != b"\x1b"
            ):
                name = _KEYS[self._typed[:size]]
                self._typed = self._typed[size:]
                return name
        if self._typed[:1] == b"\x1b":
            self._typed = b""  # a sequence that nobody here understands
            return ""
        letter, self._typed = self._typed[:1], self._typed[1:]
        return letter.decode("ascii", "replace")

    @staticmethod
    def _write(data: bytes) -> None:
        while data:
            data = data[os.write(1, data) :]
