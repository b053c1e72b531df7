"""Sessions that others have claimed: watched, and given an end when their owner has been silent for `host_timeout`.

Owns how long each owner has been silent, and who has begun a takeover. Knows no scheduler: it is given the sessions at
each turn, and says what has become of one to whoever keeps the list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from pigeon.wire import files, takeover
from pigeon.wire.names import new_token
from pigeon.wire.reading import is_final
from pigeon.wire.worker_file import read_worker_file
from pigeon.worker.guard import Guard
from pigeon.worker.handover import Worker
from pigeon.worker.recovery import lost_rows

Settled = Callable[[str, bool], None]
"""Called with a session's id that needs no watching any more, and whether it is final (else it is gone)."""


class Takeovers:
    """Those of one worker. Every method is short and gives up quietly when the share does not answer."""

    def __init__(self, worker: Worker, host_timeout_s: float, settled: Settled) -> None:
        self._worker = worker
        self._host_timeout_s = host_timeout_s
        self._settled = settled
        self._watches: dict[str, takeover.OwnerWatch] = {}
        self._stalled: set[str] = set()
        """Sessions that another has begun to take over, and not ended yet when this worker came to do so."""
        self._tokens: dict[str, str] = {}
        """Of takeovers that this worker has begun: a repeated one knows its own claim."""
        self._guard = Guard("the session")
        self._own: set[str] = set()
        """Sessions that carry this worker's own claim."""
        self._documents: dict[str, bytes] = {}
        """Worker files as this turn has read them: an owner of many sessions is asked once."""

    def watch(self, names: Collection[str], now: float) -> None:
        """Look at the owner of each session once. Raises the last OSError: the others have been looked at all the same.

        The share may hide one session's files from this host while the others' owners are dead.
        """
        self._documents.clear()
        failure = None
        for name in names:
            try:
                self._guard.run(name, lambda name=name: self._watch_owner(name, now))  # type: ignore[misc]
            except OSError as error:
                failure = error
            if name in self._guard:
                self._settle(name, is_final=False)
        for name in self._watches.keys() - set(names):
            self._forget(name)
        if failure is not None:
            raise failure

    def recheck(self, names: Collection[str]) -> None:
        """Find out which of the sessions have ended meanwhile. Raises OSError."""
        for name in names:
            if is_final(self._worker.namespace.session(name)):
                self._settle(name, is_final=True)

    def _watch_owner(self, name: str, now: float) -> None:
        try:
            watch = self._watches.get(name) or self._begin_watch(name)
            if watch is None or watch.look(now) < self._host_timeout_s:
                return
            if name not in self._own:
                self._take_over(name)
            elif watch.silent_s >= lost_rows.SILENCE_S:
                self._end_own(name)
        except FileNotFoundError:
            if name in files.list_names(self._worker.namespace.sessions):
                raise
            self._settle(name, is_final=False)  # somebody has removed it: it needs no end

    def _begin_watch(self, name: str) -> takeover.OwnerWatch | None:
        """None if the session turns out to be final."""
        session = self._worker.namespace.session(name)
        if is_final(session):
            self._settle(name, is_final=True)
            return None
        owner = takeover.claim_of(session).owner
        if owner == self._worker.worker_id:
            self._own.add(name)
            owner = ""  # that this worker lives says nothing: only the stream does
        watch = takeover.OwnerWatch(self._worker.namespace, session, owner, self._read_worker_file)
        self._watches[name] = watch
        return watch

    def _read_worker_file(self, worker_id: str) -> bytes:
        if worker_id not in self._documents:
            self._documents[worker_id] = read_worker_file(self._worker.namespace, worker_id)
        return self._documents[worker_id]

    def _end_own(self, name: str) -> None:
        """A session of this worker's that nobody is at work on, and that recovery does not know."""
        del self._watches[name]
        if not lost_rows.restore(self._worker, self._worker.namespace.session(name)):
            self._take_over(name)

    def _take_over(self, name: str) -> None:
        session = self._worker.namespace.session(name)
        owner = takeover.claim_of(session).worker_id or "unknown"
        by, token = f"worker {self._worker.worker_id}", self._tokens.setdefault(name, new_token())
        ended = takeover.end(session, token, by, owner, stalled=name in self._stalled)
        self._watches.pop(name, None)
        if not ended and not is_final(session):
            # Another worker was first. If he dies before he has published the end, the next watch ends in this one.
            self._stalled.add(name)
            return
        if ended:
            self._worker.debug.say("failure", f"{name}: its owner {owner} is silent: ended by takeover")
        self._settle(name, is_final=True)

    def _settle(self, name: str, *, is_final: bool) -> None:
        self._forget(name)
        self._settled(name, is_final)

    def _forget(self, name: str) -> None:
        self._watches.pop(name, None)
        self._stalled.discard(name)
        self._tokens.pop(name, None)
        self._own.discard(name)
