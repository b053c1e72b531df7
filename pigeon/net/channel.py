"""One connection's state on the stream: how far it is open, what may be sent, what may come. Pure.

Each direction ends by itself, as in TCP: END says that no more comes this way and keeps the other way open, RESET ends
both at once. The table has every step; one that it has not is our bug, or a peer's that is answered by RESET.
"""

from __future__ import annotations

from typing import Final

OPENING: Final = "opening"  # OPEN is on its way; the opener may send already
OPENING_SENT: Final = "opening, end sent"
OPENING_GOT: Final = "opening, end got"
OPEN: Final = "open"
SENT: Final = "end sent"
GOT: Final = "end got"
CLOSED: Final = "closed"

OPENED: Final = "opened"
REFUSED: Final = "refused"
END_SENT: Final = "END sent"
END_GOT: Final = "END got"
RESET: Final = "RESET"

STEPS: Final[dict[tuple[str, str], str]] = {
    (OPENING, OPENED): OPEN,
    (OPENING, REFUSED): CLOSED,
    (OPENING, END_SENT): OPENING_SENT,
    (OPENING, END_GOT): OPENING_GOT,
    (OPENING, RESET): CLOSED,
    (OPENING_SENT, OPENED): SENT,
    (OPENING_SENT, REFUSED): CLOSED,
    (OPENING_SENT, RESET): CLOSED,
    (OPENING_GOT, OPENED): GOT,
    (OPENING_GOT, REFUSED): CLOSED,
    (OPENING_GOT, RESET): CLOSED,
    (OPEN, END_SENT): SENT,
    (OPEN, END_GOT): GOT,
    (OPEN, RESET): CLOSED,
    (SENT, END_GOT): CLOSED,
    (SENT, RESET): CLOSED,
    (GOT, END_SENT): CLOSED,
    (GOT, RESET): CLOSED,
}

MAY_SEND: Final = frozenset((OPENING, OPENING_GOT, OPEN, GOT))
MAY_GET: Final = frozenset((OPENING, OPENING_SENT, OPEN, SENT))


class BadStep(ValueError):
    """A step that the table does not have."""


class Window:
    """What the peer may still send on a channel, and when it is told of more. Bytes.

    It starts small, since a reader that never reads holds that much, and grows to `most` with what the reader takes.
    """

    __slots__ = ("allowed", "size", "_taken")

    def __init__(self, size: int) -> None:
        self.size = size
        self.allowed = size
        """The peer may send so much more."""
        self._taken = 0

    @property
    def held(self) -> int:
        """Bytes that have come and were not taken yet."""
        return self.size - self.allowed - self._taken

    def came(self, count: int) -> bool:
        """The peer has sent `count`. False: more than it may."""
        self.allowed -= count
        return self.allowed >= 0

    def took(self, count: int, most: int) -> int:
        """The reader has taken `count`; the credit to grant now, 0 for not yet. At most `most` may lie here then."""
        self._taken += count
        if self._taken * 2 < self.size:
            return 0
        grown = min(max(self.size, most), self.size * 2)
        credit = self._taken + grown - self.size
        self.size, self._taken = grown, 0
        self.allowed += credit
        return credit


class Channel:
    """A connection's number and state. `credit`: bytes that may be sent."""

    __slots__ = ("number", "state", "credit", "window", "sent", "got")

    def __init__(self, number: int, credit: int, window: int) -> None:
        self.number = number
        self.state = OPENING
        self.credit = credit
        self.window = Window(window)
        self.sent = self.got = 0

    def step(self, event: str) -> None:
        """Raises BadStep."""
        try:
            self.state = STEPS[self.state, event]
        except KeyError:
            raise BadStep(f"channel {self.number} is {self.state}: {event}") from None

    @property
    def may_send(self) -> bool:
        """It is open this way, and the peer has room."""
        return self.credit > 0 and self.state in MAY_SEND

    @property
    def is_closed(self) -> bool:
        """Nothing of it goes over the stream any more."""
        return self.state == CLOSED
