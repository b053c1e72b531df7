"""Which modes a program has switched on in the user's terminal, so that an abnormal end can switch them off again.

Follows the output; sends nothing that is not needed (xterm's ctlseqs, kitty's keyboard protocol). Imported when a
session has a terminal and its output holds an escape.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(rb"\x1b\[([?<>=]?)([0-9;:]*)([hlumq])|\x1b([=>c])")
_TAIL = re.compile(rb"\x1b(\[[?<>=]?[0-9;:]*)?$")

# DEC private modes that programs leave on, in the order in which they are to be switched off.
_MOUSE = (b"9", b"1000", b"1001", b"1002", b"1003", b"1005", b"1006", b"1015", b"1016")
_OTHERS = (b"1", b"1004", b"2004", b"2026", b"2031")
_ALTERNATE = (b"47", b"1047", b"1049")


class Modes:
    """The state of the terminal as the output has left it."""

    def __init__(self) -> None:
        self._on: set[bytes] = set()
        self._kitty_flags: list[bytes] = []
        self._cursor_hidden = False
        self._keypad = False
        self._styled = False
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Follow a piece of output; sequences may be split anywhere."""
        data = self._tail + data
        for match in _SEQUENCE.finditer(data):
            prefix, parameters, final, single = match.groups()
            if single:
                self._follow_single(single)
            elif prefix == b"?" and final in b"hl":
                self._follow_private(parameters.split(b";"), final == b"h")
            elif final == b"u":
                self._follow_kitty(prefix, parameters)
            elif final == b"m" and not prefix:
                self._styled = parameters not in (b"", b"0")
        tail = _TAIL.search(data)
        self._tail = tail.group(0)[-64:] if tail else b""

    def _follow_single(self, single: bytes) -> None:
        if single == b"c":
            self.__init__()  # type: ignore[misc]  # RIS resets everything
        else:
            self._keypad = single == b"="

    def _follow_private(self, modes: list[bytes], on: bool) -> None:
        for mode in modes:
            if mode == b"25":
                self._cursor_hidden = not on
            elif mode in _MOUSE or mode in _OTHERS or mode in _ALTERNATE:
                (self._on.add if on else self._on.discard)(mode)

    def _follow_kitty(self, prefix: bytes, parameters: bytes) -> None:
        first = parameters.split(b";")[0]
        count = int(first) if first.isdigit() else 1
        if prefix == b">":
            self._kitty_flags = [*self._kitty_flags[-15:], parameters]
        elif prefix == b"<" and count > 0:
            del self._kitty_flags[-count:]

    def apply(self) -> bytes:
        """What switches on, on a terminal in its usual state, everything that is on now."""
        on = b""
        for mode in (*_ALTERNATE, *_OTHERS, *_MOUSE):
            if mode in self._on:
                on += b"\x1b[?%sh" % mode
        if self._keypad:
            on += b"\x1b="
        if self._cursor_hidden:
            on += b"\x1b[?25l"
        if self._kitty_flags:
            on += b"".join(b"\x1b[>%su" % flags for flags in self._kitty_flags)
        return on

    def reset(self) -> bytes:
        """What switches off everything that is on now; empty if nothing is."""
        off = b""
        if self._kitty_flags:
            off += b"\x1b[<%du" % len(self._kitty_flags)
        for mode in (*_MOUSE, *_OTHERS, *_ALTERNATE):
            if mode in self._on:
                off += b"\x1b[?%sl" % mode
        if self._keypad:
            off += b"\x1b>"
        if self._cursor_hidden:
            off += b"\x1b[?25h"
        if self._styled:
            off += b"\x1b[m"
        return off
