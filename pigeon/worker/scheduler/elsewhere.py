"""Sessions that a worker launches instead of running them (`worker.launcher`): which ones, and what is said of them."""

from __future__ import annotations

from pigeon import clock
from pigeon.journal import states as journal_states
from pigeon.wire.names import new_token
from pigeon.worker.handover import Launch, Worker
from pigeon.worker.scheduler.agenda import NEVER, Agenda
from pigeon.worker.scheduler.runners import Runners
from pigeon.worker.scheduler.sessions import Candidate
from pigeon.worker.scheduler.waiting_clients import is_judged

NOTES_S = 0.1
"""Between two looks at what is said of them: files of this host's own."""


class Elsewhere:
    """Those of one scheduler. Costs nothing where the worker runs its sessions itself."""

    def __init__(self, worker: Worker, runners: Runners, agenda: Agenda) -> None:
        self._launches = worker.launching is not None
        self._runners = runners
        self._agenda = agenda
        self._said: list[tuple[bool, str]] = []

    def launch_of(self, candidate: Candidate) -> Launch | None:
        """How it is run elsewhere; None if it runs here, as questions to this very worker and refusals do."""
        if not self._launches or candidate.request.verb is not None:
            return None
        row = candidate.row
        if row is not None:
            judges = row.state != journal_states.LAUNCHED and is_judged(candidate)
            return Launch(row.claim_token, judges) if row.launcher is not None else None
        return Launch(new_token(), is_judged(candidate)) if candidate.refusal is None else None

    def hear(self, now: float) -> None:
        """If what is said of them has changed, everybody hears of it at once: a worker that has just come up, too."""
        if self._launches:
            self._agenda.run("notes", now, NOTES_S, self._hear)

    def _hear(self) -> None:
        found = [(one.is_open, one.says) for one in self._runners.launched(clock.monotonic())]
        if found != self._said:
            self._said = found
            self._agenda.put_now("beat")

    @property
    def due(self) -> float:
        """Monotonic seconds of the next look."""
        return self._agenda.due("notes") if self._said else NEVER
