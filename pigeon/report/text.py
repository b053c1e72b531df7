"""Tables for people: aligned columns, cut to the terminal's width, control characters never printed raw."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Sequence

USUAL_SHELL = ["bash", "-lc"]
"""What pigeon puts before a text."""


def typed(argv: Sequence[str]) -> str:
    """A command as it was typed: the text, or the words, quoted. Who wrote a shell himself wants to see that he did."""
    if len(argv) == 3 and list(argv[:2]) == USUAL_SHELL:
        return argv[2]
    return shlex.join(argv)


def clean(text: str) -> str:
    """`text` on one line, control characters and what cannot be encoded shown as escapes."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def cut(text: str, columns: int) -> str:
    """`text` in at most `columns` columns, with an ellipsis if something is missing."""
    if width(text) <= columns:
        return text
    kept, used = "", 0
    for c in text:
        used += width(c)
        if used > columns - 1:
            break
        kept += c
    return kept + "…"


def terminal_columns() -> int | None:
    """The width to cut to; None when stdout is no terminal and COLUMNS is not set."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their content; the last one gets what is left of the line."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(width(header[i]), *(width(row[i]) for row in cleaned), 0) for i in range(len(header) - 1)]
    columns = terminal_columns()
    for row in [list(header), *cleaned]:
        line = "  ".join(cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(row[:-1]))
        line = f"{line}  {row[-1]}"
        print(cut(line, columns) if columns else line)
