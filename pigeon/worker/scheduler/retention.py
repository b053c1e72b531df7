"""Everything that is kept has an end: finished sessions, stale worker files, old journal rows.

A session goes only after this worker has itself seen it final, and its control files quiet, for the retention time of
its own monotonic clock, so that no slow reader loses anything. Lock files are never removed: whoever holds one that has
been unlinked holds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from pigeon import crash
from pigeon.errors import JournalError
from pigeon.journal.store import Journal
from pigeon.wire import directories, files
from pigeon.wire.documents import BadDocument
from pigeon.wire.names import CLAIM_NAME, SessionFiles, host_and_pid, is_control, worker_id_of
from pigeon.wire.pacing import Silence
from pigeon.wire.reading import read_request
from pigeon.wire.worker_file import read_worker_file
from pigeon.worker import identity, proof
from pigeon.worker.handover import Worker
from pigeon.worker.scheduler.sessions import IGNORED, Final, Sessions, Unpublished

SWEEP_S = 10.0
"""Between two looks at what may be removed."""

SWEEP_SESSIONS = 15
"""Sessions handled in one sweep, two visits each: an idle worker stays within its budget of visits to the share."""

NET_KEEP_S = 3.0
"""What a lent network leaves on the share is nobody's to read again, and may be a gigabyte."""

PRUNE_S = 3600.0

UNPUBLISHED_S = 24 * 3600.0
"""A session's directory that nobody has published for this long is removed."""

STALE_WORKER_S = 24 * 3600.0
"""A worker file that has not changed for this long is removed; its worker writes it again if it lives."""

SETTLE_S = 60.0
"""A session's control files are first looked at this long after its end: its client has read the rest by then."""


@dataclass
class Retention:
    """Seconds that things are kept."""

    finished_s: float
    terminal_s: float
    journal_s: float


@dataclass
class _Quiet:
    """When a finished session's control files were first seen with these sizes."""

    since: float
    sizes: tuple[int, ...]
    keep_s: float


class Sweeper:
    """The slow work of one scheduler. Every method is short and gives up quietly when the share does not answer."""

    def __init__(self, worker: Worker, sessions: Sessions, retention: Retention) -> None:
        self.worker = worker
        self.sessions = sessions
        self.retention = retention
        self._quiet: dict[str, _Quiet] = {}
        self._workers: dict[str, tuple[bytes, Silence]] = {}
        self._next_prune = 0.0

    # Retention

    def sweep(self, now: float) -> None:
        """Remove what has been finished for long enough. Raises OSError when the share has a bad moment."""
        finished = self.sessions.of(Final)
        for name in self._quiet.keys() - finished.keys():
            del self._quiet[name]
        settle = min(self.retention.finished_s, self.retention.terminal_s, SETTLE_S)
        due = [name for name, one in finished.items() if now >= self._due_at(name, one, settle)]
        for name in due[:SWEEP_SESSIONS]:
            self._consider_removal(name, finished[name], now)
        for name, one in list(self.sessions.of(Unpublished).items())[:SWEEP_SESSIONS]:
            if now - one.since >= UNPUBLISHED_S:
                self._remove_unpublished(name)
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_S
            self._prune_journal()

    def _due_at(self, name: str, final: Final, settle_s: float) -> float:
        if final.is_brief:
            return final.since + NET_KEEP_S
        quiet = self._quiet.get(name)
        return final.since + settle_s if quiet is None else quiet.since + quiet.keep_s

    def _consider_removal(self, name: str, final: Final, now: float) -> None:
        session = self.worker.namespace.session(name)
        try:
            sizes = _control_sizes(session)
        except FileNotFoundError:
            self.sessions.put(name, IGNORED)
            return
        quiet = self._quiet.get(name)
        if (quiet is None or quiet.sizes != sizes) and not final.is_brief:
            self._quiet[name] = _Quiet(now, sizes, self._keep_s(session))
            return
        if quiet is None or now - quiet.since >= quiet.keep_s:
            if not self._remove(session):
                self._quiet[name] = _Quiet(now, sizes, SWEEP_S)
                return
            self._quiet.pop(name, None)
            self.sessions.put(name, IGNORED)
            self.worker.debug.say("queue", f"{name}: removed after its retention time")

    def _remove_unpublished(self, name: str) -> None:
        """Its client died while it made it; what it has written of the environment stays no longer."""
        session = self.worker.namespace.session(name)
        try:
            is_claimed = CLAIM_NAME in files.list_names(session.directory)
        except FileNotFoundError:
            is_claimed = False
        if is_claimed or self._remove(session):
            self.sessions.put(name, IGNORED)
            self.worker.debug.say("queue", f"{name}: was never published: removed")

    def _remove(self, session: SessionFiles) -> bool:
        """False: it cannot be removed now, or a file of it is still open somewhere."""
        try:
            return directories.remove_session(session)
        except FileNotFoundError:
            return True
        except OSError as error:
            self.worker.debug.say("failure", f"{session.session_id}: cannot be removed: {error}")
            return False

    def _keep_s(self, session: SessionFiles) -> float:
        try:
            request = read_request(session)
        except (OSError, BadDocument):
            return self.retention.finished_s
        if request.is_net:
            return NET_KEEP_S
        return self.retention.terminal_s if request.pty else self.retention.finished_s

    def _prune_journal(self) -> None:
        crash.remove_old(self.retention.journal_s)
        try:
            with Journal.open(self.worker.journal_path, brief=True) as journal:
                journal.prune(self.retention.journal_s)
                needed = journal.proofs()
        except JournalError:
            return  # the next hour will do
        proof.sweep_proofs(self.worker.proof_directory, needed, older_than_s=PRUNE_S)

    # Worker files

    def forget_dead_workers(self) -> None:
        """Remove what this host's ended workers left: their files still say what they ran.

        The process id may mean another process in another container; who lives writes his file again within a second.
        """
        namespace = self.worker.namespace
        for worker_id in filter(None, map(worker_id_of, files.list_names(namespace.workers))):
            host, pid = host_and_pid(worker_id) or ("", 0)
            if host == self.worker.host and not identity.is_running(pid, None):
                files.remove(namespace.worker(worker_id))

    def sweep_workers(self, now: float) -> None:
        """Remove the files of workers that have been silent for a day."""
        namespace = self.worker.namespace
        for worker_id in filter(None, map(worker_id_of, files.list_names(namespace.workers))):
            if worker_id == self.worker.worker_id:
                continue
            try:
                data = read_worker_file(namespace, worker_id)
            except OSError:
                continue
            seen, silence = self._workers.get(worker_id, (b"", Silence()))
            silence.looked(now, grew=data != seen)
            self._workers[worker_id] = (data, silence)
            if silence.seconds * SWEEP_S >= STALE_WORKER_S:
                files.remove(namespace.worker(worker_id))
                self._workers.pop(worker_id, None)


def _control_sizes(session: SessionFiles) -> tuple[int, ...]:
    """As the listing has them: what a client that lives adds within a retention time is much older than any cache."""
    found = directories.list_status(session.directory, is_control)
    return tuple(found[name].st_size for name in sorted(found))
