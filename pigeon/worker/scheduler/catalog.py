"""What lies in `sessions/`, as this worker knows it.

The cost of looking for new sessions must not grow with what has finished: each look is one listing, and a session is
opened only while it may still become ours. Found by listing, then opened whatever the listing said (FORMAT.md,
"Publication"): on NFS a failed look-up hides a name for as long as a minute.
"""

from __future__ import annotations

from pigeon import clock
from pigeon.wire import files, states
from pigeon.wire.documents import BadDocument
from pigeon.wire.looks import stamps_for
from pigeon.wire.names import CLAIM_NAME, STATUS_NAME, Namespace, SessionFiles, is_session_id
from pigeon.wire.reading import read_status
from pigeon.wire.share import Listing
from pigeon.wire.states import Status
from pigeon.worker import requests
from pigeon.worker.debug import tell
from pigeon.worker.guard import Guard
from pigeon.worker.scheduler.sessions import (
    IGNORED,
    OWNED,
    Candidate,
    Final,
    Incomplete,
    Sessions,
    State,
    Unpublished,
    Waiting,
)

INCOMPLETE_S = 3600.0
"""A session directory that nobody has published for this long is not looked at again."""

MOST_VANISHED = 10_000
"""So many sessions that have gone are remembered."""


class Catalog:
    """Brings what it finds into `sessions`, and out again what is gone. `route`: this worker's own. `only`: the one
    session that it is to find; None: all."""

    def __init__(
        self, sessions: Sessions, namespace: Namespace, route: str | None, *, only: str | None = None
    ) -> None:
        self.sessions = sessions
        self.namespace = namespace
        self.route = route
        self._only = only
        self._listing = Listing(namespace.sessions, stamps_for(namespace.sessions))
        self._guard = Guard("the session", requests.Unpublished)
        self._vanished: dict[str, None] = {}
        """Gone without having been seen final, in the order of their going."""

    def scan(self, now: float) -> list[Candidate]:
        """Sessions that have become available since the last scan, in the order of their ids; they wait from now on.

        Raises:
            OSError: `sessions/` could not be listed now.
        """
        names = self._listing.changed(now)
        if names is not None:
            self._take_in(names, now)
        incomplete = self.sessions.of(Incomplete)
        if not incomplete:
            return []
        found = []
        for name, entry in [one for one in incomplete.items() if one[1].retry_at <= now]:
            state = self._consider(name, entry, now)
            self.sessions.put(name, state)
            if isinstance(state, Waiting):
                found.append(state.candidate)
        return found

    def _take_in(self, names: list[str], now: float) -> None:
        if self._only is not None:
            names = [name for name in names if name == self._only]
        fresh = self.sessions.unknown(names)
        if len(names) < len(self.sessions) + len(fresh):
            self._remember(self.sessions.keep_only(set(names)))
        for name in sorted(fresh):
            self.sessions.put(name, Incomplete(now) if is_session_id(name) else IGNORED)

    def _remember(self, vanished: list[str]) -> None:
        self._vanished.update(dict.fromkeys(sorted(vanished)))
        for name in list(self._vanished)[:-MOST_VANISHED]:
            del self._vanished[name]

    def _consider(self, name: str, entry: Incomplete, now: float) -> State:
        try:
            state = self._guard.run(name, lambda: self.look(name, now))
            return Unpublished(entry.since) if state is None else state
        except (OSError, requests.Unpublished):
            if now - entry.since > INCOMPLETE_S:
                return Unpublished(entry.since)
            entry.retry_at = now + entry.backoff.failed()
            return entry

    def look(self, name: str, now: float) -> State:
        """The state of the session `name`: Waiting if this worker may take it.

        Raises:
            OSError, Unpublished: it cannot be said yet.
        """
        session = self.namespace.session(name)
        try:
            entries = files.list_names(session.directory)
        except files.Refused as error:  # another user's: neither ours to run nor to end
            tell(f"pigeon worker: session {name} is left alone: its directory {error.strerror}")
            return IGNORED
        if STATUS_NAME not in entries:
            # Not asked for: the answer "there is none" would be remembered (FORMAT.md, "Reading").
            raise requests.Unpublished
        status = self._status(session)
        if isinstance(status, Status):
            if status.is_final:
                return Final(now)
            if status.state != states.PENDING or CLAIM_NAME in entries:
                return OWNED
        elif CLAIM_NAME in entries:
            return OWNED
        request, problem = requests.read_request(session)
        if request.route != self.route and problem is None:
            return IGNORED
        problem = problem or (status if isinstance(status, str) else None)
        refusal = (states.FAILED, problem) if problem else None
        has_vanished = name in self._vanished
        return Waiting(Candidate(name, request, clock.wall(), now, refusal, has_vanished=has_vanished))

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
