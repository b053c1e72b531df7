"""The order to hang a command up, as its runner gets it."""

from __future__ import annotations

import signal


class StopOrder:
    """Whether a runner has been told to hang its command up: by SIGTERM, from the moment this is made on."""

    def __init__(self) -> None:
        self.is_given = False
        signal.signal(signal.SIGTERM, self._take)

    def _take(self, _number: int, _frame: object) -> None:
        self.is_given = True
