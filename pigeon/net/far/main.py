"""The process on the worker's host, from its start to its end (`pigeon net --far`, which only a worker starts)."""

from __future__ import annotations

import os
import queue
import threading
from dataclasses import asdict

from pigeon.errors import PigeonError
from pigeon.net.far.ledger import Destination, Ledger
from pigeon.net.far.rules import from_text
from pigeon.net.far.serve import Far
from pigeon.net.policy import Policy

LAST_S = 5.0
"""At the end the journal is waited for so long."""


def serve(rules_text: str, session_id: str, journal: str) -> int:
    """Lend the network over stdin and stdout. Raises PigeonError where this worker does not."""
    rules = from_text(rules_text)
    if not rules.lends:
        raise PigeonError(
            "this worker lends no network (`net = false`)",
            hint="another worker may; `pigeon net` tries again",
        )
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # nothing that is printed by accident gets among the frames
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    clerk = _Clerk(session_id, journal) if rules.history else None

    def write_down(ledger: Ledger) -> None:
        changed = ledger.changed()
        if clerk is not None and changed:
            clerk.give(changed)

    Far(reading, writing, Policy(rules.permit, rules.deny), write_down).run()
    if clerk is not None:
        clerk.finish()
    return 0


class _Clerk:
    """Writes to the journal in a thread of its own: SQLite may wait for somebody, and bytes must go on moving."""

    def __init__(self, session_id: str, journal: str) -> None:
        self._session_id, self._journal = session_id, journal
        self._given: queue.SimpleQueue[list[Destination] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def give(self, changed: list[Destination]) -> None:
        """Write these down."""
        self._given.put(changed)

    def finish(self) -> None:
        """Everything has been given."""
        self._given.put(None)
        self._thread.join(LAST_S)

    def _work(self) -> None:
        from pigeon.journal import destinations
        from pigeon.journal.connection import ERRORS

        unwritten: dict[tuple[str, int], Destination] = {}
        while True:
            changed = self._given.get()
            unwritten.update({(one.host, one.port): one for one in changed or ()})
            try:
                if unwritten:
                    rows = [
                        destinations.Destination(self._session_id, **asdict(o)) for o in unwritten.values()
                    ]
                    destinations.write(self._journal, rows)
                    unwritten.clear()
            except ERRORS:
                pass  # with the next ones: they are totals, so nothing is lost meanwhile
            if changed is None:
                return
