"""Commands, durations and columns as people read them. Pure, and light enough for a client.

What must not act upon a terminal goes through `printing.visible`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USUAL_SHELL = ["bash", "-lc"]
"""What pigeon puts before a text."""

_EMOJI_STYLE = "\N{VARIATION SELECTOR-16}"
"""Makes the character before it as wide as an emoji."""


def typed(argv: Sequence[str]) -> str:
    """A command as it was typed: the text, or the words, quoted. Who wrote a shell himself wants to see that he did."""
    if len(argv) == 3 and list(argv[:2]) == USUAL_SHELL:
        return argv[2]
    from shlex import join  # 5 ms that no command waits for

    return join(argv)


def duration(seconds: float) -> str:
    """`35ms`, `3.2s`, `41s`, `3m07s`, `2h05m`, `3d04h`, `10m`: two units at most, the second only if there is one."""
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    for unit, size, lower, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}" + (f"{rest:02d}{lower}" if rest else "")
    raise AssertionError("sixty seconds are a minute")


def width(text: str) -> int:
    """Columns of a terminal that visible text takes; rather one too many than one too few."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    columns = 0
    for char in text:
        if category(char) in ("Mn", "Me"):
            columns += char == _EMOJI_STYLE
        else:
            columns += 2 if east_asian_width(char) in "WF" else 1
    return columns


def cut(text: str, columns: int, ellipsis: str = "…", *, keep_end: bool = False) -> str:
    """`text` in at most `columns` columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    room, kept = columns - len(ellipsis), []
    for char in reversed(text) if keep_end else text:
        room -= width(char)
        if room < 0:
            break
        kept.append(char)
    return ellipsis + "".join(reversed(kept)) if keep_end else "".join(kept) + ellipsis


def fold(line: str, columns: int | None, hang: int | None = None) -> list[str]:
    """`line` broken between words so that it fits; what follows stands under its text, `hang` characters in.

    Without `hang` the text is what begins behind the first gap of two blanks. A word that is too long stays whole, so
    that a path can be copied. `columns` None: nothing is broken.
    """
    if columns is None or width(line) <= columns:
        return [line]
    if hang is None:
        hang = text_begins(line)
    if hang > columns * 3 // 5:
        hang = len(line) - len(line.lstrip()) + 2
    current = line[:hang]
    margin = " " * width(current)
    lines, is_bare = [], True
    for word in line[hang:].split(" "):
        if not is_bare and width(current) + width(word) > columns:
            lines.append(current.rstrip())
            current, is_bare = margin, True
        current += f"{word} "
        is_bare = is_bare and not word
    return [*lines, current.rstrip()]


def text_begins(line: str) -> int:
    """Where the text of a line begins: behind the first gap of two blanks, or where it is indented to."""
    start = len(line) - len(line.lstrip())
    gap = line.find("  ", start)
    return start if gap < 0 else len(line) - len(line[gap:].lstrip())
