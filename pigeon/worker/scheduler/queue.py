"""Which waiting session may be tried now: slots, one per directory, first seen first. Pure.

A waiting session is unclaimed: it holds no slot and no process, another worker may take it, and its client may
withdraw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pigeon.wire.documents import Job
from pigeon.worker.scheduler.sessions import Candidate, Tried, Waiting

SLOT = "slot"
DIRECTORY = "directory"
CLIENT = "client"

REFUSALS = 2
"""So many sessions are refused at a time: each takes a process, which those that want to run must not wait for."""


@dataclass(frozen=True)
class Verdict:
    """Start it (`reason` None), or wait for `reason`, behind a session or an unknown holder."""

    session: Waiting | Tried
    reason: str | None
    behind: str | None = None
    beside: frozenset[str] = frozenset()
    """Start it though one of these has the directory: they are of one job, and wait for each other."""


@dataclass(frozen=True)
class Holder:
    """A session of this worker's that has a directory for itself, and its client's place on its host, if known."""

    session_id: str
    job: Job | None = None


def _companions(one: Candidate, holders: Iterable[Holder]) -> frozenset[str]:
    """Those of the holders that are of one job with it: its client has said so, or one reads what the other writes."""
    job = one.request.job
    return frozenset(
        holder.session_id
        for holder in holders
        if holder.session_id in one.companions
        or (job is not None and holder.job is not None and job.feeds(holder.job))
    )


def decide(
    waiting: Iterable[Waiting | Tried],
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
    refused: list[Waiting | Tried] = []
    free = {False: free_slots, True: free_net}
    taken = {directory: holders[0].session_id for directory, holders in held.items()}
    holding = {directory: list(holders) for directory, holders in held.items()}
    for session in waiting:
        one = session.candidate
        if one.refusal is not None:
            refused.append(session)
            continue
        is_early = _is_early(session, now)
        was_held = isinstance(session, Tried) and session.held_elsewhere
        if one.needs_sign_of_life:
            verdicts.append(Verdict(session, CLIENT))
            continue  # holds up nobody: a dead client's session is no reason to wait
        directory = one.request.cwd
        companions = _companions(one, holding.get(directory, ())) if one.locks else frozenset()
        if companions and not is_early:
            verdicts.append(Verdict(session, None, beside=companions))
            holding[directory].append(Holder(one.session_id, one.request.job))
            continue
        if one.locks and directory in taken:
            verdicts.append(Verdict(session, DIRECTORY, taken[directory]))
            continue
        if one.locks:
            taken[directory] = one.session_id
        if is_early:
            verdicts.append(Verdict(session, DIRECTORY if was_held else one.reason or SLOT, None))
        elif free[one.is_net] <= 0:
            verdicts.append(Verdict(session, SLOT))
        else:
            free[one.is_net] -= 1
            if one.locks:
                holding.setdefault(directory, []).append(Holder(one.session_id, one.request.job))
            # If another worker's session has the directory, it may be one that the client has named.
            beside = frozenset(one.companions) if was_held else frozenset()
            verdicts.append(Verdict(session, None, beside=beside))
    for session in refused:
        is_due = refusing < REFUSALS and not _is_early(session, now)
        refusing += is_due
        verdicts.append(Verdict(session, None if is_due else SLOT))
    return verdicts


def _is_early(session: Waiting | Tried, now: float) -> bool:
    return isinstance(session, Tried) and session.retry_at > now
