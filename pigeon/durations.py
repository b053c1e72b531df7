"""Durations as people write them: `90s`, `5m`, `1h30m`, `2d`. Light: the settings are read by it."""

from __future__ import annotations

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
"""Unit -> seconds."""

EXAMPLES = "`90s`, `5m`, `2h`, `2d`"
"""For messages."""


def seconds_of(text: str) -> float | None:
    """`90`, `90s`, `1.5h` or `1h30m` in seconds; None for what is no duration."""
    total, rest, has_unit = 0.0, text.strip(), False
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        letters = len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyz"))
        unit, rest = rest[:letters], rest[letters:]
        is_plain = not unit and not rest and not has_unit  # a lone number
        if not number.replace(".", "", 1).isdigit() or not (is_plain or unit in UNITS):
            return None
        total += float(number) * UNITS.get(unit, 1.0)
        has_unit = True
    return total if text.strip() else None
