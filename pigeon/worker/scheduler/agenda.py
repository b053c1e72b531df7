"""When the scheduler does what, and what follows if the share or the journal fails meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal.connection import may_pass
from pigeon.worker.scheduler import outage
from pigeon.worker.scheduler.outage import Outage

NEVER = float("inf")


class Agenda:
    """Names what is to be done, and has the monotonic second of its next turn; at first all is due at once."""

    def __init__(self, share: Outage, journal: Outage) -> None:
        self._share = share
        self._journal = journal
        self._due: dict[str, float] = {}

    def due(self, name: str) -> float:
        """When it is due. Asked a thousand times a second while sessions come, as `run` is: hence so plain."""
        return self._due.get(name, 0.0)

    def put(self, name: str, at: float) -> None:
        """It is due at `at`, whatever was said before."""
        self._due[name] = at

    def put_before(self, name: str, at: float) -> None:
        """It is due at `at` at the latest."""
        self._due[name] = min(self.due(name), at)

    def put_now(self, name: str) -> None:
        """It is due at once."""
        self._due[name] = 0.0

    def run(self, name: str, now: float, every_s: float, action: Callable[[], None]) -> None:
        """Run `action` if it is due; a failing share or journal is told once and tried again at the next turn.

        Raises:
            JournalError: the journal is damaged.
        """
        if now < self._due.get(name, 0.0):
            return
        self._due[name] = now + every_s
        try:
            action()
            self._share.works(name)
        except OSError as error:
            self._share.fails(outage.words(error), name)
        except JournalError as error:
            if not may_pass(error):
                raise
            self._journal.fails(error.message)
            # SQLite may have waited for somebody longer than `every_s`: the rest of the loop has its turn first.
            self._due[name] = clock.monotonic() + every_s
