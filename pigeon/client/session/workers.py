"""What a client reads from the worker files: why a session that nobody has started still waits, and whether whoever
watches over a silent one lives."""

from __future__ import annotations

from pigeon.text import cut, duration, typed
from pigeon.wire import waits
from pigeon.wire.names import Namespace
from pigeon.wire.pacing import Silence
from pigeon.wire.worker_file import WorkerFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pigeon.wire.worker_file import RunningEntry, WorkerFile

WATCHED_S = 2.5
"""A worker that lives has changed its file within this: it does so every second."""

COMMAND_COLUMNS = 40
LAUNCHER_COLUMNS = 160
"""Of what the cluster's engine says."""

LIVES_S = 10.0
"""And one that has not for so long is not believed any more."""


_START = "start `pigeon worker` on the machine with internet"


class Reason:
    """Why a session waits: `kind` changes when that does, `text` says it, `way_out` what to do about it."""

    __slots__ = ("kind", "text", "way_out")

    def __init__(self, kind: str, text: str, way_out: str) -> None:
        self.kind = kind
        self.text = text
        self.way_out = way_out


class Workers:
    """What the worker files of a namespace say, and for how long no fitting one has changed."""

    def __init__(self, namespace: Namespace, route: str | None) -> None:
        self._namespace = namespace
        self._route = route
        self._files = WorkerFiles(namespace)
        self._came_at: dict[str, float] = {}
        self.absence = Silence()
        self.holder = ""
        """The session that has the directory, if that was the last reason."""
        self._stuck_since: float | None = None
        self._stuck = ""

    @property
    def workers(self) -> Mapping[str, WorkerFile]:
        """By worker id, as the last look has found them."""
        return self._files.workers

    def look(self, now: float) -> None:
        """Read all worker files. `absence.seconds` grows while none of our route changes. Never raises."""
        try:
            self._files.look(now)
        except OSError:
            self.absence.failed()
            return
        self._came_at.update((name, now) for name in self._files.changed - self._files.beating)
        self.absence.looked(
            now, grew=any(self.workers[name].fits(self._route) for name in self._files.beating)
        )

    def lives(self, worker_id: str, now: float) -> bool:
        """Whether its file has been seen to change of late."""
        return self._files.lives(worker_id, now, LIVES_S)

    def stuck(self, now: float) -> tuple[float, str]:
        """For how many seconds no living worker could start the session, by the last answer, and why."""
        return (0.0, "") if self._stuck_since is None else (now - self._stuck_since, self._stuck)

    def reason(self, session_id: str, cwd: str, locks: bool, now: float) -> Reason:
        """For what the session waits. What a dead worker's file says that it runs is passed over."""
        living = [worker for name, worker in self.workers.items() if self.lives(name, now)]
        wait = waits.why(session_id, cwd, self._route, living, locks=locks)
        self.holder = wait.holder.session_id if wait.holder is not None else ""
        if wait.kind != waits.STUCK:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        self._stuck = wait.stuck
        if wait.kind == waits.STUCK:
            text = f"waiting for a worker that can start the session: {wait.stuck}"
            return Reason(wait.kind, text, "Ctrl-C leaves")
        if wait.launch is not None:
            text = f"waiting in the launcher of {wait.host} for {duration(wait.launch.since_s)}"
            said = cut(wait.launch.says, LAUNCHER_COLUMNS)
            # Its first words are told at once, others when it is time to tell again: some engines say much.
            kind = f"{wait.kind}, told" if said else wait.kind
            return Reason(kind, f"{text}: {said}" if said else text, "Ctrl-C leaves")
        if wait.holder is not None:
            held = f"waiting for this directory, held by {_describe(wait.holder)} on {wait.host}"
            return Reason(f"held by {wait.holder.session_id}", held, "Ctrl-C leaves, `--no-lock` runs beside")
        if wait.kind in (waits.WORKER, waits.ENDING):
            return self._no_worker(
                {name: worker for name, worker in self.workers.items() if worker.fits(self._route)}, now
            )
        if wait.kind == waits.SLOT:
            jobs = sum(len(worker.entries) for worker in living if worker.fits(self._route))
            full = f"waiting for a free worker: {wait.full} of {wait.workers} full, {jobs} commands running"
            return Reason(wait.kind, full, "Ctrl-C leaves")
        return Reason(wait.kind, "waiting for a worker to take the session", "Ctrl-C leaves")

    def _no_worker(self, fitting: Mapping[str, WorkerFile], now: float) -> Reason:
        where = f"namespace `{self._namespace.name}`" + (f", route `{self._route}`" if self._route else "")
        if not fitting:
            others = len(self.workers)
            passed_over = [f"{others} of other routes or ending"] if others else []
            passed_over += [f"{self._files.foreign} of another user"] if self._files.foreign else []
            others_too = f" ({', '.join(passed_over)})" if passed_over else ""
            return Reason("none", f"waiting for a worker: none in {where}{others_too}", _START)
        come = [name for name in fitting if now - self._came_at.get(name, -LIVES_S) < WATCHED_S]
        if come:
            found = f"found {' and '.join(come)}; making sure that it is alive ({WATCHED_S:.0f} s)"
            return Reason("found", found, "")
        seen = ", ".join(
            f"{worker.worker_id} {_last_seen(self._files.seconds_since_change(name, now))}"
            for name, worker in fitting.items()
        )
        return Reason("silent", f"waiting for a worker in {where}: {seen}", _START)

    def summary(self, now: float) -> str:
        """The workers there are and when each was last seen to change, for an error message."""
        if not self.workers:
            return "there is no worker file" + (
                " but another user's, who cannot serve you" if self._files.foreign else ""
            )
        told = []
        for name, worker in self.workers.items():
            who = f"{worker.worker_id} (route {worker.route or 'none'})"
            told.append(f"{who}: {_last_seen(self._files.seconds_since_change(name, now))}")
        return "; ".join(told)


