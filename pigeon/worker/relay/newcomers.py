"""Who has come to the session since it began: attachers, of whom the newest becomes the client, and visitors."""

from __future__ import annotations

from collections.abc import Callable

from pigeon.errors import DamagedSession
from pigeon.wire.client_records import client_event_of, features_in
from pigeon.wire.documents import BULK, JOB_CONTROL
from pigeon.wire.names import SessionFiles, attachment_number
from pigeon.wire.records import VISITOR
from pigeon.wire.tail import Tail
from pigeon.worker.relay.orders import Orders

ATTACHER = "attacher"


class Newcomers:
    """Those of one session."""

    def __init__(self, session: SessionFiles, orders: Orders, note: Callable[..., None]) -> None:
        self._session = session
        self._orders = orders
        self._note = note
        self._visited: set[int] = set()
        self._seen_empty: set[int] = set()
        self._features: dict[int, tuple[str, ...]] = {}

    def newest_attacher(self, names: list[str], client: int) -> int | None:
        """The number of the one that becomes the client in place of number `client`, if any.

        A visitor's orders are carried out and change nothing else. Raises OSError: the rest of them is looked at the
        next time.
        """
        newest = None
        for number in sorted(n for n in map(attachment_number, names) if n > client):
            if number in self._visited:
                continue
            try:
                kind = self._look_at(number)
            except DamagedSession as error:
                self._note("attacher_refused", n=number, error=error.message)
                kind = VISITOR
            if kind == VISITOR:
                self._visited.add(number)
            elif kind == ATTACHER or number in self._seen_empty:
                newest = number
            else:  # it says nothing yet: it is taken for an attacher at the next turn
                self._seen_empty.add(number)
        return newest

    def takes_bulk(self, attacher: int) -> bool:
        """Whether it has said that it knows segments."""
        return BULK in self._features.get(attacher, ())

    def stops(self, attacher: int) -> bool:
        """Whether it stops when the command is stopped."""
        return JOB_CONTROL in self._features.get(attacher, ())

    def _look_at(self, number: int) -> str:
        """ATTACHER, VISITOR (its orders have been carried out), or "" if it says nothing. Raises as `Tail.poll`."""
        records = Tail(self._session.control(number), ()).poll()
        if not records:
            return ""
        if client_event_of(records[0]) != VISITOR:
            self._features[number] = features_in(records[0])
            return ATTACHER
        for record in records[1:]:
            self._orders.take(record, is_visitor=True)
        return VISITOR
