"""Which waiting session may be tried now: slots, one per directory, first seen first. Pure.

A waiting session is unclaimed: it holds no slot and no process, another worker may take it, and its client may
withdraw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pigeon.backoff import Backoff
from pigeon.journal.queries import Row
from pigeon.wire.documents import Request
from pigeon.wire.pacing import Silence

SLOT = "slot"
DIRECTORY = "directory"
CLIENT = "client"


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

    @property
    def locks(self) -> bool:
        """Whether it wants its directory for itself."""
        return self.request.locks and self.refusal is None

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


def decide(waiting: Iterable[Waiting], held: Mapping[str, str], free_slots: int, now: float) -> list[Verdict]:
    """A verdict for each waiting session, in order. `held`: directory -> id of this worker's session that has it."""
    verdicts = []
    taken = dict(held)
    for one in waiting:
        if one.needs_sign_of_life:
            verdicts.append(Verdict(one, CLIENT))
            continue  # holds up nobody: a dead client's session is no reason to wait
        directory = one.request.cwd
        if one.locks and directory in taken:
            verdicts.append(Verdict(one, DIRECTORY, taken[directory]))
            continue
        if one.locks:
            taken[directory] = one.session_id
        if one.retry_at > now:
            verdicts.append(Verdict(one, DIRECTORY if one.held_elsewhere else one.reason or SLOT, None))
        elif free_slots <= 0:
            verdicts.append(Verdict(one, SLOT))
        else:
            free_slots -= 1
            verdicts.append(Verdict(one, None))
    return verdicts
