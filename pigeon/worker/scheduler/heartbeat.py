"""The worker file: that this worker lives, what it runs, and how full it is (FORMAT.md, "workers/")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pigeon import __version__
from pigeon.wire import files
from pigeon.wire.names import Namespace
from pigeon.wire.worker_file import LaunchedEntry, RunningEntry, WorkerFile

INTERVAL_S = 1.0
"""Older clients refuse to submit when no worker file is younger than 3 s by their clock."""


class Heartbeat:
    """Replaces `workers/<worker_id>.json`; removed at a clean stop."""

    def __init__(
        self, namespace: Namespace, worker_id: str, host: str, pid: int, route: str | None, max_jobs: int
    ) -> None:
        self._path = namespace.worker(worker_id)
        self._file = WorkerFile(worker_id, host, pid, route)
        self._file.max_jobs = max_jobs
        self._file.version = __version__

    def beat(
        self,
        running: Sequence[RunningEntry],
        launched: Sequence[LaunchedEntry],
        stuck: Mapping[str, str],
        *,
        draining: bool,
    ) -> None:
        """Say what runs now, here and elsewhere, and what should and cannot. Raises OSError; the next beat says it
        again."""
        self._file.running, self._file.launched = running, launched
        self._file.stuck, self._file.is_draining = stuck, draining
        files.replace(self._path, self._file.encode())

    def stop(self) -> None:
        """This worker takes no more sessions."""
        files.remove(self._path)
