"""Words, commands, durations and columns as people read them. Pure, and light enough for a client."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` for a terminal. It may name others' files and commands, whose control characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
