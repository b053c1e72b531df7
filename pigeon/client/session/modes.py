"""What a program has switched on in the user's terminal, so that an abnormal end can switch it off again.

Follows the output and sends nothing that is not needed (xterm's ctlseqs, kitty's keyboard protocol). Counts, besides,
the questions that the output asks the terminal: their answers must not reach the shell. Imported when a session has a
terminal and its output holds an escape.
"""

from __future__ import annotations

import re

_BEHIND_ESC = (
    rb"\x1b(?:\[([?<>=!]?)([0-9;:]*)([ $\"']?)([hlsrumqpncxt])"  # CSI: private marker, parameters, intermediate, final
    rb"|([=>cZ])|\(([0-9A-Z])"
    rb"|\]([0-9]+);?([^\x07\x1b\x9c]*)(?=[\x07\x1b\x9c])|(P[+$]q|_G))"
)
# Where no shift stands in the output, as mostly, the search can leap from one ESC to the next: ten times as fast.
_SEQUENCE = re.compile(_BEHIND_ESC + rb"|([\x0e\x0f])")
_ESC_SEQUENCE = re.compile(_BEHIND_ESC + rb"()")
_TAIL = re.compile(rb"\x1b(?:\[[?<>=!]?[0-9;:]*[ $\"']?|\(|P[+$]?|_|\][0-9]*;?[^\x07\x1b\x9c]{0,200})?\Z")
_ASKING_STRING = re.compile(rb"\x1b(?:P[+$]q|_G[^;\x1b]*a=q)[^\x1b]*(?:\x1b\\)?")
TAIL_BYTES = 256

RESET_MARGINS = b"\x1b7\x1b[r\x1b8"
"""Setting margins moves the cursor."""

# DEC private modes that are usually off, in the order in which they are to be switched off.
_MOUSE = (b"9", b"1000", b"1001", b"1002", b"1003", b"1005", b"1006", b"1015", b"1016")
_OTHERS = (b"1", b"5", b"6", b"66", b"1004", b"2004", b"2026", b"2031", b"2048")
_ALTERNATE = (b"47", b"1047", b"1049")
_FOLLOWED = frozenset((*_MOUSE, *_OTHERS, *_ALTERNATE))

# OSC that sets a colour -> what sets it back.
_COLOURS = {b"4": b"104", b"10": b"110", b"11": b"111", b"12": b"112"}

_REPORTS = {b"n", b"c", b"x"}
_WINDOW_REPORTS = {b"11", b"13", b"14", b"15", b"16", b"18", b"19", b"20", b"21"}


def without_questions(data: bytes) -> bytes:
    """`data`, to be shown again: without what asks the terminal something, and without what `Modes.apply` repeats.

    The answers to questions of long ago would be input that the program does not expect.
    """
    data = _ASKING_STRING.sub(b"", data)
    return _SEQUENCE.sub(lambda match: b"" if _is_to_be_left_out(match) else match.group(), data)


def _is_to_be_left_out(match: re.Match[bytes]) -> bool:
    prefix, parameters, between, final, single, _, _, text, _, _ = match.groups()
    if final:
        stacked = final == b"u" and bool(prefix)
        return stacked or _is_question(prefix, parameters, between, final)
    return single == b"Z" or (text is not None and (text == b"?" or text.endswith(b";?")))


def _is_question(prefix: bytes, parameters: bytes, between: bytes, final: bytes) -> bool:
    if between:
        return between == b"$" and final == b"p"
    if final in _REPORTS:
        return not (prefix == b">" and final == b"n")
    if final == b"q":
        return prefix == b">"
    return final == b"t" and not prefix and parameters.split(b";")[0] in _WINDOW_REPORTS


