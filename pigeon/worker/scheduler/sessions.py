"""The sessions that one worker knows, each in exactly one state; a state carries the data that is valid in it.

             ┌──────────► Ignored (another route's, not ours to touch, removed)
    listed ─► Incomplete ─► Waiting ─► Running ─► Final ─► removed, after its retention
                 │            ▲  ▲        │
                 │            │  └ Tried ◄┤ nothing came of it: again later
                 │            │           ├─► Owned (another has the claim) ─► Final
                 └─► Owned, Final         └─► Orphan (its runner died) ─┐
    journal ─► Adopted (a runner of a former scheduler) ─► Owned        │
    journal ─► Waiting (again), or Ending (a process that gives it an end) ─► Owned ◄── (recovery)

The scheduler moves them; a move is `put`. Nothing here looks at the share, the journal or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pigeon.backoff import Backoff
from pigeon.journal.rows import Row
from pigeon.wire.documents import Request
from pigeon.wire.pacing import Silence

_NEVER = float("inf")


@dataclass(slots=True)
class Candidate:
    """A session that this worker may run, from when it was first seen until its runner has ended.

    What it waits for is counted here, over all the times that it waits; as is whether its client lives.
    """

    session_id: str
    request: Request
    seen_at: float
    """Unix seconds, for people."""
    seen: float
    """The same by the monotonic clock, for the order."""
    refusal: tuple[str, str] | None = None
    """(state, reason): it is claimed only to be ended so."""
    row: Row | None = None
    """The journal row of a claim to take up again."""
    stuck: str = ""
    """Why it could not be started when it was last its turn, for its client."""
    has_vanished: bool = False
    """It was gone from the share for a while: its client may have been told so, and have left."""
    needs_sign_of_life: bool = False
    silence: Silence = field(default_factory=Silence)
    control_bytes: int | None = None
    """Size of its client's control file at the last look."""
    looked_at: float = 0.0
    """When its directory was last listed."""
    backoff: Backoff = field(default_factory=Backoff)
    reason: str | None = None
    """What it waits for now; None while nothing is in its way."""
    reason_since: float = 0.0
    behind: str | None = None
    waited: dict[str, float] = field(default_factory=dict)
    """Reason -> seconds, for waits that are over."""
    companions: set[str] = field(default_factory=set)
    """The sessions beside which its client has asked for it to be run: they wait for each other."""

    @property
    def locks(self) -> bool:
        """Whether it wants its directory for itself."""
        return self.request.locks and self.refusal is None

    @property
    def is_net(self) -> bool:
        """Whether it lends the network: such sessions have slots of their own, since they last for days."""
        return self.request.is_net and self.refusal is None

    def waited_for(self, reason: str, now: float) -> float:
        """Seconds it has waited for `reason` so far, the present wait included."""
        present = now - self.reason_since if self.reason == reason else 0.0
        return self.waited.get(reason, 0.0) + present

    def wait_for(self, reason: str | None, behind: str | None, now: float) -> bool:
        """Note what it waits for from `now` on. True if that has changed."""
        if (reason, behind) == (self.reason, self.behind):
            return False
        if self.reason is not None:
            self.waited[self.reason] = self.waited.get(self.reason, 0.0) + now - self.reason_since
        self.reason, self.behind, self.reason_since = reason, behind, now
        return True


@dataclass(slots=True)
class Incomplete:
    """A session that is not published yet, or could not be read, since monotonic `since`."""

    since: float
    retry_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.001))
    """A client that is just publishing is done within a millisecond or two."""


@dataclass(slots=True)
class Unpublished:
    """Never finished by who began to make it, or not to be read, since monotonic `since`; looked at no more."""

    since: float


@dataclass(slots=True)
class Waiting:
    """Unclaimed: it may be tried as soon as the queue lets it."""

    candidate: Candidate


@dataclass(slots=True)
class Tried:
    """Unclaimed again after a runner could do nothing with it; not before `retry_at`."""

    candidate: Candidate
    retry_at: float
    held_elsewhere: bool
    """Another worker's command holds the directory."""


