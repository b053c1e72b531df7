"""A filesystem's bad moment, seen from one process: when it began, when to try again (FORMAT.md, "Reading" 5)."""

from __future__ import annotations

from pigeon.backoff import Backoff


class ShareTrouble:
    """Tracks failing operations. `retry_at` is the monotonic second of the next attempt, 0.0 while all is well."""

    def __init__(self) -> None:
        self.retry_at = 0.0
        self.since: float | None = None
        self.error: OSError | None = None
        self._backoff = Backoff()

    def failed(self, now: float, error: OSError) -> bool:
        """An operation failed at `now`. True if it is the first of a row."""
        first = self.since is None
        if self.since is None:
            self.since = now
        self.error = error
        self.retry_at = now + self._backoff.failed()
        return first

    def succeeded(self) -> bool:
        """An operation worked. True if that ends a row of failures."""
        if self.since is None:
            return False
        self.since = None
        self.error = None
        self.retry_at = 0.0
        self._backoff.succeeded()
        return True
