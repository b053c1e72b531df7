"""Escapes at the start of a line, as ssh has them. Pure."""

from __future__ import annotations

HANG_UP = "hang up"
DETACH = "detach"
SUSPEND = "suspend"
HELP = "help"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_ACTIONS = {ord("."): HANG_UP, ord("d"): DETACH, 0x1A: SUSPEND, ord("?"): HELP}


_BYTES = [bytes([byte]) for byte in range(256)]

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
        self._incomplete = b""
        """The beginning of a key report, of which the rest is under way."""

    def feed(self, data: bytes) -> tuple[bytes, list[str]]:
        """(bytes for the command, actions asked for, in order)."""
        if self._byte < 0:
            return data, []
        if not self._held and not self._incomplete and self._byte not in data and b"\x1b[" not in data:
            if data:
                self._at_line_start = data[-1] in b"\r\n"
            return data, []
        passed = bytearray()
        actions: list[str] = []
        for raw, key, is_repeated in self._keys(data):
            if self._held:
                if key == _NO_KEY or is_repeated:
                    self._held += raw
                    continue
                held, self._held = self._held, b""
                if key in _ACTIONS:
                    actions.append(_ACTIONS[key])
                    self._at_line_start = True
                    continue
                if key != self._byte:
                    passed += held
            elif self._at_line_start and key == self._byte:
                self._held = raw
                continue
            passed += raw
            if key != _NO_KEY:
                self._at_line_start = key in (0x0D, 0x0A)
        return bytes(passed), actions

    def _keys(self, data: bytes) -> Iterator[tuple[bytes, int, bool]]:
        """(the bytes, the byte they stand for or a negative number, whether it repeats a key held down)."""
        data = self._incomplete + data
        self._incomplete = b""
        if b"\x1b[" not in data:
            for byte in data:
                yield _BYTES[byte], byte, False
            return
        from pigeon.client import keyreports

        whole = keyreports.incomplete(data)
        data, self._incomplete = data[:whole], data[whole:]
        at = 0
        while at < len(data):
            end, key, is_repeated = keyreports.read(data, at) or (at + 1, data[at], False)
            yield data[at:end], key, is_repeated
            at = end
