"""A worker for one session (`pigeon worker --session`): may that be started, and when is nothing left to do?"""

from __future__ import annotations

from pigeon import clock
from pigeon.wire.worker_file import WorkerFiles
from pigeon.worker.handover import Worker
from pigeon.worker.scheduler.agenda import NEVER, Agenda
from pigeon.worker.scheduler.sessions import (
    Adopted,
    Ending,
    Incomplete,
    Orphan,
    Running,
    Sessions,
    Tried,
    Waiting,
)

VOUCH_S = 0.05
"""Between two looks for a word of who has launched this worker; it comes within a second."""

UNSEEN_S = 30.0
"""A session that this host does not see for so long is not to be had: a listing may be as old as a cache."""

SCAN_S = 5.0
"""Between two listings once the session has been found: there is nothing more to find."""

_TO_DO = (Waiting, Tried, Running, Adopted, Ending, Orphan)


class Single:
    """`session_id`: the one; None for a worker that serves all, of whom nothing here is true."""

    def __init__(self, worker: Worker, sessions: Sessions, agenda: Agenda) -> None:
        self.session_id = worker.only
        self._sessions = sessions
        self._agenda = agenda
        self._began = clock.monotonic()
        self._files = WorkerFiles(worker.namespace)
        if self.session_id is not None:  # neither a second session nor what others leave is its business
            for name in ("sweep", "standby"):
                agenda.put(name, NEVER)

    def is_served(self, now: float) -> bool:
        """Whether it has its end, is in other hands, or is not to be had."""
        if self.session_id is None:
            return False
        if self._is_unseen(self.session_id):
            return now - self._began >= UNSEEN_S
        return not isinstance(self._sessions.get(self.session_id), _TO_DO)

    def _is_unseen(self, session_id: str) -> bool:
        return isinstance(self._sessions.get(session_id), Incomplete | None)

    def scan_pause_s(self, wait_s: float) -> float:
        """Seconds to the next listing, where a worker that serves all would wait for `wait_s`."""
        return wait_s if self.session_id is None or self._is_unseen(self.session_id) else SCAN_S

    @property
    def _waits(self) -> bool:
        if self.session_id is None:
            return False
        return any(one.needs_sign_of_life for one in self._sessions.candidates())

    def ask(self, now: float) -> None:
        """Who has launched this worker knows whether the session's client lives, and says so in its file."""
        if self._waits:
            self._agenda.run("vouch", now, VOUCH_S, self._ask)

    def _ask(self) -> None:
        self._files.look(clock.monotonic())
        workers = (self._files.workers[name] for name in self._files.beating)
        if any(worker.launch_of(self.session_id or "") is not None for worker in workers):
            for candidate in self._sessions.candidates():
                candidate.needs_sign_of_life = False
            self._agenda.put_now("decide")

    @property
    def due(self) -> float:
        """Monotonic seconds of the next look for that."""
        return self._agenda.due("vouch") if self._waits else NEVER
