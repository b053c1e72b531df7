"""Tables for people: aligned columns, cut to the terminal's width, control characters never printed raw."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from pigeon.printing import visible as clean
from pigeon.text import cut, width

__all__ = ["clean", "table_lines", "terminal_columns"]


def terminal_columns() -> int | None:
    """The width to cut to; None when stdout is no terminal and COLUMNS is not set."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns


PATHS = ("CWD", "DIRECTORY")
"""Headings of columns whose end tells most."""

PATHS_FIRST = 6
"""They give way when another column is wider by less: of a note, such as `waits for 1b82d2fe`, all is wanted."""


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], columns: int | None) -> list[str]:
    """Columns as wide as their content, cut to `columns`, those of PATHS at their beginning.

    Where that is too narrow, the widest of the middle columns give way (to 12), so that some of the last is seen.
    """
    cleaned = [[clean(cell) for cell in row] for row in rows]
    widths = [max(width(header[i]), *(width(row[i]) for row in cleaned), 0) for i in range(len(header) - 1)]
    if columns is not None:
        last = max((width(row[-1]) for row in cleaned), default=0)
        while sum(widths) + 2 * len(widths) + min(last, columns // 4) > columns and max(widths[1:]) > 12:
            most = max(
                range(1, len(widths)), key=lambda i: widths[i] + (PATHS_FIRST if header[i] in PATHS else 0)
            )
            widths[most] -= 1
    lines = []
    for row in [list(header), *cleaned]:
        cells = [cut(cell, widths[i], keep_end=header[i] in PATHS) for i, cell in enumerate(row[:-1])]
        line = "  ".join(cell + " " * (widths[i] - width(cell)) for i, cell in enumerate(cells))
        line = f"{line}  {row[-1]}".rstrip()
        lines.append(cut(line, columns) if columns else line)
    return lines
