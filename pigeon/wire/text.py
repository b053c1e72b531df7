"""Text as it travels, whatever the locale of either side: UTF-8, where bytes that are none are lone surrogates.

The one place that goes between a text of the share and an operating system's bytes (FORMAT.md, "Encoding").
"""

from __future__ import annotations

import os
import sys


def to_bytes(text: str) -> bytes:
    """What a text of the share means to an operating system: a path, a word, a variable.

    Raises:
        UnicodeEncodeError (a ValueError): it holds a surrogate that stands for no byte; see `is_encodable`.
    """
    return text.encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """The text by which bytes of an operating system travel."""
    return data.decode("utf-8", "surrogateescape")


def from_here(text: str) -> str:
    """The text by which something travels that Python has decoded by this process's locale."""
    return text if HERE_IS_UTF_8 else from_bytes(os.fsencode(text))


def to_here(text: str) -> str:
    """And the other way round: a text of the share as this process's Python wants it for its own calls."""
    return text if HERE_IS_UTF_8 else os.fsdecode(to_bytes(text))


def is_encodable(text: str) -> bool:
    """Whether it stands for bytes at all."""
    try:
        to_bytes(text)
    except UnicodeEncodeError:
        return False
    return True


HERE_IS_UTF_8 = sys.getfilesystemencoding() == "utf-8"
