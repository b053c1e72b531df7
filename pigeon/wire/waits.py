"""For what a session waits that nobody has started, from what its workers say. Pure, and the only answer to that.

The client's notice, `pigeon sessions` and `pigeon inspect` ask here, each with the workers that it has seen to live:
a dead worker's file says for ever what it ran.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pigeon.wire.worker_file import LaunchedEntry, RunningEntry, WorkerFile

DIRECTORY = "directory"
"""Another session's command has the directory: `Wait.holder`."""

ENDING = "ending"
"""The living workers of its route take no more sessions."""

WORKER = "worker"
"""None of its route lives."""

SLOT = "slot"
"""All of them run as many commands as they may."""

BEHIND = "behind"
"""Another session that waits wants the same directory and came earlier: `Wait.behind`."""

LAUNCHER = "launcher"
"""The cluster's engine has been asked to start a worker for it: `Wait.launch`, on `Wait.host`."""

STUCK = "stuck"
"""A living worker of its route has tried to start it, and cannot: `Wait.stuck` says why."""

TURN = "turn"
"""Nothing is in its way."""


class Wait:
    """The reason, and what belongs to it. `workers`: those of its route that live; `full`: of these."""

    __slots__ = ("kind", "holder", "host", "behind", "stuck", "workers", "full", "ending", "launch")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.holder: RunningEntry | None = None
        self.host = ""
        self.behind = ""
        self.stuck = ""
        self.launch: LaunchedEntry | None = None
        self.workers = 0
        self.full = 0
        self.ending = 0

    def __str__(self) -> str:
        """What follows "waits for"."""
        if self.launch is not None:
            return f"the launcher of {self.host}" + (f": {self.launch.says}" if self.launch.says else "")
        if self.holder is not None:
            return f"the directory, held by {self.holder.session_id}"
        if self.kind == BEHIND:
            return f"the directory, behind {self.behind}"
        if self.stuck:
            return f"a worker that can start it: {self.stuck}"
        return {
            ENDING: "a worker: those of its route are ending",
            WORKER: "a worker",
            SLOT: "a free slot",
            TURN: "its turn",
        }[self.kind]


def why(
    session_id: str,
    cwd: str,
    route: str | None,
    living: Collection[WorkerFile],
    *,
    locks: bool,
    earlier: Sequence[str] = (),
) -> Wait:
    """For what the session waits. `earlier`: sessions that want its directory and wait since before it, if known."""
    of_route = [worker for worker in living if worker.route == route]
    fitting = [worker for worker in of_route if worker.fits(route)]
    result = Wait(TURN)
    result.workers, result.full = len(fitting), sum(worker.is_full for worker in fitting)
    result.ending = len(of_route) - len(fitting)
    entries = [(worker, entry) for worker in living for entry in worker.entries]
    launched = [(worker, entry) for worker in living for entry in worker.launched]
    # Who runs may be of its own job, and has to be named; who is only launched comes after its own launch.
    holder = _holder(session_id, cwd, entries) if locks else None
    if holder is None:
        for worker in of_route:
            result.launch = worker.launch_of(session_id)
            if result.launch is not None:
                result.kind, result.host = LAUNCHER, worker.host
                return result
        holder = _holder(session_id, cwd, launched) if locks else None
    if holder is not None:
        result.kind, result.holder, result.host = DIRECTORY, holder[1], holder[0].host
        return result
    reasons = [worker.stuck[session_id] for worker in fitting if session_id in worker.stuck]
    if not fitting:
        result.kind = ENDING if of_route else WORKER
    elif len(reasons) == len(fitting):
        result.kind, result.stuck = STUCK, reasons[0]
    elif result.full == len(fitting):
        result.kind = SLOT
    elif locks and earlier:
        result.kind, result.behind = BEHIND, earlier[0]
    return result


def _holder(
    session_id: str, cwd: str, entries: Sequence[tuple[WorkerFile, RunningEntry]]
) -> tuple[WorkerFile, RunningEntry] | None:
    """Who keeps the session out of its directory; an entry of its own says that it is being tried."""
    found = (one for one in entries if one[1].session_id != session_id and one[1].holds(cwd))
    return next(found, None)
