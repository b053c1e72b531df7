"""Escapes at the start of a line, as ssh has them. Pure."""

from __future__ import annotations

HANG_UP = "hang up"
DETACH = "detach"
SUSPEND = "suspend"
HELP = "help"

_ACTIONS = {ord("."): HANG_UP, ord("d"): DETACH, 0x1A: SUSPEND, ord("?"): HELP}


def help_text(character: str) -> str:
    """What `~?` prints, one line each."""
    return (
        f"{character}.   hang up: end the session\n"
        f"{character}d   detach: the command goes on; `pigeon attach` comes back to it\n"
        f"{character}^Z  suspend pigeon; the command goes on\n"
        f"{character}?   this list\n"
        f"{character}{character}   the character itself"
    )


class Escapes:
    """Splits typed bytes into what goes to the command and what pigeon has to do."""

    def __init__(self, character: str) -> None:
        """`character`: one ASCII character, or "" to switch escapes off."""
        self.character = character
        self._byte = ord(character) if character else -1
        self._at_line_start = True
        self._pending = False

    def feed(self, data: bytes) -> tuple[bytes, list[str]]:
        """(bytes for the command, actions asked for, in order)."""
        if self._byte < 0:
            return data, []
        if not self._pending and self._byte not in data:
            if data:
                self._at_line_start = data[-1] in b"\r\n"
            return data, []
        passed = bytearray()
        actions = []
        for byte in data:
            if self._pending:
                self._pending = False
                if byte in _ACTIONS:
                    actions.append(_ACTIONS[byte])
                    self._at_line_start = True
                    continue
                if byte != self._byte:
                    passed.append(self._byte)
            elif self._at_line_start and byte == self._byte:
                self._pending = True
                continue
            passed.append(byte)
            self._at_line_start = byte in b"\r\n"
        return bytes(passed), actions