@dataclass(slots=True)
class Running:
    """A runner that this scheduler has forked is at work on it."""

    candidate: Candidate
    pid: int
    since: float
    is_retry: bool
    """Its wait for the directory goes on until the runner turns out to have got it."""
    is_beside: bool = False
    """It runs beside another of its own job, and takes no slot."""
    launch: str = ""
    """The token under which it is run elsewhere; "" for one that runs here."""


@dataclass(slots=True)
class Adopted:
    """A runner that lives, and has no scheduler any more. `candidate`: what waited here when it was found."""

    row: Row
    since: float
    candidate: Candidate | None = None


@dataclass(slots=True)
class Ending:
    """A process that this scheduler has forked gives the session of a dead runner its end."""

    row: Row
    pid: int


@dataclass(slots=True)
class Owned:
    """Claimed, and not known to be final: by whom, the claim says."""


@dataclass(slots=True)
class Orphan:
    """Its runner has died, and its row says how far it came: recovery's next look will find it."""


@dataclass(slots=True)
class Final:
    """Seen final since monotonic `since`. `is_brief`: what it leaves is nobody's to read again."""

    since: float
    is_brief: bool = False


@dataclass(slots=True)
class Ignored:
    """Nothing that this worker has to do with, as long as it is listed."""


OWNED, ORPHAN, IGNORED = Owned(), Orphan(), Ignored()

State = (
    Incomplete | Unpublished | Waiting | Tried | Running | Adopted | Ending | Owned | Orphan | Final | Ignored
)
Kind = TypeVar("Kind", bound=State)

FORGOTTEN_WITH_ITS_DIRECTORY = (Incomplete, Unpublished, Owned, Orphan, Final, Ignored)
"""Of the others somebody is told, or a process is at work on them."""


class Sessions:
    """Session id -> state, and the other way round. Costs nothing per session that is not asked for."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}
        self._of: dict[type[Any], dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._states

    def get(self, session_id: str) -> State | None:
        """Its state; None if the session is not known."""
        return self._states.get(session_id)

    def of(self, kind: type[Kind]) -> Mapping[str, Kind]:
        """Those in one state, in the order in which they came into it. Each move changes it: copy it to move some."""
        found = self._of.get(kind)
        return self._of.setdefault(kind, {}) if found is None else found

    def unknown(self, names: list[str]) -> list[str]:
        """Those of `names` that are no known session's."""
        states = self._states
        return [name for name in names if name not in states]

    def put(self, session_id: str, state: State) -> None:
        """From now on the session is in this state, and in no other."""
        before = self._states.get(session_id)
        if before is not None and type(before) is not type(state):
            del self._of[type(before)][session_id]
        self._states[session_id] = state
        self._of.setdefault(type(state), {})[session_id] = state

    def keep_only(self, listed: set[str]) -> list[str]:
        """Forget those that are not listed any more, unless somebody waits or works for them. Those among them that
        were not final."""
        vanished = []
        for session_id in self._states.keys() - listed:
            kind = type(self._states[session_id])
            if kind in FORGOTTEN_WITH_ITS_DIRECTORY:
                del self._states[session_id]
                del self._of[kind][session_id]
                if kind is not Final:
                    vanished.append(session_id)
        return vanished

    # Those that wait

    def candidates(self) -> Iterator[Candidate]:
        """Of all that wait, in no order."""
        for waiting in self.of(Waiting).values():
            yield waiting.candidate
        for tried in self.of(Tried).values():
            yield tried.candidate

    def stuck(self) -> dict[str, str]:
        """Why some of them could not be started."""
        return {one.session_id: one.stuck for one in self.candidates() if one.stuck}

    def in_order(self) -> list[Waiting | Tried]:
        """All that wait, in the order in which this worker first saw them."""
        both: Iterable[Waiting | Tried] = (*self.of(Waiting).values(), *self.of(Tried).values())
        return sorted(both, key=lambda one: one.candidate.seen)

    def next_retry(self) -> float:
        """Monotonic seconds at which one may be tried again; infinity if none waits for that."""
        tried = self.of(Tried)
        return min(one.retry_at for one in tried.values()) if tried else _NEVER

    def candidate_of(self, session_id: str) -> Candidate | None:
        """The session, if it waits."""
        state = self.get(session_id)
        return state.candidate if isinstance(state, Waiting | Tried) else None
