"""The journal's record of sessions that wait, and for what; for those who look later why something took so long.

It is never worth a worker: while the journal fails nothing is tried, and what could not be written is written later.
"""

from __future__ import annotations

from collections.abc import Iterable

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal.connection import may_pass
from pigeon.journal.store import Journal
from pigeon.worker.handover import Worker
from pigeon.worker.scheduler.outage import Outage
from pigeon.worker.scheduler.sessions import Candidate

RECORDED_WAIT_S = 1.0
"""A wait longer than this goes into the journal while it lasts."""


class WaitRecorder:
    """Which waits are written down and still open. `outage`: the journal's, which others may have met before."""

    def __init__(self, worker: Worker, outage: Outage) -> None:
        self._worker = worker
        self._outage = outage
        self._recorded: set[tuple[str, str]] = set()
        self._ended: dict[tuple[str, str], float] = {}
        """Those of them that are over, after so many seconds, which the journal does not know yet."""

    def record(self, waiting: Iterable[Candidate], now: float) -> None:
        """Write down waits that last, and ends that could not be written before.

        Raises:
            JournalError: the journal is damaged.
        """
        lasting = [
            w
            for w in waiting
            if w.reason is not None
            and now - w.reason_since > RECORDED_WAIT_S
            and (w.session_id, w.reason) not in self._recorded
        ]
        if lasting or self._ended:
            self._write(lasting, now)

    def close(self, waiting: Candidate) -> None:
        """The session waits no more. Raises JournalError as `record`."""
        mine = [key for key in self._recorded if key[0] == waiting.session_id]
        if mine:
            self._ended.update({key: waiting.waited.get(key[1], 0.0) for key in mine})
            self._write([], 0.0)

    def _write(self, lasting: Iterable[Candidate], now: float) -> None:
        if self._outage.is_on:
            return  # each try may take as long as SQLite waits, and the loop that looks for dead runners tries anyhow
        try:
            with Journal.open(self._worker.journal_path, brief=True) as journal:
                self._write_to(journal, lasting, now)
        except JournalError as error:
            if not may_pass(error):
                raise
            self._outage.fails(error.message)

    def _write_to(self, journal: Journal, lasting: Iterable[Candidate], now: float) -> None:
        for key, waited in list(self._ended.items()):
            session_id, reason = key
            journal.end_wait(session_id, self._worker.worker_id, reason, waited)
            del self._ended[key]
            self._recorded.discard(key)
        for w in lasting:
            reason = w.reason or ""
            since = clock.wall() - (now - w.reason_since)
            journal.begin_wait(w.session_id, self._worker.worker_id, reason, w.behind, since)
            self._recorded.add((w.session_id, reason))
