"""When a runner tells that its command runs, and makes room for its end: bookkeeping that nobody waits for.

Owns that it is done once, as late as it can be and between two pieces of output; and its pace when the share refuses
it, which is not the stream's. What is to be done is the runner's (`RunnerSide.announce`).
"""

from __future__ import annotations

from collections.abc import Callable

from pigeon.backoff import Backoff
from pigeon.worker.relay.outbound import Outbound

ANNOUNCE_S = 0.02
"""A command that ends sooner was never seen to run: it goes from `pending` to its end, which saves it three writes."""

ANNOUNCE_BYTES = 256 * 1024
"""But one that has so much to say may fill the share with it, and the room for its end has to be taken before."""


class Announcement:
    """That of one session, whose command began at monotonic `now`. `next_at`: not before, unless it says much."""

    def __init__(
        self, work: Callable[[], bool], outbound: Outbound, note: Callable[..., None], now: float
    ) -> None:
        self.is_done = False
        self.next_at = now + ANNOUNCE_S
        self._work = work
        self._outbound = outbound
        self._note = note
        self._backoff = Backoff()
        self._has_failed = False

    def is_due(self, now: float) -> bool:
        """Whether to make it before the next flush."""
        if self.is_done:
            return False
        is_big = self._outbound.volume >= ANNOUNCE_BYTES
        if now < self.next_at and (not is_big or self._has_failed):
            return False
        return is_big or self._outbound.due(now) != 0.0

    def do(self, now: float) -> bool:
        """Make it, or try. False: the session has been taken over."""
        try:
            is_ours = self._work()
        except OSError as error:
            # With a pace of its own: what fails here (a new file on a full share) says nothing of the stream.
            if not self._has_failed:
                self._has_failed = True
                self._note("share_trouble", error=str(error))
            self.next_at = now + self._backoff.failed()
            return True
        self.is_done = True
        return is_ours