class Watchers:
    """Whether those who watch over one session live, as far as it has been seen since this was made.

    They are its owner and whoever lists it among what he runs: a worker that has adopted the runners of a former one.
    """

    def __init__(self, namespace: Namespace, session_id: str, owner: str) -> None:
        self.lives: bool | None = None
        """None: they have not been watched for long enough."""
        self.watcher = owner
        """Who has shown life last."""
        self.is_readable = True
        """The worker files could be read at the last look."""
        self._files = WorkerFiles(namespace)
        self._session_id = session_id
        self._owner = owner
        self._silence = Silence()

    @property
    def silence_s(self) -> float:
        """For how long none of them has been seen to change, in looks that worked."""
        return self._silence.seconds

    def look(self, now: float) -> None:
        """Read the worker files. Never raises."""
        try:
            self._files.look(now)
            self.is_readable = True
        except OSError:
            self.is_readable = False
            self._silence.failed()
            self.lives = None
            return
        signs = [name for name in self._files.changed if self._watches(name)]
        self._silence.looked(now, grew=bool(signs))
        if signs:
            self.lives = True
            self.watcher = signs[0]
        elif self._silence.seconds >= (WATCHED_S if self.lives is None else LIVES_S):
            self.lives = False

    def _watches(self, worker_id: str) -> bool:
        return worker_id == self._owner or self._files.workers[worker_id].lists(self._session_id)


def _last_seen(changed_s: float | None) -> str:
    return "not seen to change" if changed_s is None else f"last changed {duration(changed_s)} ago"


def _describe(entry: RunningEntry) -> str:
    """`pip install x` (session 17…-ab) for 3m."""
    text = cut(typed(entry.command), COMMAND_COLUMNS)
    return f"`{text}` (session {entry.session_id}) for {duration(entry.since_s)}"
