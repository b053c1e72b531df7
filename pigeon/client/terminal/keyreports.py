"""What one key report of the terminal stands for, where a program has switched such reports on. Pure.

kitty's keyboard protocol (`CSI code:shifted:base ; modifiers:event ; text u`), and xterm's modifyOtherKeys (the same
with only a code and modifiers, or `CSI 27 ; modifiers ; code ~`).
"""

from __future__ import annotations

MAX_BYTES = 64
"""No report is longer."""

SILENT = -1
"""A key that was let go, or a modifier by itself: nothing has been typed."""

OTHER = -2
"""A key that no byte stands for."""

REPEAT = 2
RELEASE = 3

_PARAMETERS = frozenset(b"0123456789:;")
_FINALS = frozenset(b"ABCDEFHPQSu~")
_SHIFT = 1
_CTRL = 4
_LOCKS = 64 | 128  # Caps Lock and Num Lock
_KEYPAD_ENTER = 57414
_MODIFIERS = frozenset((*range(57358, 57361), *range(57441, 57455)))


def read(data: bytes, start: int) -> tuple[int, int, bool] | None:
    """(where the report at `start` ends, the byte that it stands for, SILENT or OTHER, whether a held key repeats it).

    None: no report stands there.
    """
    end = _end_of_parameters(data, start)
    if end < 0 or end == len(data) or data[end] not in _FINALS:
        return None
    fields = [field.split(b":") for field in data[start + 2 : end].split(b";")]
    final = data[end]
    modifiers, event = _number(fields, 1, 0) or 1, _number(fields, 1, 1)
    if event == RELEASE:
        return end + 1, SILENT, False
    held = (modifiers - 1) & ~_LOCKS
    meaning = OTHER
    if final == ord("u"):
        meaning = _meaning(_number(fields, 0, 0), _number(fields, 0, 1), _number(fields, 2, 0), held)
    elif final == ord("~") and len(fields) == 3 and _number(fields, 0, 0) == 27:
        meaning = _meaning(_number(fields, 2, 0), 0, 0, held)
    return end + 1, meaning, event == REPEAT


def is_incomplete(data: bytes, start: int) -> bool:
    """Whether a report begins at `start` of which only a part has come. A typed ESC is not waited upon."""
    return _end_of_parameters(data, start) == len(data)


def _end_of_parameters(data: bytes, start: int) -> int:
    """-1 where no sequence begins whose first parameter is a number."""
    at = start + 2
    if data[start:at] != b"\x1b[" or not data[at : at + 1].isdigit():
        return -1
    limit = min(len(data), start + MAX_BYTES)
    while at < limit and data[at] in _PARAMETERS:
        at += 1
    return at if at < start + MAX_BYTES else -1


def _number(fields: list[list[bytes]], field: int, part: int) -> int:
    """0 where it is left out."""
    if len(fields) <= field or len(fields[field]) <= part:
        return 0
    return int(fields[field][part] or b"0")


def _meaning(code: int, shifted: int, text: int, held: int) -> int:
    if code in _MODIFIERS:
        return SILENT
    if code == _KEYPAD_ENTER and not held:
        return 13
    if held == _CTRL and (0x40 <= code < 0x60 or 0x61 <= code <= 0x7A):
        return code & 0x1F
    if held & ~_SHIFT:
        return OTHER
    if held:
        code = shifted or (code - 0x20 if 0x61 <= code <= 0x7A else code)
    code = text or code
    return code if 0 < code < 0x80 else OTHER
