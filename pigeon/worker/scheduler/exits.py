"""What becomes of a session when the process at work on it has ended: one table. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pigeon.worker.handover import RunnerExit
from pigeon.worker.scheduler.sessions import ORPHAN, OWNED, Ending, Final, Running, State, Tried


class Kind(Enum):
    """Which process it was."""

    FRESH = "a runner of a session that had no row"
    RESUMED = "a runner that took up the row of a dead one"
    ENDER = "a process that gives the session of a dead runner its end"


class Next(Enum):
    """The state that the session comes into (sessions.py)."""

    FINAL = "Final"
    OWNED = "Owned: final by now, or soon, or in other hands"
    TRIED = "Tried: later again"
    HELD = "Tried: later again; another worker's command has its directory"
    ORPHAN = "Orphan: recovery, which knows it by its row, decides"


DIED = "died"
"""Any exit status that the table does not list for the process: a signal, or an error of ours."""


class Look(Enum):
    """When recovery looks for rows of dead runners."""

    AS_EVER = "when it would anyhow"
    NOW = "in this turn, before the session is tried again"
    LATER = "after a pause that grows with each death"


@dataclass(frozen=True)
class Move:
    """What is done."""

    to: Next
    look: Look = Look.AS_EVER
    is_death: bool = False
    """It is counted: a session that has cost several runners their life is not tried for ever."""
    is_told: bool = False
    """People hear of it."""
    ends_worker: bool = False
    """No worker can go on with this journal."""


_RUNNER: dict[int, Move] = {
    RunnerExit.DONE: Move(Next.FINAL),
    RunnerExit.HELD: Move(Next.HELD),
    RunnerExit.LATER: Move(Next.TRIED),
    RunnerExit.LOST: Move(Next.OWNED),
    RunnerExit.SUPERSEDED: Move(Next.OWNED),
    RunnerExit.JOURNAL: Move(Next.ORPHAN, ends_worker=True),
}

MOVES: dict[tuple[Kind, int | str], Move] = {
    **{(Kind.FRESH, code): move for code, move in _RUNNER.items()},
    # It may have died before it wrote a row, and then recovery knows nothing of the session.
    (Kind.FRESH, DIED): Move(Next.TRIED, Look.NOW, is_death=True, is_told=True),
    **{(Kind.RESUMED, code): move for code, move in _RUNNER.items()},
    (Kind.RESUMED, DIED): Move(Next.ORPHAN, Look.NOW, is_death=True, is_told=True),
    # Ended, or left to who has begun to end it: looked at again until it is final.
    (Kind.ENDER, RunnerExit.DONE): Move(Next.OWNED),
    (Kind.ENDER, RunnerExit.SUPERSEDED): Move(Next.OWNED, Look.LATER, is_death=True),
    (Kind.ENDER, DIED): Move(Next.OWNED, Look.LATER, is_death=True),
}
"""(process, its exit status) -> what is done."""


def after(kind: Kind, code: int) -> Move:
    """What is done once a process of this kind has ended with `code` (`-n`: by signal n)."""
    return MOVES.get((kind, code)) or MOVES[kind, DIED]


def kind_of(state: Running | Ending) -> Kind:
    """Which process was at work on a session in this state."""
    if isinstance(state, Ending):
        return Kind.ENDER
    return Kind.FRESH if state.candidate.row is None else Kind.RESUMED


def state_after(to: Next, state: Running | Ending, now: float, pause_s: float | None = None) -> State:
    """The session's state from monotonic `now` on. `pause_s`: for so long it is not tried; None: its own next pause."""
    if to is Next.FINAL:
        return Final(now, is_brief=isinstance(state, Running) and state.candidate.is_net)
    if to is Next.ORPHAN:
        return ORPHAN
    if to is Next.OWNED or isinstance(state, Ending):
        return OWNED
    retry_at = now + (state.candidate.backoff.failed() if pause_s is None else pause_s)
    return Tried(state.candidate, retry_at, held_elsewhere=to is Next.HELD)
