"""What the share says of sessions and workers, gathered for the verbs that show or end them. Reads only."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pigeon import clock
from pigeon.errors import NotFoundError, ShareError, UsageError
from pigeon.text import typed
from pigeon.wire import directories, files, states, waits
from pigeon.wire.claim import Claim, read_claim
from pigeon.wire.documents import (
    BadDocument,
    Request,
)
from pigeon.wire.names import CLAIM_NAME, Namespace, SessionFiles, is_session_id
from pigeon.wire.reading import read_request, read_status
from pigeon.wire.states import Status
from pigeon.wire.worker_file import WorkerFile, WorkerFiles

SHORT_ID = 8
"""Characters."""

_ID = re.compile(r"\b[0-9]{10,}-[0-9a-f]{8,32}\b")


@dataclass
class View:
    """One session as its files show it. Fields are None where the file is missing or cannot be understood."""

    files: SessionFiles
    names: list[str]
    status: Status | None
    request: Request | None
    claim: Claim | None
    sizes: dict[str, int] = field(default_factory=dict)
    modified: dict[str, float] = field(default_factory=dict)

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.files.session_id

    @property
    def state(self) -> str:
        """`pending`, `claimed` (taken and not yet running), `running`, or a final state; `?` if it cannot be read."""
        if self.status is None:
            return "?"
        if self.status.state == states.PENDING and self.claim is not None:
            return "claimed"
        return self.status.state

    @property
    def command(self) -> str:
        """The command as a person would name it."""
        if self.request is None:
            return "?"
        return typed(self.request.command)

    @property
    def owner(self) -> str | None:
        """The worker id in the claim, or its host for an older worker."""
        return None if self.claim is None else self.claim.shown

    def age_s(self) -> float:
        """Seconds since the session's id was made, by this host's clock and that of its maker: for people only."""
        return max(0.0, clock.wall() - int(self.session_id.partition("-")[0]) / 1000)

    def quiet_s(self, name: str) -> float | None:
        """Seconds since a file was last modified, as far as its stamp can be believed: for people only."""
        at = self.modified.get(name)
        return None if at is None else max(0.0, clock.wall() - at)


def view(namespace: Namespace, session_id: str) -> View:
    """Read one session. Raises NotFoundError if it is not there, ShareError if it cannot be read."""
    session = namespace.session(session_id)
    try:
        names = directories.list_status(session.directory)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # a file with such a name is nobody's session
            raise ShareError(f"`{session.directory}` cannot be read: {error.strerror}") from error
        raise NotFoundError(
            f"there is no session `{session_id}` in namespace `{namespace.name}`",
            hint="`pigeon sessions --all` lists them",
        ) from None
    found = View(session, sorted(names), _status(session), _request(session), _claim(session, list(names)))
    for name, stat in names.items():
        found.sizes[name] = stat.st_size
        found.modified[name] = stat.st_mtime
    return found


def has_ended(namespace: Namespace, session_id: str) -> bool:
    """Whether the published state is final: one read, where `view` takes a dozen."""
    status = _status(namespace.session(session_id))
    return status is not None and status.is_final


def _status(session: SessionFiles) -> Status | None:
    try:
        return read_status(session)
    except (OSError, BadDocument):
        return None


def _request(session: SessionFiles) -> Request | None:
    try:
        return read_request(session)
    except (OSError, BadDocument):
        return None


def _claim(session: SessionFiles, names: list[str]) -> Claim | None:
    if CLAIM_NAME not in names:
        return None
    try:
        return read_claim(session)
    except OSError:
        return Claim({})


def session_ids(namespace: Namespace) -> list[str]:
    """All ids in the namespace, oldest first. Raises ShareError."""
    try:
        return sorted(name for name in files.list_names(namespace.sessions) if is_session_id(name))
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.isdir(namespace.cache) and isinstance(error, FileNotFoundError):
            return []
        if os.path.lexists(namespace.cache):
            raise ShareError(
                f"the shared directory `{namespace.cache}` cannot be used: {error.strerror}",
                hint="`pigeon config show` tells who set it; `pigeon doctor` looks at it",
            ) from None
        raise ShareError(
            f"the shared directory `{namespace.cache}` does not exist on this machine", hint="is it mounted?"
        ) from None
    except OSError as error:
        raise ShareError(f"`{namespace.sessions}` cannot be read: {error.strerror}") from error


def resolve(namespace: Namespace, prefix: str) -> str:
    """The one session whose id begins with `prefix` (or ends with it: the random part is what people remember).

    Raises:
        NotFoundError: none, or several.
        UsageError: nothing is named.
    """
    if not prefix:
        raise UsageError("no session is named: the word is empty", hint="was a variable not set?")
    ids = session_ids(namespace)
    found = [i for i in ids if i == prefix] or [
        i for i in ids if i.startswith(prefix) or i.partition("-")[2].startswith(prefix)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(
            f"there is no session `{prefix}` in namespace `{namespace.name}`",
            hint="`pigeon sessions --all` lists them",
        )
    raise NotFoundError(f"`{prefix}` could be any of {len(found)} sessions", hint="give more of the id")


def live_workers(namespace: Namespace, *, patience_s: float = 2.5) -> tuple[dict[str, WorkerFile], set[str]]:
    """(worker files, ids of those that change while we watch). Returns as soon as all have changed.

    Raises:
        ShareError: they cannot be listed.
    """
    found = WorkerFiles(namespace)
    live: set[str] = set()
    began = now = clock.monotonic()
    try:
        found.look(now)
        while found.workers.keys() - live and now - began < patience_s:
            clock.sleep(0.1)
            now = clock.monotonic()
            found.look(now)
            live |= found.changed
    except OSError as error:
        raise ShareError(f"`{namespace.workers}` cannot be read: {error.strerror}") from error
    return found.workers, live & found.workers.keys()


def look(workers: WorkerFiles, now: float) -> None:
    """Read the worker files once more, at monotonic `now`. Raises ShareError."""
    try:
        workers.look(now)
    except OSError as error:
        raise ShareError(f"the worker files cannot be read: {error.strerror}") from error


def short_id(session_id: str) -> str:
    """What a narrow table shows of an id, and every verb takes for it: the beginning of its random part."""
    return session_id.partition("-")[2][:SHORT_ID] or session_id


def shorten_ids(text: str) -> str:
    """A text with each id in it as `short_id` has it."""
    return _ID.sub(lambda found: short_id(found[0]), text)


def fitting(
    workers: Mapping[str, WorkerFile], live: Collection[str], route: str | None
) -> dict[str, WorkerFile]:
    """The living workers that take sessions of this route."""
    return {name: worker for name, worker in workers.items() if name in live and worker.fits(route)}


def watcher_of(view: View, workers: Mapping[str, WorkerFile], live: Collection[str]) -> str | None:
    """The living worker that watches over a claimed session: who lists it among what he runs, or else its owner.

    They differ once a worker has been started again: the new one adopts the runners of the former, whose claims stay.
    """
    if view.owner is None:
        return None
    for name in sorted(live):
        if name in workers and workers[name].lists(view.session_id):
            return name
    return view.owner if view.owner in live else None


def first_waiting(views: Iterable[View]) -> dict[str, str]:
    """Directory -> the oldest session that waits for it and wants it alone. `views`: of one namespace, oldest first."""
    found: dict[str, str] = {}
    for view in views:
        request = view.request
        if request is not None and request.locks and view.state in ("pending", "claimed"):
            found.setdefault(request.cwd, view.session_id)
    return found


def wait_of(
    view: View, first: Mapping[str, str], workers: Mapping[str, WorkerFile], live: Collection[str]
) -> waits.Wait | None:
    """For what an unclaimed session waits, as far as the share tells; None for any other. `first`: `first_waiting`."""
    request = view.request
    if view.state != states.PENDING or request is None:
        return None
    before = first.get(request.cwd, view.session_id)
    living = [worker for name, worker in workers.items() if name in live]
    return waits.why(
        view.session_id,
        request.cwd,
        request.route,
        living,
        locks=request.locks,
        earlier=[before] if before < view.session_id else [],
    )


def seconds_since(stamp: object) -> float | None:
    """Seconds since a UTC stamp of the share, by this host's clock: for people only."""
    if not isinstance(stamp, str):
        return None
    at = clock.utc_seconds(stamp)
    return None if at is None else max(0.0, clock.wall() - at)
