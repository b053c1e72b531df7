"""What the session's client, and visitors, want: a signal or a window's size at once, and words for the relay.

Owns which signals have been sent, and which words nobody has answered yet. Says nothing and decides nothing: what a
word means for the session is decided in client_side.py.
"""

from __future__ import annotations

from pigeon.wire.client_records import client_event_of, signal_of
from pigeon.wire.documents import size_of
from pigeon.wire.records import CLIENT, HANGUP, RESIZE, SIGNAL, Record, type_of
from pigeon.worker.relay.command import Command

STOP = "stop"
"""What a visitor's HANGUP is called among the words: it is not the client's own."""


class Orders:
    """Those of one session. `signals`: how many have been sent to the command."""

    def __init__(self, command: Command) -> None:
        self.signals = 0
        self._command = command
        self._words: list[str] = []
        self._delivered: list[int] = []
        self._size: tuple[int, int, int, int] | None = None

    def take(self, record: Record, *, is_visitor: bool = False) -> bool:
        """Carry out, or keep, what a user has caused; False: the record is of another kind."""
        kind = type_of(record)
        if kind == SIGNAL:
            number = signal_of(record)
            if number is not None:
                self._command.send_signal(number)
                self.signals += 1
                self._delivered.append(number)
        elif kind == RESIZE:
            self._size = size_of(record) or self._size
        elif kind == CLIENT:
            word = client_event_of(record)
            if word:
                # `pigeon stop` hangs up a client that is not its own.
                self._words.append(STOP if is_visitor and word == HANGUP else word)
        else:
            return False
        return True

    def resize(self) -> None:
        """Give the command the newest of the sizes that have come."""
        if self._size is not None:
            self._command.resize(*self._size)
            self._size = None

    @property
    def is_hung_up(self) -> bool:
        """The client has said that it hangs up, and nobody has answered yet."""
        return HANGUP in self._words

    def take_words(self) -> list[str]:
        """Client events that have come since the last call, in their order."""
        words, self._words = self._words, []
        return words

    def take_delivered(self) -> list[int]:
        """Signals that the command has been sent since the last call."""
        delivered, self._delivered = self._delivered, []
        return delivered
