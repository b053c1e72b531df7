"""`workers/<worker_id>.json`: its fields, and what the files of a namespace show to whoever looks at them repeatedly.

A worker replaces its file every second, so it lives while its file changes; a file that does not change says for ever
what its worker ran when it died. Owns the fields and the reading. What follows from a silence is the reader's business.
"""

from __future__ import annotations

import os

from pigeon.clock import utc_text, wall
from pigeon.wire import files
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, BadDocument, Document, parse, text_of
from pigeon.wire.jsontext import encode
from pigeon.wire.names import Namespace, is_component, worker_id_of
from pigeon.wire.share import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RunningEntry:
    """What a worker says of one session that it runs. `locks`: the command has its directory for itself."""

    __slots__ = ("session_id", "cwd", "command", "since_s", "locks")

    def __init__(self, session_id: str, cwd: str, command: list[str], since_s: float, *, locks: bool) -> None:
        self.session_id = session_id
        self.cwd = cwd
        self.command = command
        self.since_s = since_s
        self.locks = locks

    def holds(self, cwd: str) -> bool:
        """Whether it keeps other commands out of this directory."""
        return self.locks and self.cwd == cwd

    def document(self) -> Document:
        """As it stands in the worker file."""
        return {
            "session_id": self.session_id,
            "cwd": self.cwd,
            "command": self.command,
            "since_s": round(self.since_s, 1),
            "lock": "cwd" if self.locks else "none",
        }


class LaunchedEntry(RunningEntry):
    """What a worker says of a session that it has a worker of its own started for, by the cluster's engine.

    `says`: the engine's last words. `is_open`: nobody has claimed it, its client lives, and so it is to be started.
    """

    __slots__ = ("says", "is_open")

    def __init__(self, running: RunningEntry, says: str, *, is_open: bool) -> None:
        super().__init__(
            running.session_id, running.cwd, running.command, running.since_s, locks=running.locks
        )
        self.says = says
        self.is_open = is_open

    def document(self) -> Document:
        """As it stands in the worker file."""
        return {**super().document(), "says": self.says, "open": self.is_open}


class WorkerFile:
    """What a worker says of itself. `running` is None where an older worker does not say what it runs."""

    __slots__ = (
        "worker_id",
        "host",
        "pid",
        "route",
        "max_jobs",
        "version",
        "started_at",
        "is_draining",
        "running",
        "launched",
        "stuck",
    )

    def __init__(self, worker_id: str, host: str, pid: int, route: str | None) -> None:
        self.worker_id = worker_id
        self.host = host
        self.pid = pid
        self.route = route
        self.max_jobs: int | None = None
        self.version = ""
        self.started_at = utc_text()
        self.is_draining = False
        self.running: Sequence[RunningEntry] | None = None
        self.launched: Sequence[LaunchedEntry] = ()
        self.stuck: Mapping[str, str] = {}
        """By session: why it could not be started when it was its turn, and is tried again."""

    @property
    def entries(self) -> Sequence[RunningEntry]:
        """What it runs, as far as it says so."""
        return self.running or ()

    @property
    def is_full(self) -> bool:
        """It runs, or has had launched, as many commands as it may."""
        return self.max_jobs is not None and len(self.entries) + len(self.launched) >= self.max_jobs

    def launch_of(self, session_id: str) -> LaunchedEntry | None:
        """The session, if it is having a worker started for it that has not claimed it yet."""
        found = (entry for entry in self.launched if entry.session_id == session_id and entry.is_open)
        return next(found, None)

    def fits(self, route: str | None) -> bool:
        """Whether it takes sessions of this route, sooner or later."""
        return self.route == route and not self.is_draining

    def lists(self, session_id: str) -> bool:
        """Whether it watches over this session: as its owner, or having adopted the runners of a former worker."""
        return any(entry.session_id == session_id for entry in self.entries)

    def leaves_out(self, session_id: str) -> bool:
        """Whether it says what it runs, and that is not this session."""
        return self.running is not None and not self.lists(session_id)

    def encode(self) -> bytes:
        """The bytes of the file, stamped now."""
        return encode(
            {
                "worker_id": self.worker_id,
                "host": self.host,
                "pid": self.pid,
                "route": self.route,
                "started_at": self.started_at,
                "updated_at": utc_text(),
                "updated_ts": wall(),
                "running": [entry.document() for entry in self.entries],
                "max_jobs": self.max_jobs,
                "version": self.version,
                "draining": self.is_draining,
                **({"launched": [one.document() for one in self.launched]} if self.launched else {}),
                **({"stuck": dict(self.stuck)} if self.stuck else {}),
            }
        )


