"""The runners at work for one scheduler: those that it has forked, and those of a former one that it has adopted.

Owns who they are, which directories they hold and how many slots they take. Promises to hang up no process but them.
Neither forks nor reaps, and decides nothing about their sessions: that is the scheduler's.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pigeon import clock
from pigeon.journal.queries import Row
from pigeon.wire.documents import NET_COMMAND
from pigeon.wire.worker_file import RunningEntry
from pigeon.worker import identity
from pigeon.worker.proof import signal_holder
from pigeon.worker.recovery import plan
from pigeon.worker.scheduler.queue import Holder, Waiting


@dataclass
class Running:
    """A runner that this scheduler has forked or adopted. `pid` is that of its process."""

    session_id: str
    cwd: str
    command: list[str]
    since: float
    pid: int
    locks: bool
    token: str | None = None
    row: Row | None = None
    is_recovery: bool = False
    is_net: bool = False
    waiting: Waiting | None = None
    is_beside: bool = False

    @property
    def holder(self) -> Holder:
        """What others that want its directory have to know."""
        return Holder(self.session_id, self.waiting.request.job if self.waiting is not None else None)

    @property
    def is_refusal(self) -> bool:
        """The session is only claimed to be ended."""
        return self.waiting is not None and self.waiting.refusal is not None

    def describe(self, now: float) -> RunningEntry:
        """What the worker file says of it (FORMAT.md, "workers/")."""
        return RunningEntry(self.session_id, self.cwd, self.command, now - self.since, locks=self.locks)


class Runners:
    """All that run now, each once. Its length is their number, recoveries included."""

    def __init__(self, proof_directory: str) -> None:
        self._proof_directory = proof_directory
        self._children: dict[int, Running] = {}
        self._adopted: dict[str, Running] = {}

    def __len__(self) -> int:
        return len(self._children) + len(self._adopted)

    # Who comes and goes

    @property
    def has_children(self) -> bool:
        """Whether one of them is a child of this process, whose end a signal tells."""
        return bool(self._children)

    @property
    def has_adopted(self) -> bool:
        """Whether one of them was forked by another scheduler, so that its end has to be looked for."""
        return bool(self._adopted)

    def add_runner(self, pid: int, waiting: Waiting, *, is_beside: bool = False) -> None:
        """This scheduler has forked a runner for the session."""
        self._children[pid] = Running(
            waiting.session_id,
            waiting.request.cwd,
            waiting.request.command,
            clock.monotonic(),
            pid,
            waiting.locks,
            token=waiting.row.claim_token if waiting.row else None,
            is_net=waiting.is_net,
            waiting=waiting,
            is_beside=is_beside,
        )

    def add_recovery(self, pid: int, row: Row) -> None:
        """This scheduler has forked a process that gives the session of a dead runner its end."""
        self._children[pid] = Running(
            row.session_id,
            row.cwd or "",
            [],
            clock.monotonic(),
            pid,
            row.lock_mode == "cwd",
            token=row.claim_token,
            is_recovery=True,
        )

    def take_out(self, pid: int) -> Running | None:
        """The one whose process has ended; None if it was another child."""
        return self._children.pop(pid, None)

    def adopt(self, row: Row) -> bool:
        """Watch the runner that a row names from now on. False: it is one of these already."""
        if self.has_forked(row.session_id) or row.claim_token in self._adopted:
            return False
        self._adopted[row.claim_token] = Running(
            row.session_id,
            row.cwd or "",
            row.command,
            clock.monotonic(),
            row.runner_pid or 0,
            row.lock_mode == "cwd",
            token=row.claim_token,
            is_net=row.command == NET_COMMAND,
            row=row,
        )
        return True

    def drop_settled(self, unfinished: Collection[str]) -> list[str]:
        """Forget the adopted ones whose row is closed or gone, that is not among these tokens; their sessions.

        A runner in another pid namespace ends and takes its proof of life with it, and nothing here proves its death.
        """
        settled = [token for token in self._adopted if token not in unfinished]
        return [self._adopted.pop(token).session_id for token in settled]

    def drop_dead(self) -> list[str]:
        """Forget the adopted ones that are proven dead; the ids of their sessions."""
        dead = [
            token
            for token, one in self._adopted.items()
            if one.row is not None and plan.is_dead(self._proof_directory, one.row)
        ]
        return [self._adopted.pop(token).session_id for token in dead]

    # What they are at

    def _all(self) -> Iterable[Running]:
        return (*self._children.values(), *self._adopted.values())

    def has_forked(self, session_id: str) -> bool:
        """Whether a child of this process is at work on the session."""
        return any(one.session_id == session_id for one in self._children.values())

    def is_at(self, session_id: str) -> bool:
        """Whether one of them is at work on the session."""
        return any(one.session_id == session_id for one in self._all())

    def forked_tokens(self) -> set[str]:
        """The claims that children of this process have taken up from the journal."""
        return {one.token for one in self._children.values() if one.token}

    def held(self) -> dict[str, list[Holder]]:
        """Directory -> the sessions that have it: one, or several of one job."""
        held: dict[str, list[Holder]] = {}
        for one in self._all():
            if one.locks:
                held.setdefault(one.cwd, []).append(one.holder)
        return held

    def slots_taken(self, *, is_net: bool = False) -> int:
        """How many commands run, or with `is_net` sessions that lend the network.

        A recovery or a refusal runs none, and who runs beside another waits for no slot.
        """
        counted = (one for one in self._all() if not (one.is_recovery or one.is_refusal or one.is_beside))
        return sum(one.is_net == is_net for one in counted)

    def refusing(self) -> int:
        """How many sessions are being refused."""
        return sum(one.is_refusal for one in self._children.values())

    def net_sessions(self) -> set[str]:
        """Ids of those that lend the network."""
        return {one.session_id for one in self._all() if one.is_net}

    def describe(self, now: float) -> list[RunningEntry]:
        """Those that run a command, for the worker file."""
        return [one.describe(now) for one in self._all() if not one.is_recovery]

    def hang_up(self) -> None:
        """Order each to end its command. A recovery is left to its end, which it is bringing about already."""
        for one in self._children.values():
            if not one.is_recovery:
                identity.send([one.pid], signal.SIGTERM)
        for one in self._adopted.values():
            if one.row is not None:
                proof = plan.proof_of(self._proof_directory, one.row)
                signal_holder(one.pid, one.row.runner_start, proof, signal.SIGTERM)
