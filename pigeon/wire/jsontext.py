"""Compact JSON without the cost of importing `json`.

Every pigeon command pays for what its client imports, and `json` brings `re` and `enum` (6 ms, a quarter of a
`pigeon true`). CPython's `json` is a thin wrapper round the C accelerators used here; where they are missing or have
changed, `json` itself serves.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


CHECKS = os.environ.get("PIGEON_DEBUG") == "1"
"""Whatever is written to the share is read back first; for those who work on pigeon."""


def _refuse_constant(name: str) -> float:
    raise ValueError(f"`{name}` is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0.0:
        raise ValueError(f"{text[:40]} is beyond all numbers")
    return value


class _ScannerSettings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = staticmethod(_finite)
    parse_int = int
    parse_constant = staticmethod(_refuse_constant)


def _accelerated() -> tuple[Callable[[object], str], Callable[[str], object]]:
    import _json

    encoder = _json.make_encoder(
        None, _refuse_object, _json.encode_basestring_ascii, None, ":", ",", True, False, False
    )
    scan = _json.make_scanner(_ScannerSettings)  # type: ignore[arg-type]  # stubs want json's own class

    def to_text(value: object) -> str:
        return "".join(encoder(value, 0))

    def from_text(text: str) -> object:
        text = text.strip(" \t\r\n")
        try:
            value, end = scan(text, 0)
        except StopIteration:
            raise ValueError("not JSON") from None
        if end != len(text):
            raise ValueError(f"not JSON after character {end}")
        return value

    if to_text({"b": 1, "a": [None, "\udc80é"]}) != r'{"a":[null,"\udc80\u00e9"],"b":1}':
        raise ImportError("the accelerators have changed")
    return to_text, from_text


def _refuse_object(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _plain() -> tuple[Callable[[object], str], Callable[[str], object]]:
    import json

    def to_text(value: object) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def from_text(text: str) -> object:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)

    return to_text, from_text


try:
    _to_text, _from_text = _accelerated()
except (ImportError, TypeError, AttributeError):  # another Python than the ones this was written for
    _to_text, _from_text = _plain()


def encode(value: object) -> bytes:
    """Compact ASCII JSON with sorted keys (FORMAT.md, "Encoding"). Lone surrogates become `\\udc80` escapes."""
    text = _to_text(value)
    if CHECKS:
        again = _to_text(_from_text(text))
        assert again == text, f"what was written reads back as something else: {text[:200]!r}"
    return text.encode("ascii")


def decode(data: bytes | str) -> object:
    """The value of one JSON text.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return _from_text(data if isinstance(data, str) else data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except SystemError:
        # Before 3.12 the accelerator finds no error to raise where nobody has loaded `json`, whose class it is.
        raise ValueError("not JSON") from None
