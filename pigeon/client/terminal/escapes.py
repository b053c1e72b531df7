"""Escapes at the start of a line, as ssh has them. Pure."""

from __future__ import annotations

HANG_UP = "hang up"
DETACH = "detach"
SUSPEND = "suspend"
HELP = "help"

_ACTIONS = {ord("."): HANG_UP, ord("d"): DETACH, 0x1A: SUSPEND, ord("?"): HELP}


PASTE_BEGINS = b"\x1b[200~"
PASTE_ENDS = b"\x1b[201~"
"""Bracketed paste (xterm's mode 2004): a terminal sends the first and the last of these around what is pasted."""

_NO_KEY = -1
"""Something came and nothing was typed (`keyreports.SILENT`)."""


def help_text(character: str, *, watches: bool = False) -> str:
    """What `~?` prints, one line each. `watches`: the session is another's to end."""
    leaving = (
        f"{character}.   stop watching; the session goes on (so do {character}d and Ctrl-C)\n"
        if watches
        else f"{character}.   hang up: end the session\n"
        f"{character}d   detach: the command goes on; `pigeon attach` comes back to it\n"
    )
    return (
        f"{leaving}"
        f"{character}^Z  suspend pigeon; the command goes on\n"
        f"{character}?   this list\n"
        f"{character}{character}   the character itself"
    )


class Escapes:
    """Splits typed bytes into what goes to the command and what pigeon has to do."""

    def __init__(self, character: str) -> None:
        """`character`: one ASCII character, `^X` for a control character, or "" to switch escapes off."""
        self.character = character
        self._byte = -1
        if character:
            self._byte = ord(character) if len(character) == 1 else ord(character[1]) ^ 0x40
        self._at_line_start = True
        self._held = b""
        """The escape character, and what is not typing that came after it."""
        self._pasted: bytes | None = None
        """The last bytes of a paste that has not ended."""
        self._seam = b""
        """What may be the beginning of a paste, and has been passed on: a lone ESC is a key, and waits for nothing."""
        self._incomplete = b""
        """The beginning of a key report, of which the rest is under way."""

    def feed(self, data: bytes) -> tuple[bytes, list[str]]:
        """(bytes for the command, actions asked for, in order)."""
        if self._byte < 0:
            return data, []
        if self._pasted is not None:
            return self._go_on_pasting(data)
        if self._seam:
            seam, self._seam = self._seam, b""
            if (seam + data).startswith(PASTE_BEGINS):
                self._pasted = b""
                return self._go_on_pasting(data)
            if PASTE_BEGINS.startswith(seam + data):
                self._seam = seam + data
                return data, []
        passed, actions = self._split(data)
        last = passed.rfind(b"\x1b", -len(PASTE_BEGINS))
        tail = passed[last:] if last >= 0 else b""
        self._seam = tail if tail != PASTE_BEGINS and PASTE_BEGINS.startswith(tail) else b""
        return passed, actions

    def _split(self, data: bytes) -> tuple[bytes, list[str]]:
        if not self._held and not self._incomplete and self._byte not in data and b"\x1b[" not in data:
            if data:
                self._at_line_start = data[-1] in b"\r\n"
            return data, []
        passed = bytearray()
        actions: list[str] = []
        data, self._incomplete = self._incomplete + data, b""
        at = escape = report = 0
        while at < len(data):
            if (
                not self._held
            ):  # what is neither is passed on as it stands, however much of it has been pasted
                escape = _position(data, bytes((self._byte,)), at, escape)
                report = _position(data, b"\x1b[", at, report)
                stop = min(escape, report)
                if stop > at:
                    passed += data[at:stop]
                    self._at_line_start = data[stop - 1] in b"\r\n"
                    at = stop
                    continue
            if not self._held and data.startswith(PASTE_BEGINS, at):
                self._pasted = b""
                rest, more = self._go_on_pasting(data[at:])
                return bytes(passed) + rest, actions + more
            end, key, is_repeated = self._key(data, at)
            if end < 0:
                self._incomplete = data[at:]
                break
            self._typed(data[at:end], key, is_repeated, passed, actions)
            at = end
        return bytes(passed), actions

    def _go_on_pasting(self, data: bytes) -> tuple[bytes, list[str]]:
        """What is pasted is text, whatever stands in it: the terminal says where it begins and ends, if asked to."""
        before = self._pasted or b""
        end = (before + data).find(PASTE_ENDS)
        if end < 0:
            self._pasted = (before + data)[1 - len(PASTE_ENDS) :]
            return data, []
        end += len(PASTE_ENDS) - len(before)
        self._pasted = None
        self._at_line_start = False
        passed, actions = self.feed(data[end:])
        return data[:end] + passed, actions

    def _typed(self, raw: bytes, key: int, is_repeated: bool, passed: bytearray, actions: list[str]) -> None:
        if self._held:
            if key == _NO_KEY or is_repeated:
                self._held += raw
                return
            held, self._held = self._held, b""
            if key in _ACTIONS:
                actions.append(_ACTIONS[key])
                self._at_line_start = True
                return
            if key != self._byte:
                passed += held
        elif self._at_line_start and key == self._byte:
            self._held = raw
            return
        passed += raw
        if key != _NO_KEY:
            self._at_line_start = key in (0x0D, 0x0A)

    def _key(self, data: bytes, at: int) -> tuple[int, int, bool]:
        """(where the key at `at` ends, the byte it stands for or a negative number, whether it is repeated).

        -1 for the end: it has not come as a whole. A lone ESC is waited upon only behind the escape character.
        """
        if data[at] != 0x1B:
            return at + 1, data[at], False
        if self._held and data[at:] in (b"\x1b", b"\x1b["):
            return -1, 0, False
        from pigeon.client.terminal import keyreports

        if keyreports.is_incomplete(data, at):
            return -1, 0, False
        return keyreports.read(data, at) or (at + 1, data[at], False)


def _position(data: bytes, wanted: bytes, at: int, known: int) -> int:
    """Where `wanted` stands next, from `at` on; the length of `data` if nowhere. `known`: the last answer."""
    if known > at:
        return known
    found = data.find(wanted, at)
    return found if found >= 0 else len(data)
