"""Which waiting session may be tried now: slots, one per directory, first seen first. Pure.

A waiting session is unclaimed: it holds no slot and no process, another worker may take it, and its client may
withdraw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pigeon.backoff import Backoff
from pigeon.journal.queries import Row
from pigeon.wire.documents import Job, Request
from pigeon.wire.pacing import Silence

SLOT = "slot"
DIRECTORY = "directory"
CLIENT = "client"

REFUSALS = 2
"""So many sessions are refused at a time: each takes a process, which those that want to run must not wait for."""


@dataclass
class Waiting:
    """A session that this worker has seen and not yet claimed (or has to take up again, with `row`)."""

    session_id: str
    request: Request
    seen_at: float
    seen_monotonic: float
    refusal: tuple[str, str] | None = None
    row: Row | None = None
    needs_sign_of_life: bool = False
    stuck: str = ""
    """Why it could not be started when it was last its turn, for its client."""
    has_vanished: bool = False
    """It was gone from the share for a while: its client may have been told so, and have left."""
    silence: Silence = field(default_factory=Silence)
    control_bytes: int = -1
    looked_at: float = 0.0
    retry_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    held_elsewhere: bool = False
    reason: str | None = None
    """What it waits for now; None when nothing was ever in its way."""
    reason_since: float = 0.0
    behind: str | None = None
    waited: dict[str, float] = field(default_factory=dict)
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


@dataclass(frozen=True)
class Verdict:
    """Start it (`reason` None), or wait for `reason`, behind a session or an unknown holder."""

    waiting: Waiting
    reason: str | None
    behind: str | None = None
    beside: frozenset[str] = frozenset()
    """Start it though one of these has the directory: they are of one job, and wait for each other."""


@dataclass(frozen=True)
class Holder:
    """A session of this worker's that has a directory for itself, and its client's place on its host, if known."""

    session_id: str
    job: Job | None = None


def _companions(one: Waiting, holders: Iterable[Holder]) -> frozenset[str]:
    """Those of the holders that are of one job with it: its client has said so, or one reads what the other writes."""
    job = one.request.job
    return frozenset(
        holder.session_id
        for holder in holders
        if holder.session_id in one.companions
        or (job is not None and holder.job is not None and job.feeds(holder.job))
    )


def decide(
    waiting: Iterable[Waiting],
    held: Mapping[str, Sequence[Holder]],
    free_slots: int,
    now: float,
    *,
    free_net: int = 0,
    refusing: int = 0,
) -> list[Verdict]:
    """A verdict for each waiting session, in order. `held`: directory -> this worker's sessions that have it.

    `free_slots`: for commands. `free_net`: for sessions that lend the network.
    Several have one only if they are of one job. Such a session waits for neither the directory nor a slot, nor for
    those that came earlier: they wait for its companion, and that for it.
    Those that are only to be refused come after those that want to run, and take no slot. `refusing`: so many are being
    refused now.
    """
    verdicts: list[Verdict] = []
    refused = []
    free = {False: free_slots, True: free_net}
    taken = {directory: holders[0].session_id for directory, holders in held.items()}
    holding = {directory: list(holders) for directory, holders in held.items()}
    for one in waiting:
        if one.refusal is not None:
            refused.append(one)
            continue
        if one.needs_sign_of_life:
            verdicts.append(Verdict(one, CLIENT))
            continue  # holds up nobody: a dead client's session is no reason to wait
        directory = one.request.cwd
        companions = _companions(one, holding.get(directory, ())) if one.locks else frozenset()
        if companions and one.retry_at <= now:
            verdicts.append(Verdict(one, None, beside=companions))
            holding[directory].append(Holder(one.session_id, one.request.job))
            continue
        if one.locks and directory in taken:
            verdicts.append(Verdict(one, DIRECTORY, taken[directory]))
            continue
        if one.locks:
            taken[directory] = one.session_id
        if one.retry_at > now:
            verdicts.append(Verdict(one, DIRECTORY if one.held_elsewhere else one.reason or SLOT, None))
        elif free[one.is_net] <= 0:
            verdicts.append(Verdict(one, SLOT))
        else:
            free[one.is_net] -= 1
            if one.locks:
                holding.setdefault(directory, []).append(Holder(one.session_id, one.request.job))
            # If another worker's session has the directory, it may be one that the client has named.
            beside = frozenset(one.companions) if one.held_elsewhere else frozenset()
            verdicts.append(Verdict(one, None, beside=beside))
    for one in refused:
        is_due = one.retry_at <= now and refusing < REFUSALS
        refusing += is_due
        verdicts.append(Verdict(one, None if is_due else SLOT))
    return verdicts
