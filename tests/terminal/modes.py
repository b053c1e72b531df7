"""Which modes a terminal's output has left switched on, judged without any of pigeon's own code."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    rb"\x1b(?:\[\?(?P<modes>[0-9;]+)(?P<how>[hl])"
    rb"|\[(?P<kitty>[<>])(?P<flags>[0-9]*)u"
    rb"|\[>4(?:;(?P<keys>[0-9]*))?m"
    rb"|(?P<keypad>[=>])"
    rb"|\[(?P<style>[0-9;:]*)m)"
)
_USUALLY_ON = {b"25", b"7"}
_IGNORED = {b"12"}
"""Blinking of the cursor: what is usual is the terminal's business."""


def modes_on(raw: bytes) -> dict[str, bytes]:
    """Name -> value of everything that is not as a fresh terminal has it."""
    state: dict[str, bytes] = {}
    pushed: list[bytes] = []
    for found in _SEQUENCE.finditer(raw):
        if found["modes"]:
            for mode in found["modes"].split(b";"):
                unusual = (found["how"] == b"l") == (mode in _USUALLY_ON)
                if mode not in _IGNORED:
                    _note(state, f"mode {mode.decode()}", found["how"] if unusual else b"")
        elif found["kitty"] == b">":
            pushed.append(found["flags"])
        elif found["kitty"]:
            del pushed[max(0, len(pushed) - int(found["flags"] or b"1")) :]
        elif found["keypad"]:
            _note(state, "keypad", found["keypad"].strip(b">"))
        elif found["style"] is not None:
            _note(state, "style", found["style"].strip(b"0"))
        else:
            _note(state, "other keys", (found["keys"] or b"").strip(b"0"))
    _note(state, "kitty", b",".join(pushed))
    return state


def _note(state: dict[str, bytes], name: str, value: bytes) -> None:
    if value:
        state[name] = value
    else:
        state.pop(name, None)
