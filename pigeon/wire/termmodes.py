"""What a terminal's keys and switches are called in `terminal.modes` of request.json: the names of stty(1).

Owns the one table that both sides use; the numbers behind the names are each host's own. Settings come and go as
tcgetattr(3) gives them. Promises that whatever stands in a request, `apply` makes settings of it that tcsetattr(3)
takes: what is unknown, or of the wrong kind, changes nothing. Refuses what is no setting of a user's, but of the
program that is just reading (VMIN, VTIME) or of a line (speed, parity, character size): a session whose reads return
with nothing, or whose line is hung up (speed 0), could not be used.
"""

from __future__ import annotations

import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_CHARACTERS = {
    "intr": "VINTR",
    "quit": "VQUIT",
    "erase": "VERASE",
    "kill": "VKILL",
    "eof": "VEOF",
    "eol": "VEOL",
    "eol2": "VEOL2",
    "swtch": "VSWTC",
    "start": "VSTART",
    "stop": "VSTOP",
    "susp": "VSUSP",
    "rprnt": "VREPRINT",
    "werase": "VWERASE",
    "lnext": "VLNEXT",
    "discard": "VDISCARD",
}
CHARACTERS = {name: getattr(termios, there) for name, there in _CHARACTERS.items() if hasattr(termios, there)}
"""Name -> index among the control characters."""

_FLAGS = (
    (0, "ignbrk brkint ignpar parmrk inpck istrip inlcr igncr icrnl iuclc ixon ixany ixoff imaxbel iutf8"),
    (1, "opost olcuc onlcr ocrnl onocr onlret xtabs"),
    (3, "isig icanon xcase echo echoe echok echonl noflsh tostop echoctl echoprt echoke iexten"),
)
_IUTF8 = 0o40000
"""The same on every Linux; not in Python's `termios` before 3.14."""

FLAGS = {
    name: (place, bits)
    for place, names in _FLAGS
    for name in names.split()
    if (bits := getattr(termios, name.upper(), _IUTF8 if name == "iutf8" else 0))
}
"""Name -> which of tcgetattr's numbers, and the bits that are set there while it is on."""


def of(settings: list[Any]) -> dict[str, int | bool]:
    """The modes of a terminal with these settings."""
    modes: dict[str, int | bool] = {}
    for name, (place, bits) in FLAGS.items():
        modes[name] = settings[place] & bits == bits
    for name, index in CHARACTERS.items():
        key = settings[6][index]
        if isinstance(key, bytes):  # a number stands where VMIN or VTIME have the place of a key
            modes[name] = key[0]
    return modes


def apply(settings: list[Any], modes: Mapping[str, object]) -> list[Any]:
    """`settings` with these modes."""
    changed = [*settings[:6], list(settings[6])]
    for name, value in modes.items():
        if isinstance(value, bool):
            place, bits = FLAGS.get(name, (0, 0))
            changed[place] = changed[place] | bits if value else changed[place] & ~bits
        elif isinstance(value, int) and 0 <= value < 256 and name in CHARACTERS:
            changed[6][CHARACTERS[name]] = bytes([value])
    return changed
