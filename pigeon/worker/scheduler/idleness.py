"""`worker.idle_exit`: when a worker has had nothing to do for so long that it leaves. Pure: seconds are arguments."""

from __future__ import annotations


class Idleness:
    """For how long there has been neither a session that runs nor one that waits."""

    def __init__(self, limit_s: float | None) -> None:
        """`limit_s`: None for a worker that stays."""
        self.limit_s = limit_s
        self._busy_at: float | None = None

    def has_lasted(self, now: float, *, is_busy: bool) -> bool:
        """Whether it has lasted for the limit, as looked at now, in monotonic seconds."""
        if is_busy or self._busy_at is None:
            self._busy_at = now
        return self.limit_s is not None and now - self._busy_at >= self.limit_s
