"""A runner's row in the journal, written ahead of each step on the share; and its notes, which may be lost.

The journal stays open from step to step, since opening it costs more than one, while the session is being started or
ended; not while the command runs, which may take days.
"""

from __future__ import annotations

import os
from typing import Any

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal.store import Journal
from pigeon.wire import states
from pigeon.wire.names import new_token
from pigeon.worker import identity, lifecycle
from pigeon.worker.inbound import Inbound
from pigeon.worker.outbound import Outbound
from pigeon.worker.ownership import Superseded
from pigeon.worker.task import Task, Worker


class Books:
    """One row, under one claim token and, from `begin` on, one epoch."""

    def __init__(self, worker: Worker, task: Task, journal: Journal | None) -> None:
        """`journal`: one that is open already."""
        row = task.row
        self.token = row.claim_token if row else new_token()
        self.epoch = row.epoch if row else 1
        self._worker = worker
        self._task = task
        self._kept = journal
        self._owner: dict[str, Any] = {}

    def begin(self, proof_path: str) -> bool:
        """Write that the claim is about to be made, or take over the row of a dead runner. False: another has."""
        self._owner = {
            "runner_pid": os.getpid(),
            "runner_start": identity.start_ticks(os.getpid()),
            "runner_lock": proof_path,
            "boot_id": self._worker.boot,
        }
        row = self._task.row
        if row is None:
            self._journal().begin_claim(self._new_row())
            return True
        if not self._journal().raise_epoch(self.token, self.epoch, row.state, **self._owner):
            return False
        self.epoch += 1
        return True

    def _new_row(self) -> dict[str, object]:
        task, request, worker = self._task, self._task.request, self._worker
        return {
            "claim_token": self.token,
            "session_id": task.session_id,
            "cache": worker.namespace.cache,
            "namespace": worker.namespace.name,
            "route": request.route,
            "cwd": request.cwd,
            "command": request.command,
            "requester_host": _short(request.requester.get("host")),
            "requester_pid": _short(request.requester.get("pid")),
            "requester_user": _short(request.requester.get("user")),
            "worker_id": worker.worker_id,
            "worker_host": worker.host,
            "worker_pid": worker.pid,
            "terminal": int(request.pty),
            "lock_mode": request.lock,
            "on_disconnect": request.on_disconnect,
            "seen_at": task.seen_at,
            "slot_wait_s": task.slot_wait_s,
            "lock_wait_s": task.lock_wait_s,
            **self._owner,
        }

    def forget(self) -> None:
        """The claim was lost."""
        self._journal().forget(self.token, self.epoch)

    def claimed(self) -> None:
        """The claim is ours. Raises Superseded."""
        self._step((lifecycle.CLAIMING,), lifecycle.CLAIMED, claimed_at=clock.wall(), **self._owner)

    def starting(self, *, durable: bool) -> None:
        """From here on the session is never started again. Raises Superseded."""
        self._step((lifecycle.CLAIMED,), lifecycle.STARTING, durable=durable)

    def _step(self, frm: tuple[str, ...], to: str, *, durable: bool = False, **columns: object) -> None:
        if not self._journal().advance(self.token, self.epoch, frm=frm, to=to, durable=durable, **columns):
            raise Superseded("another process has recovered the session")

    def running(self, pid: int | None, started_at: float | None) -> None:
        """The command runs, and may go on for long."""
        self._journal().advance(
            self.token,
            self.epoch,
            frm=(lifecycle.STARTING,),
            to=lifecycle.RUNNING,
            command_pid=pid,
            command_start=identity.start_ticks(pid) if pid else None,
            started_at=started_at,
        )
        self.close()

    def exited(self, return_code: int, counts: dict[str, int], **columns: object) -> bool:
        """The wait result, on the disk before anybody is told. False: another process has recovered the session."""
        return self._journal().advance(
            self.token,
            self.epoch,
            frm=(lifecycle.STARTING, lifecycle.RUNNING),
            to=lifecycle.EXITED,
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
            frm=tuple(lifecycle.STEPS),
            to=lifecycle.FINAL,
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

    def _journal(self) -> Journal:
        """The journal for a step: a full disk or a busy database is waited for."""

        def say(trouble: str) -> None:
            self._worker.debug.say("failure", f"{self._task.session_id}: journal: {trouble}")

        if self._kept is None:
            self._kept = Journal.open(self._worker.journal_path, patient=True, on_trouble=say)
        return self._kept

    def close(self) -> None:
        """Close the journal; the next step opens it again."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def byte_counts(outbound: Outbound, inbound: Inbound) -> dict[str, int]:
    """What the row says about how much was moved."""
    return {
        "bytes_in": inbound.input_bytes,
        "stdin_bytes": inbound.taken_offset,
        "stream_bytes": outbound.appender.end,
        "signals": inbound.signals,
        **{f"bytes_out_{channel}": count for channel, count in outbound.channel_bytes.items()},
    }


def _short(value: object) -> str | int | None:
    """What a requester says of himself, cut to what a journal may hold."""
    if isinstance(value, int):
        return value
    return value[:255] if isinstance(value, str) else None
