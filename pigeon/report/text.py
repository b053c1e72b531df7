"""Tables for people: aligned columns, cut to the terminal's width, control characters never printed raw."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from pigeon.printing import visible as clean
from pigeon.text import cut, width

__all__ = ["clean", "print_table", "terminal_columns"]


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
