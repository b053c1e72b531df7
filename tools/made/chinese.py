"""The table of settings in Chinese: `chinese.toml` has the translations, by the English text."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def word(english: str) -> str:
    """A heading or a unit."""
    return str(_TEXTS["words"][english])


def help_of(english: str) -> str:
    """What a setting is. Raises SystemExit: it has no translation."""
    if english not in _TEXTS["help"]:
        raise SystemExit(f"docs: tools/made/chinese.toml has no translation of: {english}")
    return str(_TEXTS["help"][english])
