"""Writes configuration files: nested dictionaries to TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Settings = Mapping[str, object]


def to_toml(settings: Settings) -> str:
    """TOML with the plain keys first and one table for each nested mapping; None leaves a key out."""
    plain = [f"{key} = {_value(value)}" for key, value in settings.items() if not isinstance(value, Mapping)]
    tables = []
    for name, table in settings.items():
        if isinstance(table, Mapping):
            lines = [f"{json.dumps(str(k))} = {_value(v)}" for k, v in table.items() if v is not None]
            tables.append("\n".join([f"[{name}]", *lines]))
    return "\n".join([*plain, *tables]) + "\n"


def _value(value: object) -> str:
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value)  # strings, numbers, booleans and lists are written alike in both languages


def merged(*layers: Settings) -> dict[str, object]:
    """The layers on top of each other, tables key by key."""
    result: dict[str, object] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            result[key] = (
                merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
            )
    return result
