"""The session's terminal as its command finds it: the user's modes, the window. Set before the command is executed.

Promises never to keep a command from starting: a terminal that does not take a setting is one all the same.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from collections.abc import Mapping

from pigeon.wire import termmodes

_WINDOW = struct.Struct("HHHH")


def set_window(fd: int, cols: int, rows: int, xpixel: int = 0, ypixel: int = 0) -> None:
    """The window's size; the kernel sends SIGWINCH if it changed. 0 pixels: not known.

    `termios.tcsetwinsize` would leave the pixels of an earlier size, from which programs reckon how large a cell is.
    """
    fcntl.ioctl(fd, termios.TIOCSWINSZ, _WINDOW.pack(rows, cols, xpixel, ypixel))


def prepare(
    window: tuple[int, int, int, int], modes: Mapping[str, int | bool], env: Mapping[str, str]
) -> None:
    """Make the new terminal on stdin what the request asks for."""
    try:
        set_window(0, *window)
    except OSError:
        pass
    try:
        _set_modes(0, modes, env)
    except (OSError, termios.error):
        pass


def _set_modes(fd: int, modes: Mapping[str, int | bool], env: Mapping[str, str]) -> None:
    """The modes that came with the request, on top of a new terminal's.

    Without a word about it, IUTF8 is on in a UTF-8 locale, as terminal emulators set it: erasing takes back a whole
    character, not one of its bytes.
    """
    locale = env.get("LC_ALL") or env.get("LC_CTYPE") or env.get("LANG") or ""
    utf8 = locale.lower().replace("-", "").partition("@")[0].endswith("utf8")
    wanted = {"iutf8": True, **modes} if utf8 else modes
    if wanted:
        termios.tcsetattr(fd, termios.TCSANOW, termmodes.apply(termios.tcgetattr(fd), wanted))
