"""What both of the client's processes ask the user's terminal and neither changes: is it one, how large, whose turn."""

from __future__ import annotations

import errno
import os

DESCRIPTORS = [0, 1, 2]
"""Where the user's terminal may be; with what `open_own` has opened: the process has one table of descriptors."""


def is_terminal(fd: int) -> bool:
    """isatty(3), false for a closed descriptor."""
    return os.isatty(fd)


def window_size() -> tuple[int, int] | None:
    """(cols, rows) of the user's terminal."""
    for fd in DESCRIPTORS:
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        if size.columns > 0 and size.lines > 0:
            return size.columns, size.lines
    return None


def pixel_size() -> tuple[int, int]:
    """(width, height) in pixels of the window that `window_size` speaks of; zeros where the terminal does not say."""
    import fcntl  # not for a command on pipes
    from termios import TIOCGWINSZ

    for fd in DESCRIPTORS:
        try:
            rows, cols, *pixels = memoryview(fcntl.ioctl(fd, TIOCGWINSZ, bytes(8))).cast("H")
        except OSError:
            continue
        if cols and rows:
            return pixels[0], pixels[1]
    return 0, 0


def in_foreground(fd: int = 0) -> bool:
    """Whether this process may read that terminal without being stopped (SIGTTIN)."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError as error:
        # Where it is not the controlling terminal, nobody is stopped.
        return error.errno == errno.ENOTTY and is_terminal(fd)


def open_own() -> int | None:
    """The controlling terminal, opened anew, if this process has one and knows of no other among its descriptors."""
    for fd in (0, 1, 2):
        if is_terminal(fd) and not _is_own(fd):
            return None
    try:
        own = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    DESCRIPTORS.append(own)
    return own


def _is_own(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) >= 0
    except OSError:
        return False
