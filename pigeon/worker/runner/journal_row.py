"""A runner's row in the journal, written ahead of each step on the share; and its notes, which may be lost.

The journal stays open from step to step, since opening it costs more than one, while the session is being started or
ended; not while the command runs, which may take days.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from pigeon import __version__, clock
from pigeon.errors import JournalError
from pigeon.journal import states as journal_states
from pigeon.journal.connection import JournalUnavailable
from pigeon.journal.store import Journal
from pigeon.wire import states
from pigeon.wire.names import new_token
from pigeon.worker import identity
from pigeon.worker.debug import tell
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.row import birth
from pigeon.worker.runner import launch
from pigeon.worker.runner.ownership import Superseded

PATIENCE_S = 5.0
"""How long the journal is waited for while nothing is claimed: the runner holds the directory meanwhile."""

_MAKER = ("worker_id", "worker_host", "worker_pid")
"""Whose claim it is: the worker that made it, whoever takes it up."""


class JournalRow:
    """One row, under one claim token and, from `begin` on, one epoch."""

    def __init__(
        self, worker: Worker, task: Assignment, journal: Journal | None, holds_claim: Callable[[str], bool]
    ) -> None:
        """`journal`: one that is open already. `holds_claim`: whether the share says that the token's claim is the
        session's, and that nobody has ended it; may raise Superseded.
        """
        row = task.row
        self.token = row.claim_token if row else (task.launch.token if task.launch else new_token())
        self.epoch = row.epoch if row else 1
        self._worker = worker
        self._task = task
        self._kept = journal
        self._holds_claim = holds_claim
        self._owner: dict[str, Any] = {}
        self._columns: dict[str, Any] = {}
        """What the row has been told since `begin`."""
        self._gives_up_at: float | None = None
        if journal is not None:
            journal.tell_trouble(self._say)

    def begin(self, proof_path: str) -> bool:
        """Write that the claim is about to be made, or take over the row of a dead runner. False: another has.

        Raises:
            JournalError: the journal did not work for PATIENCE_S, or is no journal. What was written all the same is
                the row of a dead runner from now on.
        """
        self._gives_up_at = clock.monotonic() + PATIENCE_S
        self._owner = {
            "runner_pid": os.getpid(),
            "runner_start": identity.start_ticks(os.getpid()),
            "runner_lock": proof_path,
            "boot_id": self._worker.boot,
        }
        row = self._task.row
        if row is None:
            client = self._task.request.version or None
            self._journal().begin_claim(self._new_row(), worker_version=__version__, client_version=client)
        elif self._journal().raise_epoch(self.token, self.epoch, row.state, **self._owner):
            self.epoch += 1
        else:
            return False
        self._gives_up_at = None
        return True

    def _new_row(self) -> dict[str, object]:
        task, row = self._task, self._task.row
        made_by = {} if row is None else {name: getattr(row, name) for name in _MAKER}
        return {
            **birth(self._worker, task.request, self.token, seen_at=task.seen_at),
            **made_by,
            "slot_wait_s": task.slot_wait_s,
            "lock_wait_s": task.lock_wait_s,
            **self._before_the_command(),
            **self._owner,
        }

    def _before_the_command(self) -> dict[str, object]:
        launching = self._worker.launching
        if self._task.launch is None or launching is None:
            return {"wrapped": shlex.join(launch.wrapper(self._task, self._worker)) or None}
        return {"launcher": shlex.join(launching.words)}

    def forget(self) -> None:
        """The claim was lost. A row that cannot be removed now is that of a dead runner, soon."""
        self._gives_up_at = clock.monotonic() + PATIENCE_S
        try:
            self._journal().forget(self.token, self.epoch)
        except JournalError as error:
            self._say(error.message, waits=False)

    def claimed(self) -> None:
        """The claim is ours. Raises Superseded."""
        self._step(journal_states.CLAIMED, claimed_at=clock.wall(), **self._owner)

    def starting(self, *, durable: bool) -> None:
        """From here on the session is never started again. Raises Superseded."""
        self._step(journal_states.STARTING, durable=durable)

    def _step(self, to: str, *, durable: bool = False, **columns: object) -> None:
        if not self._advance(to, durable=durable, **columns):
            raise Superseded("another process has recovered the session")

    def _advance(self, to: str, *, durable: bool = False, **columns: object) -> bool:
        """The step, in whatever journal lies there now. False: the row is in other hands.

        A row that is missing is in nobody's: the share says whose the session is, and a journal that has lost the row
        lets nobody else start or end it. It gets the row again, with the step, before what the step allows is done.
        """
        self._columns.update(columns)
        journal = self._journal()
        if journal.advance(self.token, self.epoch, to=to, durable=durable, **columns):
            return True
        if journal.get(self.token) is not None or not self._holds_claim(self.token):
            return False
        if not journal.restore({**self._new_row(), **self._columns}, self.epoch, to, durable=durable):
            return False
        tell(
            f"pigeon worker: the journal had lost session {self._task.session_id}, and has it again; "
            "was its file replaced?"
        )
        return True

    def launched(self, *, node: str, job: str) -> None:
        """A worker that was started for the session has claimed it. Raises Superseded."""
        if self._task.row is None or self._task.row.state != journal_states.LAUNCHED:
            self._step(
                journal_states.LAUNCHED,
                node=node,
                engine_job=job or None,
                claimed_at=clock.wall(),
                **self._owner,
            )

    def copied(self, columns: Mapping[str, object]) -> None:
        """The session has its end, which another worker brought about. Raises Superseded."""
        self._step(journal_states.FINAL, final_at=clock.wall(), **dict[str, Any](columns))

    def running(self, pid: int | None, started_at: float | None) -> None:
        """The command runs, and may go on for long."""
        self._advance(
            journal_states.RUNNING,
            command_pid=pid,
            command_start=identity.start_ticks(pid) if pid else None,
            started_at=started_at,
        )
        self.close()

    def exited(self, return_code: int, counts: dict[str, int], **columns: object) -> bool:
        """The wait result, on the disk before anybody is told. False: another process has recovered the session."""
        return self._advance(
            journal_states.EXITED,
            durable=True,
            return_code=return_code,
            exit_code=states.exit_code_of(return_code),
            ended_at=clock.wall(),
            **dict[str, Any](counts),
            **columns,
        )

    def final(self, state: str, error: str | None, counts: dict[str, int]) -> None:
        """The session has its end; the row is closed, and the journal too."""
        self._journal().advance(
            self.token,
            self.epoch,
            to=journal_states.FINAL,
            final_at=clock.wall(),
            outcome=state,
            error=error,
            **dict[str, Any](counts),
        )
        self.close()

    def note(self, event: str, **detail: object) -> None:
        """An event of the session. May be lost: bookkeeping is never worth the command."""
        self._worker.debug.say("signal", f"{self._task.session_id}: {event} {detail or ''}")
        try:
            if self._kept is not None:
                self._kept.event(self._task.session_id, event, **detail)
                return
            with Journal.open(self._worker.journal_path) as journal:
                journal.event(self._task.session_id, event, **detail)
        except JournalError:
            pass

    def begin_wait(self, reason: str) -> None:
        """The session waits from now on. May be lost."""
        session_id, by = self._task.session_id, self._worker.worker_id
        self._keep_books(lambda journal: journal.begin_wait(session_id, by, reason, None, clock.wall()))

    def end_wait(self, reason: str, waited_s: float) -> None:
        """It does no longer. May be lost."""
        session_id, by = self._task.session_id, self._worker.worker_id
        self._keep_books(lambda journal: journal.end_wait(session_id, by, reason, waited_s))

    def _keep_books(self, write: Callable[[Journal], None]) -> None:
        try:
            with Journal.open(self._worker.journal_path, brief=True) as journal:
                write(journal)
        except JournalError:
            pass

    def _journal(self) -> Journal:
        """The journal for a step: a full disk or a busy database is waited for, while `_say` lets it."""
        if self._kept is None:
            brief = self._gives_up_at is not None
            path = self._worker.journal_path
            before = self._worker.journal_seen
            self._kept = Journal.open(path, patient=True, brief=brief, on_trouble=self._say, before=before)
        return self._kept

    def _say(self, trouble: str, *, waits: bool = True) -> None:
        self._worker.debug.say("failure", f"{self._task.session_id}: journal: {trouble}")
        if waits and self._gives_up_at is not None and clock.monotonic() >= self._gives_up_at:
            raise JournalUnavailable(trouble.removesuffix("; waiting"))

    def close(self) -> None:
        """Close the journal; the next step opens it again."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def byte_counts(outbound: Outbound, inbound: Inbound) -> dict[str, int]:
    """What the row says about how much was moved."""
    return {
        "bytes_in": inbound.input_bytes,
        "stdin_bytes": inbound.file.taken[0],
        "stream_bytes": outbound.stream.lines.end,
        "signals": inbound.orders.signals,
        **{f"bytes_out_{channel}": count for channel, count in outbound.channel_bytes.items()},
    }
