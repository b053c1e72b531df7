"""What lies in `sessions/`, as this worker knows it.

The cost of looking for new sessions must not grow with what has finished: each look is one listing, and a session is
opened only while it may still become ours. Found by listing, then opened whatever the listing said (FORMAT.md,
"Publication"): on NFS a failed look-up hides a name for as long as a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pigeon import clock
from pigeon.backoff import Backoff
from pigeon.wire import files, states
from pigeon.wire.documents import BadDocument
from pigeon.wire.names import CLAIM_NAME, STATUS_NAME, Namespace, SessionFiles, is_session_id
from pigeon.wire.reading import read_status
from pigeon.wire.states import Status
from pigeon.worker import requests
from pigeon.worker.debug import tell
from pigeon.worker.guard import Guard
from pigeon.worker.scheduler.queue import Waiting

INCOMPLETE_S = 3600.0
"""A session directory that nobody has published for this long is not looked at again."""

MOST_VANISHED = 10_000
"""So many sessions that have gone are remembered."""


@dataclass
class Incomplete:
    """A session that is not published yet, or could not be read."""

    since: float
    retry_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.001))
    """A client that is just publishing is done within a millisecond or two."""


class Catalog:
    """The names seen so far. `finished` holds, by id, when a session was first seen final (monotonic seconds)."""

    def __init__(self, namespace: Namespace, route: str | None) -> None:
        self.namespace = namespace
        self.route = route
        self.finished: dict[str, float] = {}
        self.claimed: dict[str, float] = {}
        """Claimed and not known to be final: by whom, the claim says; seen so since (monotonic seconds)."""
        self.unpublished: dict[str, float] = {}
        """Never finished by who began to make them, or not to be read; looked at no more. Since (monotonic seconds)."""
        self._guard = Guard("the session", requests.Unpublished)
        self._known: set[str] = set()
        self._incomplete: dict[str, Incomplete] = {}
        self._vanished: dict[str, None] = {}
        """Gone without having been seen final, in the order of their going."""

    def scan(self, now: float) -> list[Waiting]:
        """Sessions that have become available since the last scan, in the order of their ids.

        Raises:
            OSError: `sessions/` could not be listed now.
        """
        names = files.list_names(self.namespace.sessions)
        fresh = [name for name in names if name not in self._known]
        if len(names) < len(self._known) + len(fresh):
            self._drop_removed(set(names))
        found = []
        for name in sorted(fresh):
            self._known.add(name)
            if is_session_id(name):
                self._incomplete[name] = Incomplete(now)
        for name in [n for n, i in self._incomplete.items() if i.retry_at <= now]:
            waiting = self._consider(name, now)
            if waiting is not None:
                found.append(waiting)
        return found

    def _drop_removed(self, names: set[str]) -> None:
        gone = self._known - names
        self._known -= gone
        self._vanished.update(dict.fromkeys(sorted(gone - self.finished.keys())))
        for name in list(self._vanished)[:-MOST_VANISHED]:
            del self._vanished[name]
        for collection in (self._incomplete, self.finished, self.claimed, self.unpublished):
            for name in gone & collection.keys():
                del collection[name]

    def _consider(self, name: str, now: float) -> Waiting | None:
        entry = self._incomplete[name]
        try:
            waiting = self._guard.run(name, lambda: self.look(name, now))
        except (OSError, requests.Unpublished):
            if now - entry.since > INCOMPLETE_S:
                del self._incomplete[name]
                self.unpublished[name] = entry.since
            entry.retry_at = now + entry.backoff.failed()
            return None
        del self._incomplete[name]
        return waiting

    def look(self, name: str, now: float) -> Waiting | None:
        """The session `name` if this worker may take it; None if it is somebody else's business or final.

        Raises:
            OSError, Unpublished: it cannot be said yet.
        """
        session = self.namespace.session(name)
        try:
            entries = files.list_names(session.directory)
        except files.Refused as error:  # another user's: neither ours to run nor to end
            tell(f"pigeon worker: session {name} is left alone: its directory {error.strerror}")
            return None
        if STATUS_NAME not in entries:
            # Not asked for: the answer "there is none" would be remembered (FORMAT.md, "Reading").
            raise requests.Unpublished
        status = self._status(session)
        if isinstance(status, Status):
            if status.is_final:
                self.finished[name] = now
                return None
            if status.state != states.PENDING or CLAIM_NAME in entries:
                self.claimed[name] = now
                return None
        elif CLAIM_NAME in entries:
            self.claimed[name] = now
            return None
        request, problem = requests.read_request(session)
        if request.route != self.route and problem is None:
            return None
        problem = problem or (status if isinstance(status, str) else None)
        refusal = (states.FAILED, problem) if problem else None
        waiting = Waiting(name, request, clock.wall(), now, refusal=refusal)
        waiting.has_vanished = name in self._vanished
        return waiting

    def _status(self, session: SessionFiles) -> Status | str:
        """The status, or why there can be none. Raises Unpublished while its client may still be writing."""
        try:
            return read_status(session)
        except FileNotFoundError:
            raise requests.Unpublished from None
        except BadDocument as error:
            return str(error)
        except OSError as error:
            if files.may_pass(error):
                raise
            return f"{STATUS_NAME} refused: {error.strerror or error}"
