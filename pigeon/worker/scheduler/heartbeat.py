"""The worker file: that this worker lives, what it runs, and how full it is (FORMAT.md, "workers/")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pigeon import __version__, clock
from pigeon.wire import files
from pigeon.wire.jsontext import encode
from pigeon.wire.names import Namespace

INTERVAL_S = 1.0
"""Older clients refuse to submit when no worker file is younger than 3 s by their clock."""


class Heartbeat:
    """Replaces `workers/<worker_id>.json`; removed at a clean stop."""

    def __init__(
        self, namespace: Namespace, worker_id: str, host: str, pid: int, route: str | None, max_jobs: int
    ) -> None:
        self._path = namespace.worker(worker_id)
        self._fixed: dict[str, object] = {
            "worker_id": worker_id,
            "host": host,
            "pid": pid,
            "route": route,
            "max_jobs": max_jobs,
            "version": __version__,
            "started_at": clock.utc_text(),
        }

    def beat(self, running: Sequence[Mapping[str, object]], *, draining: bool) -> None:
        """Say what runs now. Raises OSError; the next beat says it again."""
        files.replace(
            self._path,
            encode(
                {
                    **self._fixed,
                    "updated_at": clock.utc_text(),
                    "updated_ts": clock.wall(),
                    "running": list(running),
                    "draining": draining,
                }
            ),
        )

    def stop(self) -> None:
        """This worker takes no more sessions."""
        files.remove(self._path)
