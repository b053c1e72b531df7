"""Whether one session has its directory: locked by itself, or by a session of the same job."""

from __future__ import annotations

from pigeon.wire import files
from pigeon.wire.names import CLAIM_NAME
from pigeon.wire.reading import known_status
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.proof import ProofOfLife
from pigeon.worker.runner.held_directory import HeldDirectory, try_hold


class DirectoryHold:
    """`lock`: what this session has locked itself; None while it has nothing, or needs nothing."""

    def __init__(self, worker: Worker, task: Assignment) -> None:
        self.lock: HeldDirectory | None = None
        self._worker = worker
        self._task = task

    def take(self, proof: ProofOfLife) -> bool:
        """Before the session is tried. False: another has the directory. Raises OSError: it cannot be said."""
        if not self._task.request.locks or self._task.refusal is not None:
            return True
        self._try_lock(proof)
        return self.lock is not None or self._has_companion()

    def keep(self, proof: ProofOfLife) -> None:
        """Take the lock that a companion had, once it is free: so the directory stays held until the job is done."""
        if self.lock is None and self._task.beside:
            try:
                self._try_lock(proof)
            except OSError:
                pass  # at the next turn

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the command is to inherit."""
        return self.lock.descriptors if self.lock is not None else ()

    def is_lost(self) -> bool:
        """Whether the server has dropped the lock."""
        return self.lock is not None and self.lock.is_lost()

    def release(self) -> None:
        """Free the directory."""
        if self.lock is not None:
            self.lock.release()
            self._worker.debug.say("lock", f"{self._task.session_id}: freed {self._task.request.cwd}")

    def _try_lock(self, proof: ProofOfLife) -> None:
        cwd = self._task.request.cwd
        self.lock = try_hold(self._worker.namespace, cwd, self._worker.lock_mode)
        if self.lock is not None:
            self._worker.debug.say("lock", f"{self._task.session_id}: holds {cwd}")
            if self.lock.leads_to != cwd:
                proof.note_directory(self.lock.leads_to)

    def _has_companion(self) -> bool:
        """Whether a session of the same job has the directory: it has locked it before its claim, and frees it once its
        end is told. Then it may be a stranger who has it."""
        for session_id in self._task.beside:
            session = self._worker.namespace.session(session_id)
            try:
                is_claimed = CLAIM_NAME in files.list_names(session.directory)
            except FileNotFoundError:
                continue
            status = known_status(session) if is_claimed else None
            if is_claimed and not (status is not None and status.is_final):
                return True
        return False
