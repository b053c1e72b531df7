"""One client's control.jsonl: its signs of life, what it has printed, and its orders."""

from __future__ import annotations

from pigeon.errors import DamagedSession
from pigeon.wire.client_records import client_event_of
from pigeon.wire.pacing import Silence
from pigeon.wire.records import (
    ACK,
    CLIENT,
    HEARTBEAT,
    KEYS,
    RESUMED,
    SUSPENDED,
    Record,
    bulk_bytes_of,
    offset_of,
    payload_of,
    type_of,
)
from pigeon.wire.tail import StreamReader, Tail
from pigeon.worker.relay.keys import Keys
from pigeon.worker.relay.orders import Orders

AWAKE_BEATS = 3
"""A suspended client that has sent so many heartbeats since is only out of the foreground."""


class Control:
    """The file at `path`. `silence`: how long nothing has come; `keys`: what was typed for the command's terminal."""

    def __init__(self, path: str, orders: Orders, keys: Keys) -> None:
        self.looks = 0
        """How often it has been read."""
        self.silence = Silence()
        self.keys = keys
        self.tail = Tail(path, ())
        self._orders = orders
        self._is_suspended = False
        self._beats_since = 0
        self._printed: int | None = None
        self._printed_bulk = 0

    @property
    def may_be_silent(self) -> bool:
        """The client is suspended, and may have been stopped with all its processes (by a batch system, which stops
        them within seconds of their SIGTSTP)."""
        return self._is_suspended and self._beats_since < AWAKE_BEATS

    @property
    def cost_s(self) -> float:
        """What a look costs on this filesystem."""
        return self.tail.cost_s

    def poll(self, now: float) -> bool:
        """Take new records; what cannot wait is carried out. True if a user has caused any.

        Raises:
            OSError: the file could not be read now.
            DamagedSession: what stands there cannot be right.
        """
        records = poll_if_there(self.tail)
        self.looks += 1
        self.silence.looked(now, grew=self.tail.grew)
        is_caused = False
        for record in records:
            if self._orders.take(record):
                is_caused = True
            if type_of(record) == KEYS:
                self.keys.type(bytes(payload_in(record, self.tail)))
                is_caused = True
            self._note(record)
        self.keys.read(self.tail.offset)
        self._orders.resize()
        return is_caused

    def _note(self, record: Record) -> None:
        kind = type_of(record)
        if kind == ACK:
            offset = offset_of(record)
            if offset is not None:
                self._printed = max(offset, self._printed or 0)
                self._printed_bulk = max(bulk_bytes_of(record), self._printed_bulk)
        elif kind == HEARTBEAT:
            self._beats_since += 1
        elif kind == CLIENT and client_event_of(record) in (SUSPENDED, RESUMED):
            self._is_suspended = client_event_of(record) == SUSPENDED
            self._beats_since = 0

    def take_printed(self) -> tuple[int, int] | None:
        """What the client says to have printed, if it has said so since the last call: an offset in stream.jsonl, and
        payload bytes in segments."""
        if self._printed is None:
            return None
        printed, self._printed = self._printed, None
        return printed, self._printed_bulk


def payload_in(record: Record, reader: Tail | StreamReader) -> bytes | memoryview:
    """What it carries for the command. Raises DamagedSession."""
    try:
        return payload_of(record)
    except ValueError as error:
        raise DamagedSession(reader.path, reader.offset, str(error)) from None


def poll_if_there(tail: Tail | StreamReader) -> list[Record]:
    """New records. An older client may make the file later; nothing has been said there then. Raises as Tail.poll."""
    try:
        return tail.poll()
    except FileNotFoundError:
        if tail.offset:
            raise
        return []
