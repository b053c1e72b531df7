"""The user's terminal: its size, raw mode, and leaving it as it was. Only the guardian changes it."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_terminal(fd: int) -> bool:
    """isatty(3), false for a closed descriptor."""
    return os.isatty(fd)


def window_size() -> tuple[int, int] | None:
    """(cols, rows) of the terminal on stdin, stdout or stderr."""
    for fd in (0, 1, 2):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        if size.columns > 0 and size.lines > 0:
            return size.columns, size.lines
    return None


class Terminal:
    """Raw mode on stdin, and the way back. Restoring twice is harmless."""

    def __init__(self) -> None:
        self._saved: list[Any] | None = None
        self.is_raw = False
        if is_terminal(0):
            try:
                self._saved = termios.tcgetattr(0)
            except termios.error:
                pass

    def make_raw(self) -> None:
        """cfmakeraw(3): every byte passes unchanged both ways. What was typed ahead stays."""
        if self._saved is None:
            return
        mode = termios.tcgetattr(0)
        mode[0] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[1] &= ~termios.OPOST
        mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6] = list(mode[6])
        mode[6][termios.VMIN] = 1
        mode[6][termios.VTIME] = 0
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self.is_raw = True

    def restore(self, *, discard_input: bool) -> None:
        """As it was when pigeon started.

        `discard_input`: drop what has been typed or answered and not read. An answer to a query that the command asked
        before it ended would otherwise be typed into the shell.
        """
        if self._saved is None or not self.is_raw:
            return
        self.is_raw = False
        try:
            termios.tcsetattr(0, termios.TCSAFLUSH if discard_input else termios.TCSADRAIN, self._saved)
        except termios.error:
            pass  # the terminal has gone


def in_foreground() -> bool:
    """Whether this process may read the terminal on stdin without being stopped (SIGTTIN)."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