class Modes:
    """The state of the terminal as the output has left it."""

    def __init__(self) -> None:
        self.questions = 0
        """How often the output has asked the terminal something."""
        self._tail = b""
        self._forget()

    def _forget(self) -> None:
        self._on: set[bytes] = set()
        self._kept: set[bytes] = set()
        # The normal and the alternate screen have a stack of keyboard flags each.
        self._kitty: dict[bool, list[bytes]] = {False: [], True: []}
        self._modify_keys = b""
        self._cursor_hidden = False
        self._cursor_shaped = False
        self._no_wrap = False
        self._inserting = False
        self._keypad = False
        self._styled = False
        self._line_drawing = False
        self._shifted_out = False
        self._margins = b""
        self._colours: set[bytes] = set()

    def feed(self, data: bytes) -> None:
        """Follow a piece of output; sequences may be split anywhere."""
        data = self._tail + data if self._tail else data
        self._tail = b""
        shifts = b"\x0e" in data or b"\x0f" in data
        last = data.rfind(b"\x1b")
        if last < 0 and not shifts:
            return
        for match in (_SEQUENCE if shifts else _ESC_SEQUENCE).finditer(data):
            prefix, parameters, between, final, single, charset, osc, text, asks, shift = match.groups()
            if final == b"m" and not prefix and not between:  # by far the most frequent
                self._styled = parameters not in (b"", b"0")
            elif final:
                self._follow_csi(prefix, parameters, between, final)
            elif single:
                self._follow_single(single)
            elif charset:
                self._line_drawing = charset == b"0"
            elif osc:
                self._follow_osc(osc, text)
            elif asks:
                self.questions += 1
            else:
                self._shifted_out = shift == b"\x0e"
        if last >= 0 and len(data) - last <= TAIL_BYTES and _TAIL.match(data, last):
            self._tail = data[last:]

    def _follow_csi(self, prefix: bytes, parameters: bytes, between: bytes, final: bytes) -> None:
        plain = not prefix and not between
        if final in b"hl" and not between:
            self._follow_mode(prefix, parameters.split(b";"), final == b"h")
        elif final in b"sr" and prefix == b"?":
            self._follow_kept(set(parameters.split(b";")) & _FOLLOWED, restored=final == b"r")
        elif final == b"u" and prefix in b"<>=?" and prefix:
            self._follow_kitty(prefix, parameters)
        elif final == b"m" and prefix == b">":
            what, _, value = parameters.partition(b";")
            if what in (b"4", b""):
                self._modify_keys = b"" if value in (b"", b"0") else value
        elif final == b"q" and between == b" ":
            self._cursor_shaped = parameters not in (b"", b"0")
        elif final == b"r" and plain:
            self._margins = b"" if parameters in (b"", b";") else parameters
        elif final == b"p" and prefix == b"!":
            self._reset_softly()
        elif _is_question(prefix, parameters, between, final):
            self.questions += 1

    def _follow_single(self, single: bytes) -> None:
        if single == b"c":
            self._forget()  # RIS resets everything
        elif single == b"Z":
            self.questions += 1
        else:
            self._keypad = single == b"="

    def _follow_mode(self, prefix: bytes, modes: list[bytes], on: bool) -> None:
        if not prefix:
            self._inserting = on if b"4" in modes else self._inserting
        elif prefix == b"?":
            for mode in modes:
                if mode == b"25":
                    self._cursor_hidden = not on
                elif mode == b"7":
                    self._no_wrap = not on
                elif mode in _FOLLOWED:
                    (self._on.add if on else self._on.discard)(mode)

    def _follow_kept(self, modes: set[bytes], *, restored: bool) -> None:
        """XTSAVE and XTRESTORE: what has not been kept counts as usual, which is off."""
        source, target = (self._kept, self._on) if restored else (self._on, self._kept)
        target -= modes
        target |= modes & source

    def _follow_kitty(self, prefix: bytes, parameters: bytes) -> None:
        flags, _, how = parameters.partition(b";")
        stack = self._kitty[not self._on.isdisjoint(_ALTERNATE)]
        if prefix == b"?":
            self.questions += 1
        elif prefix == b">":
            stack.append(flags)
            del stack[:-16]
        elif prefix == b"<":
            count = int(flags[:3]) if flags.isdigit() else 1
            del stack[max(0, len(stack) - count) :]
        elif stack:
            stack[-1] = flags if how in (b"", b"1") else stack[-1]
        elif flags not in (b"", b"0"):
            stack.append(flags)  # set without having been pushed: popping resets it, too

    def _follow_osc(self, number: bytes, text: bytes) -> None:
        if text == b"?" or text.endswith(b";?"):
            self.questions += 1
        elif number in _COLOURS:
            self._colours.add(number)
        else:
            for colour, back in _COLOURS.items():
                if number == back:
                    self._colours.discard(colour)

    def _reset_softly(self) -> None:
        self._on -= {b"1", b"6", b"66"}
        self._cursor_hidden = self._inserting = self._keypad = self._styled = False
        self._no_wrap = self._line_drawing = self._shifted_out = False
        self._margins = b""

    @property
    def is_full_screen(self) -> bool:
        """The alternate screen is shown."""
        return not self._on.isdisjoint(_ALTERNATE)

    @property
    def wants_redraw(self) -> bool:
        """A program that gets such a terminal back has to draw itself anew: one with margins sets them again then, as
        after each change of the window's size, and what stood on the alternate screen is lost."""
        return bool(self._margins) or self.is_full_screen

    def apply(self, *, margins: bool = False) -> bytes:
        """What switches on, on a terminal in its usual state, everything that is on now.

        `margins`: also those. Not where the program is made to draw itself again by a change of the window's size: at
        each of those a terminal forgets them, programs count on that, and stale ones spoil what is drawn then.
        """
        on = b"".join(b"\x1b[>%su" % flags for flags in self._kitty[False])
        on += b"".join(b"\x1b[?%sh" % mode for mode in (*_ALTERNATE, *_OTHERS, *_MOUSE) if mode in self._on)
        on += b"".join(b"\x1b[>%su" % flags for flags in self._kitty[True]) if self.is_full_screen else b""
        if self._modify_keys:
            on += b"\x1b[>4;%sm" % self._modify_keys
        if self._margins and margins:
            on += b"\x1b[%sr" % self._margins
        on += b"\x1b[?7l" if self._no_wrap else b""
        on += b"\x1b[4h" if self._inserting else b""
        on += b"\x1b=" if self._keypad else b""
        on += b"\x1b[?25l" if self._cursor_hidden else b""
        on += b"\x1b(0" if self._line_drawing else b""
        return on + (b"\x0e" if self._shifted_out else b"")

    def forget_margins(self) -> bytes:
        """What undoes the margins, as a change of the window's size does, which is to follow."""
        off = RESET_MARGINS if self._margins else b""
        self._margins = b""
        return off

    def reset(self) -> bytes:
        """What switches off everything that is on now; empty if nothing is."""
        off = b""
        if self._modify_keys:
            off += b"\x1b[>4m"
        if self.is_full_screen and self._kitty[True]:
            off += b"\x1b[<%du" % len(self._kitty[True])
        normal = b"\x1b[<%du" % len(self._kitty[False]) if self._kitty[False] else b""
        if not self.is_full_screen:
            off += normal
        if self._margins:
            off += RESET_MARGINS
        for mode in (*_MOUSE, *_OTHERS, *_ALTERNATE):
            if mode in self._on:
                off += b"\x1b[?%sl" % mode
        if self.is_full_screen:
            off += normal
        off += b"\x1b[4l" if self._inserting else b""
        off += b"\x1b[?7h" if self._no_wrap else b""
        off += b"\x1b>" if self._keypad else b""
        off += b"\x0f" if self._shifted_out else b""
        off += b"\x1b(B" if self._line_drawing else b""
        off += b"\x1b[?25h" if self._cursor_hidden else b""
        off += b"\x1b[0 q" if self._cursor_shaped else b""
        off += b"".join(b"\x1b]%s\x1b\\" % _COLOURS[number] for number in sorted(self._colours))
        return off + (b"\x1b[m" if self._styled else b"")
