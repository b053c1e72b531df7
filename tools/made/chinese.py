"""Tables in Chinese: `chinese.toml` has the translations, by the English text."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_DOCS = Path(__file__).resolve().parents[2] / "pigeon" / "docs"
_TABLE = re.compile(r"(?m)(?:^\|.*\n)+")
_CODE = re.compile(r"`[^`]*`")


def word(english: str) -> str:
    """A heading or a unit."""
    return str(_TEXTS["words"][english])


def help_of(english: str) -> str:
    """What a setting is. Raises SystemExit: it has no translation."""
    return _translated("help", english)


def table(page: str, number: int) -> str:
    """The page's table of this number (the first is 1), cell by cell. Raises SystemExit: one has no translation."""
    lines = _TABLE.findall((_DOCS / f"{page}.md").read_text(encoding="utf-8"))[number - 1].splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return "".join(f"| {' | '.join(_cell(cell.strip()) for cell in row)} |\n" for row in rows)


def _cell(english: str) -> str:
    if not re.search("[A-Za-z]", _CODE.sub("", english)):  # code says the same in every language
        return english.replace("`, `", "`、`")
    return _translated("cells", english)


def _translated(kind: str, english: str) -> str:
    if english not in _TEXTS[kind]:
        raise SystemExit(f"docs: tools/made/chinese.toml has no translation of: {english}")
    return str(_TEXTS[kind][english])
