"""The tables of README.md that programs make: each stands between two markers that bear its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

_README = Path(__file__).with_name("README.md")


def table(headings: Iterable[str], rows: Mapping[str, Iterable[str]]) -> str:
    """Markdown: a column for each heading, and before them one for the rows' names."""
    columns = list(headings)
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    return "\n".join(lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()])


def put(name: str, text: str) -> None:
    """Replace what stands between the markers of that name, which must be there once each."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = _README.read_text().split(begin)
    _, after = rest.split(end)
    _README.write_text(f"{before}{begin}\n{text}\n{end}{after}")
