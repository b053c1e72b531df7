"""Who is at work for one scheduler: runners and enders that it has forked, and runners of a former one.

Owns which directories they hold, how many slots they take and what is said of them. Promises to hang up no process
but them. Neither forks nor reaps, and decides nothing about their sessions: that is the scheduler's.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator

from pigeon.journal.rows import Row
from pigeon.wire.documents import NET_COMMAND
from pigeon.wire.worker_file import LaunchedEntry, RunningEntry
from pigeon.worker import identity
from pigeon.worker.engine import note
from pigeon.worker.proof import signal_holder
from pigeon.worker.recovery import plan
from pigeon.worker.scheduler.queue import Holder
from pigeon.worker.scheduler.sessions import Adopted, Ending, Running, Sessions


class Runners:
    """Those of `sessions` that a process is at work on."""

    def __init__(self, sessions: Sessions, proof_directory: str) -> None:
        self._sessions = sessions
        self._proof_directory = proof_directory

    def __len__(self) -> int:
        """How many processes, enders included."""
        return len(self._sessions.of(Adopted)) + self.children()

    def children(self) -> int:
        """How many of them are children of this process, whose end a signal tells."""
        return len(self._sessions.of(Running)) + len(self._sessions.of(Ending))

    def at_work(self, pid: int) -> tuple[str, Running | Ending] | None:
        """(session id, state) of the one with this child at work; None if it was another child."""
        for session_id, running in self._sessions.of(Running).items():
            if running.pid == pid:
                return session_id, running
        for session_id, ending in self._sessions.of(Ending).items():
            if ending.pid == pid:
                return session_id, ending
        return None

    def tokens(self) -> set[str]:
        """The claims from the journal that children of this process are at work on."""
        rows: list[Row | None] = [one.row for one in self._sessions.of(Ending).values()]
        rows += [one.candidate.row for one in self._sessions.of(Running).values()]
        return {row.claim_token for row in rows if row is not None}

    def dead(self) -> list[str]:
        """Sessions whose adopted runner is proven dead."""
        found = self._sessions.of(Adopted).items()
        return [session_id for session_id, one in found if plan.is_dead(self._proof_directory, one.row)]

    def settled(self, unfinished: Collection[str]) -> list[str]:
        """Sessions whose adopted runner's row is closed or gone: it is not among these tokens.

        A runner in another pid namespace ends and takes its proof of life with it, and nothing here proves its death.
        """
        found = self._sessions.of(Adopted).items()
        return [session_id for session_id, one in found if one.row.claim_token not in unfinished]

    def held(self) -> dict[str, list[Holder]]:
        """Directory -> the sessions that have it: one, or several of one job."""
        held: dict[str, list[Holder]] = {}
        for session_id, running in self._sessions.of(Running).items():
            request = running.candidate.request
            if running.candidate.locks:
                held.setdefault(request.cwd, []).append(Holder(session_id, request.job))
        for session_id, one in self._of_the_journal():
            if one.row.locks:
                held.setdefault(one.row.cwd or "", []).append(Holder(session_id))
        return held

    def _of_the_journal(self) -> Iterator[tuple[str, Adopted | Ending]]:
        yield from self._sessions.of(Ending).items()
        yield from self._sessions.of(Adopted).items()

    def slots_taken(self, *, is_net: bool = False) -> int:
        """How many commands run, or with `is_net` sessions that lend the network.

        An ender or a refusal runs none, and who runs beside another waits for no slot.
        """
        running = self._sessions.of(Running).values()
        forked = (one for one in running if not one.is_beside and one.candidate.refusal is None)
        adopted = self._sessions.of(Adopted).values()
        return sum(one.candidate.is_net == is_net for one in forked) + sum(
            (one.row.command == NET_COMMAND) == is_net for one in adopted
        )

    def refusing(self) -> int:
        """How many sessions are being refused."""
        return sum(one.candidate.refusal is not None for one in self._sessions.of(Running).values())

    def net_sessions(self) -> set[str]:
        """Ids of those that lend the network."""
        found = {name for name, one in self._sessions.of(Running).items() if one.candidate.is_net}
        adopted = self._sessions.of(Adopted).items()
        return found | {name for name, one in adopted if one.row.command == NET_COMMAND}

    def describe(self, now: float) -> list[RunningEntry]:
        """Those that run a command here, for the worker file (FORMAT.md, "workers/")."""
        return [entry for entry, launch in self._entries(now) if not launch]

    def launched(self, now: float) -> list[LaunchedEntry]:
        """Those that have a worker of their own started."""
        found = []
        for entry, launch in self._entries(now):
            if launch:
                said = note.read(self._proof_directory, launch)
                found.append(LaunchedEntry(entry, said.says, is_open=said.is_open))
        return found

    def _entries(self, now: float) -> Iterator[tuple[RunningEntry, str]]:
        """Each, and the token of its launch; "" if it runs here."""
        for session_id, running in self._sessions.of(Running).items():
            request, locks = running.candidate.request, running.candidate.locks
            entry = RunningEntry(session_id, request.cwd, request.command, now - running.since, locks=locks)
            yield entry, running.launch
        for session_id, one in self._sessions.of(Adopted).items():
            row = one.row
            entry = RunningEntry(session_id, row.cwd or "", row.command, now - one.since, locks=row.locks)
            yield entry, row.claim_token if row.launcher is not None else ""

    def hang_up(self) -> None:
        """Order each to end its command. An ender is left to that, which it is bringing about already."""
        for running in self._sessions.of(Running).values():
            identity.send([running.pid], signal.SIGTERM)
        for one in self._sessions.of(Adopted).values():
            left = plan.proof_of(self._proof_directory, one.row)
            signal_holder(one.row.runner_pid or 0, one.row.runner_start, left, signal.SIGTERM)