def parse_worker_file(data: bytes, worker_id: str) -> WorkerFile:
    """What stands in the file of `worker_id`. What is absent or makes no sense is as from an older worker.

    Raises:
        BadDocument: not a JSON object.
    """
    document = parse(data, f"worker file of {worker_id}")
    route, most, pid = document.get("route"), document.get("max_jobs"), document.get("pid")
    found = WorkerFile(
        text_of(document, "worker_id") or worker_id,
        text_of(document, "host"),
        pid if isinstance(pid, int) else 0,
        # A route that is no text fits nobody's: no namespace has one that is empty.
        route if route is None or isinstance(route, str) else "",
    )
    found.max_jobs = most if isinstance(most, int) else None
    found.version = text_of(document, "version")
    found.started_at = text_of(document, "started_at")
    found.is_draining = document.get("draining") is True
    running = document.get("running")
    if isinstance(running, list):
        found.running = [_entry(one) for one in running if isinstance(one, dict)]
    launched = document.get("launched")
    if isinstance(launched, list):
        found.launched = [
            LaunchedEntry(_entry(one), text_of(one, "says"), is_open=one.get("open") is True)
            for one in launched
            if isinstance(one, dict)
        ]
    stuck = document.get("stuck")
    if isinstance(stuck, dict):
        found.stuck = {name: reason for name, reason in stuck.items() if isinstance(reason, str)}
    return found


def _entry(document: Document) -> RunningEntry:
    command, since = document.get("command"), document.get("since_s")
    return RunningEntry(
        text_of(document, "session_id"),
        text_of(document, "cwd"),
        [str(word) for word in command] if isinstance(command, list) else [],
        float(since) if isinstance(since, (int, float)) and abs(since) < 1e12 else 0.0,
        locks=document.get("lock", "cwd") == "cwd",
    )


def read_worker_file(namespace: Namespace, worker_id: str) -> bytes:
    """What stands there now; nothing if the worker has no file. Raises OSError."""
    try:
        return files.read(namespace.worker(worker_id), MAX_DOCUMENT_BYTES)
    except FileNotFoundError:
        return b""


class WorkerFiles:
    """The worker files of a namespace, looked at again and again.

    After a look, `workers` has what could be read, by worker id; `changed` whose file is another than at the look
    before, or has come since; `beating` those of `changed` that were there before; and `foreign` counts other users'.
    """

    __slots__ = (
        "workers",
        "changed",
        "beating",
        "foreign",
        "_namespace",
        "_seen",
        "_changed_at",
        "_has_looked",
    )

    def __init__(self, namespace: Namespace) -> None:
        self.workers: dict[str, WorkerFile] = {}
        self.changed: set[str] = set()
        self.beating: set[str] = set()
        self.foreign = 0
        self._namespace = namespace
        self._seen: dict[str, bytes] = {}
        self._changed_at: dict[str, float] = {}
        self._has_looked = False

    def look(self, now: float) -> None:
        """Read them all at monotonic `now`. A namespace without a directory for them has none.

        Raises:
            OSError: they cannot be listed now; what the last look found stays, but nothing counts as changed.
        """
        self.changed, self.beating = set(), set()
        try:
            names = files.list_names(self._namespace.workers)
        except FileNotFoundError:
            names = []
        self.workers = {}
        self.foreign = 0
        for worker_id in filter(None, map(worker_id_of, names)):
            try:
                data = files.read(self._namespace.worker(worker_id), MAX_DOCUMENT_BYTES)
                self.workers[worker_id] = parse_worker_file(data, worker_id)
            except (OSError, BadDocument) as error:
                self.foreign += isinstance(error, files.Refused)
                continue
            before = self._seen.get(worker_id)
            if before is None and self._has_looked:
                self.changed.add(worker_id)
            elif before not in (None, data):
                self.changed.add(worker_id)
                self.beating.add(worker_id)
                self._changed_at[worker_id] = now
            self._seen[worker_id] = data
        self._has_looked = True

    def seconds_since_change(self, worker_id: str, now: float) -> float | None:
        """Seconds since its file was last seen to change; None if it never was."""
        changed = self._changed_at.get(worker_id)
        return None if changed is None else now - changed

    def lives(self, worker_id: str, now: float, within_s: float) -> bool:
        """Whether its file has been seen to change within the last `within_s` seconds."""
        changed = self._changed_at.get(worker_id)
        return changed is not None and now - changed < within_s


def other_namespaces(namespace: Namespace) -> list[str]:
    """The namespaces of this user's in the same cache in which a worker has left its file, alive or not.

    For people only, who may have meant one of them. What cannot be looked at is passed over.
    """
    try:
        above = at(f"{namespace.root}/..", lambda name, directory: os.open(name, _LIST, dir_fd=directory))
    except OSError:
        return []
    try:
        others = sorted(set(filter(is_component, os.listdir(above))) - {namespace.name})
        return [name for name in others if _has_worker_files(above, name)]
    except OSError:
        return []
    finally:
        os.close(above)


_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _has_worker_files(above: int, name: str) -> bool:
    try:
        if os.stat(name, dir_fd=above, follow_symlinks=False).st_uid != os.geteuid():
            return False
        root = os.open(name, _LIST, dir_fd=above)
        try:
            workers = os.open("workers", _LIST, dir_fd=root)
        finally:
            os.close(root)
        try:
            return any(map(worker_id_of, os.listdir(workers)))
        finally:
            os.close(workers)
    except OSError:
        return False
