"""Whether this process is part of a running session, on this host: what its runner has left in the environment.

The marks are inherited, so they also reach what outlives the session or leaves the host: a tmux server that was
started in one, a batch job to which its scheduler hands the environment on. So they count only on the host and in the
boot where the session's runner is, and only as long as that very process lives.
"""

from __future__ import annotations

import os

from pigeon import procfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_VARIABLE = "PIGEON_SESSION"
"""The session's id (FORMAT.md, Part 1)."""

RUNNER_VARIABLE = "PIGEON_SESSION_RUNNER"
"""`<host> <boot>/<pid namespace> <pid> <start in clock ticks since boot>` of the runner."""

SHARE_VARIABLE = "PIGEON_SESSION_SHARE"
"""The namespace's directory, by the worker's name for it."""

ROUTE_VARIABLE = "PIGEON_SESSION_ROUTE"
"""Where the request had one."""

RUNNER_NAME = "pigeon-runner"
"""What ps(1) shows for it. A worker that leaves no RUNNER_VARIABLE is known by it among our ancestors."""

_MOST_ANCESTORS = 100


def runner_mark(host: str, boot: str, pid: int, started: int | None) -> str:
    """The value of RUNNER_VARIABLE."""
    return f"{host} {boot} {pid} {started or 0}"


def is_inside(environ: Mapping[str, str]) -> bool:
    """Whether the marks in `environ` are those of a session that runs here and now."""
    if not environ.get(SESSION_VARIABLE):
        return False
    mark = environ.get(RUNNER_VARIABLE, "")
    if not mark:
        return _has_runner_above(os.getppid())
    words = mark.rsplit(" ", 3)
    if len(words) != 4 or not words[2].isdecimal() or not words[3].isdecimal():
        return False
    host, boot, pid, started = words
    return (host, boot) == (os.uname().nodename, procfs.boot_id()) and procfs.is_running(
        int(pid), int(started)
    )


def _has_runner_above(pid: int | None) -> bool:
    for _ in range(_MOST_ANCESTORS):
        if not pid or pid == 1:
            return False
        if procfs.name_of(pid) == RUNNER_NAME:
            return True
        pid = procfs.parent_of(pid)
    return False
