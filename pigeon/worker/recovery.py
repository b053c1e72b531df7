"""What becomes of the sessions of this journal whose runner is dead: deciding by the table, and doing it.

Only a proof of death recovers (identity.is_proven_dead). The epoch is raised before anything else, by compare-and-set,
so that a late or second runner of the same session loses and ends.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from pigeon import clock
from pigeon.errors import EXIT_PIGEON
from pigeon.journal.queries import Row
from pigeon.journal.store import Journal
from pigeon.wire import files, states
from pigeon.wire.documents import MAX_DOCUMENT_BYTES, BadDocument, Status, parse_status
from pigeon.wire.names import SessionFiles
from pigeon.wire.pacing import Backoff
from pigeon.worker import cwdlock, identity, lifecycle
from pigeon.worker.lifecycle import RECOVERY, Recovery, RunnerExit
from pigeon.worker.runner import Worker

LOST_MESSAGE = (
    "the process that ran the command on {host} died; the command may have run in part and is not run again"
)


def is_dead(row: Row) -> bool:
    """Whether the runner of an unfinished row is proven dead."""
    return identity.is_proven_dead(row.runner_lock or "", row.boot_id or "", row.runner_pid, row.runner_start)


def plan(
    journal: Journal, worker: Worker, skip: Collection[str]
) -> tuple[list[tuple[Row, Recovery]], list[Row]]:
    """(what to recover and how, rows whose runner lives or may live), for unfinished rows not in `skip` (tokens)."""
    dead, alive = [], []
    for row in journal.unfinished(worker.namespace.cache, worker.namespace.name):
        if row.claim_token in skip:
            continue
        if is_dead(row):
            dead.append((row, RECOVERY[row.state]))
        else:
            alive.append(row)
    return dead, alive


def take(journal: Journal, row: Row) -> Row | None:
    """Raise the row's epoch; the row with its new epoch, or None if another process did so first."""
    if not journal.raise_epoch(row.claim_token, row.epoch):
        return None
    return replace(row, epoch=row.epoch + 1)


def end(worker: Worker, row: Row, decision: Recovery) -> int:
    """Carry END_AS_LOST or PUBLISH out, in a forked process. `row` has been taken. Returns a RunnerExit status."""
    if row.boot_id == worker.boot and decision is Recovery.END_AS_LOST:
        leader = row.command_pid
        known = leader is not None and _is_leader(leader, row.command_start)
        _end_processes(row.session_id, leader if known else None)
    if worker.lock_mode == cwdlock.STRICT and row.lock_mode == "cwd":
        _free_strict(worker, row)
    status = _final_status(row, decision)
    _publish(worker.namespace.session(row.session_id), status)
    with Journal.open(worker.journal_path, patient=True) as journal:
        journal.advance(
            row.claim_token,
            row.epoch,
            frm=tuple(lifecycle.STEPS),
            to=lifecycle.FINAL,
            final_at=clock.wall(),
            outcome=status.state,
            exit_code=status.exit_code,
            ended_by="recovery",
            error=status.text("error"),
        )
    identity.discard_proof(row.runner_lock or "")
    worker.debug.say("failure", f"{row.session_id}: recovered: {decision.name.lower()}")
    return RunnerExit.DONE


def _is_leader(pid: int, started: int | None) -> bool:
    """Whether `pid` is free or still ours, and not another process that got the number since."""
    found = identity.start_ticks(pid)
    return found is None or started is None or found == started


def _end_processes(session_id: str, leader: int | None) -> None:
    """Hang up, then kill, what is left of the command; returns when nothing is, or nothing more can be done."""
    began = clock.monotonic()
    for after, numbers in lifecycle.HANGUP:
        while (left := identity.processes_of(session_id, leader)) and clock.monotonic() < began + after:
            clock.sleep(0.05)
        if not left:
            return
        for number in numbers:
            identity.send(left, number)
    while (
        identity.processes_of(session_id, leader) and clock.monotonic() < began + 2 * lifecycle.HANGUP[-1][0]
    ):
        clock.sleep(0.05)


def _free_strict(worker: Worker, row: Row) -> None:
    if row.runner_pid is None or row.cwd is None or row.worker_host != worker.host:
        return
    try:
        cwdlock.break_strict(worker.namespace.lock(row.cwd), worker.host, row.runner_pid)
    except OSError as error:
        worker.debug.say("failure", f"{row.session_id}: the strict lock could not be freed: {error}")


def _final_status(row: Row, decision: Recovery) -> Status:
    created = clock.utc_text()
    if decision is Recovery.PUBLISH:
        code = row.return_code or 0
        return Status(
            row.session_id,
            states.state_of(code),
            created_at=created,
            exit_code=states.exit_code_of(code),
            ended_by="recovery",
            error="its runner died after the command had ended; the end of the output may be missing",
        )
    return Status(
        row.session_id,
        states.FAILED,
        created_at=created,
        exit_code=EXIT_PIGEON,
        ended_by="recovery",
        error=LOST_MESSAGE.format(host=row.worker_host),
    )


def _publish(session: SessionFiles, status: Status) -> None:
    """Replace status.json unless the session has an end already, or is gone. Repeats until that can be said."""
    backoff = Backoff()
    while True:
        try:
            names = os.listdir(session.directory)
            if "takeover.claim" in names:
                return
            found = _current(session)
            if found is not None:
                if found.is_final:
                    return
                status.created_at = found.created_at
            status.fields["finished_at"] = clock.utc_text()
            files.replace(session.status, status.encode())
            return
        except FileNotFoundError:
            if _is_gone(session):
                return
        except files.Refused:
            return
        except OSError:
            pass
        clock.sleep(backoff.failed())


def _current(session: SessionFiles) -> Status | None:
    try:
        return parse_status(files.read(session.status, MAX_DOCUMENT_BYTES), session.session_id)
    except (FileNotFoundError, BadDocument):
        return None


def _is_gone(session: SessionFiles) -> bool:
    try:
        return session.session_id not in os.listdir(os.path.dirname(session.directory))
    except OSError:
        return False


def ends_cleanly(session: SessionFiles) -> bool:
    """Whether stream.jsonl is empty or ends with a newline, so that another runner may write behind it."""
    try:
        size = files.size(session.stream)
        if size == 0:
            return True
        fd = files.open_checked(session.stream)
        try:
            return os.pread(fd, 1, size - 1) == b"\n"
        finally:
            os.close(fd)
    except FileNotFoundError:
        return True
