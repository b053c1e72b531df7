"""What both of the client's processes ask the user's terminal and neither changes: is it one, how large, whose turn."""

from __future__ import annotations

import errno
import os


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


def pixel_size() -> tuple[int, int]:
    """(width, height) in pixels of the window that `window_size` speaks of; zeros where the terminal does not say."""
    import fcntl  # not for a command on pipes
    from termios import TIOCGWINSZ

    for fd in (0, 1, 2):
        try:
            rows, cols, *pixels = memoryview(fcntl.ioctl(fd, TIOCGWINSZ, bytes(8))).cast("H")
        except OSError:
            continue
        if cols and rows:
            return pixels[0], pixels[1]
    return 0, 0


def in_foreground() -> bool:
    """Whether this process may read the terminal on stdin without being stopped (SIGTTIN)."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError as error:
        # Where it is not the controlling terminal, nobody is stopped.
        return error.errno == errno.ENOTTY and is_terminal(0)
