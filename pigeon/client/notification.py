"""The bell, and a desktop notification (OSC 9, as iTerm2, kitty, WezTerm and others show it), at a command's end."""

from __future__ import annotations

import os

from pigeon.printing import visible
from pigeon.text import duration

COMMAND_CHARACTERS = 60


def ring(words: list[str], took_s: float, code: int) -> None:
    """Tell the terminal on stderr, if it is one, that the command has ended. Never raises."""
    command = visible(" ".join(words) or "a shell")[:COMMAND_CHARACTERS]
    how = "is done" if code == 0 else f"has ended with {code}"
    try:
        if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb":
            os.write(2, f"\x1b]9;pigeon: {command} {how} ({duration(took_s)})\x1b\\\a".encode())
    except OSError:
        pass  # the terminal has gone
