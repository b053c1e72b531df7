"""How the user's terminal is set when he starts a command, for the request. Imported for a session with a terminal."""

from __future__ import annotations

import termios

from pigeon.client.tty import in_foreground
from pigeon.wire import termmodes


def tty_settings(fd: int = 0) -> dict[str, int | bool]:
    """The keys and switches of that terminal, as they are: to be asked before anybody makes it raw.

    Nothing in the background: what is set there belongs to whoever has the foreground, a shell's line editor mostly.
    """
    if not in_foreground(fd):
        return {}
    try:
        return termmodes.of(termios.tcgetattr(fd))
    except termios.error:
        return {}  # the terminal has gone
