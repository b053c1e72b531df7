"""The one way out to a terminal or a log: whatever pigeon says of its own goes through here, and nothing of it raw.

Names, directories, commands and errors may hold what a terminal acts upon: control characters (C0, DEL, C1), Unicode's
bidirectional controls, line ends. They are shown as escapes, as is what the encoding of the output cannot express. Only
colours that pigeon adds itself may pass, and only those (`styled`).

Light: a client may have to say something. `tests/security/test_printing.py` finds whoever goes past it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


def quote(word: str) -> str:
    """`word` as one word of a POSIX shell, whatever it holds; what needs no quotes gets none. `shlex` loads slowly."""
    if word and _PLAIN.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def visible(text: str) -> str:
    """`text` on one line, with an escape for everything that a terminal would act upon."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def visible_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(visible, text.split("\n")))


def _visible(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that is not UTF-8
    if char.isprintable():
        return char
    if char == "\N{ZERO WIDTH JOINER}":
        return char  # in the middle of emoji, and of words in several scripts
    return repr(char)[1:-1] if code < 0xD800 or code > 0xDFFF else f"\\u{code:04x}"


def styled(text: str) -> str:
    """`text` with its colours (`ESC [ … m`) as they are, and everything else visible."""
    head, *rest = text.split("\x1b[")
    shown = [visible(head)]
    for part in rest:
        digits = len(part) - len(part.lstrip("0123456789;"))
        if part[digits : digits + 1] == "m":
            shown.append(f"\x1b[{part[: digits + 1]}{visible(part[digits + 1 :])}")
        else:
            shown.append(visible("\x1b[" + part))
    return "".join(shown)


def say(
    text: str = "",
    *,
    lines: bool = False,
    colours: bool = False,
    stderr: bool = False,
    flush: bool = False,
) -> None:
    """A line on stdout (or stderr). `lines`: several. `colours`: those in it are pigeon's own.

    Raises:
        OSError: as `print`.
    """
    _write(sys.stderr if stderr else sys.stdout, text, lines=lines, colours=colours, flush=flush)


def say_fields(*fields: str) -> None:
    """A line on stdout for programs: fields with tabs between them. Raises OSError as `print`."""
    sys.stdout.write("\t".join(map(visible, fields)) + "\n")


def complain(text: str, *, lines: bool = False) -> None:
    """A line on stderr, as pigeon's own. Nobody has to be able to read it."""
    try:
        _write(sys.stderr, f"pigeon: {text}", lines=lines, colours=False, flush=True)
    except OSError:
        pass


def _write(stream: TextIO, text: str, *, lines: bool, colours: bool, flush: bool) -> None:
    show = styled if colours else visible
    shown = "\n".join(map(show, text.split("\n"))) if lines else show(text)
    stream.write(
        shown.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8") + "\n"
    )
    if flush:
        stream.flush()


def log(text: str, *, lines: bool = False, colour: str = "") -> None:
    """A line on a worker's stderr, from any of its processes. One whose terminal has gone must not mind.

    `colour`: the number of an SGR sequence (ECMA-48) round it.
    """
    shown = visible_lines(text) if lines else visible(text)
    if colour:
        shown = f"\x1b[{colour}m{shown}\x1b[0m"
    try:
        os.write(2, shown.encode("utf-8", "backslashreplace") + b"\n")
    except OSError:
        pass
