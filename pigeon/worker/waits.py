"""The journal's record of sessions that wait, and for what; for those who look later why something took so long."""

from __future__ import annotations

from collections.abc import Iterable

from pigeon import clock
from pigeon.journal.store import Journal
from pigeon.worker.queue import Waiting
from pigeon.worker.task import Worker

RECORDED_WAIT_S = 1.0
"""A wait longer than this goes into the journal while it lasts."""


class Waits:
    """Which waits are written down and still open."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._recorded: set[tuple[str, str]] = set()

    def record(self, waiting: Iterable[Waiting], now: float) -> None:
        """Write down waits that last."""
        lasting = [
            w
            for w in waiting
            if w.reason is not None
            and now - w.reason_since > RECORDED_WAIT_S
            and (w.session_id, w.reason) not in self._recorded
        ]
        if not lasting:
            return
        with Journal.open(self._worker.journal_path) as journal:
            for w in lasting:
                reason = w.reason or ""
                since = clock.wall() - (now - w.reason_since)
                journal.begin_wait(w.session_id, self._worker.worker_id, reason, w.behind, since)
                self._recorded.add((w.session_id, reason))

    def close(self, waiting: Waiting) -> None:
        """The session waits no more."""
        mine = [key for key in self._recorded if key[0] == waiting.session_id]
        if not mine:
            return
        with Journal.open(self._worker.journal_path) as journal:
            for key in mine:
                waited = waiting.waited.get(key[1], 0.0)
                journal.end_wait(waiting.session_id, self._worker.worker_id, key[1], waited)
                self._recorded.discard(key)
