"""`pigeon worker --debug`: the key moments and previews of the bytes that move, one line each on stderr."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from pigeon import clock
from pigeon.printing import log, visible

_COLOURS = {
    "queue": "36",
    "lock": "35",
    "input": "34",
    "output": "33",
    "signal": "95",
    "success": "32",
    "failure": "31",
}
PREVIEW_BYTES = 32


def wants_colour(environ: Mapping[str, str], is_terminal: bool) -> bool:
    """NO_COLOR wins over FORCE_COLOR, which wins over what stderr and TERM say."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (is_terminal and environ.get("TERM") != "dumb")


class Debug:
    """Says things, or is silent. A terminal that has gone away is no error for a runner that outlives it."""

    def __init__(self, *, enabled: bool, environ: Mapping[str, str]) -> None:
        self.enabled = enabled
        self._colour = enabled and wants_colour(environ, os.isatty(2))

    def say(self, kind: str, text: str) -> None:
        """One line of a kind: queue, lock, input, output, signal, success or failure."""
        if not self.enabled:
            return
        line = f"{clock.utc_text()[11:23]} {kind:<7} {text}"
        log(line, colour=_COLOURS[kind] if self._colour else "")

    def bytes_of(self, session_id: str, kind: str) -> Callable[[bytes], None] | None:
        """What to call with the bytes that move; None when nobody wants to see them."""
        if not self.enabled:
            return None
        return lambda data: self.say(kind, f"{session_id}: {preview(data)}")


def tell(text: str, *, lines: bool = False) -> None:
    """A line on the worker's stderr, or several."""
    log(text, lines=lines)


def preview(data: bytes) -> str:
    """`5 bytes  68 65 6c 6c 6f  "hello"`: length, hex and text of the beginning."""
    head = data[:PREVIEW_BYTES]
    text = head.decode("utf-8", "backslashreplace")
    more = " …" if len(data) > len(head) else ""
    return f'{len(data)} bytes  {head.hex(" ")}{more}  "{visible(text)}"{more}'
