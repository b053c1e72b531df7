"""What becomes of the sessions of this journal whose runner is dead: deciding by the table, and doing it.

Only a proof of death recovers (proof.is_proven_dead). Who recovers takes a proof of life of his own; then, before
anything else, raises the row's epoch by compare-and-set: a late or second process at the same session loses and ends.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from pigeon import clock
from pigeon.backoff import Backoff
from pigeon.errors import EXIT_PIGEON
from pigeon.journal import states as journal_states
from pigeon.journal.rows import Row
from pigeon.journal.store import Journal
from pigeon.wire import files, publish, states, takeover
from pigeon.wire.names import new_token
from pigeon.wire.reading import known_status
from pigeon.wire.states import Status
from pigeon.worker import hangup, identity
from pigeon.worker.handover import RunnerExit, Worker
from pigeon.worker.locks.kinds import KINDS, break_dead
from pigeon.worker.proof import ProofOfLife, discard_proof, is_noted_command, noted_directory
from pigeon.worker.recovery import plan
from pigeon.worker.recovery.plan import Recovery

LOST_MESSAGE = (
    "the process that ran the command on {host} died; the command may have run in part and is not run again"
)


EXECUTING_S = 0.1
"""A command is found by its environment, which the kernel shows a moment after it has closed the runner's proof of life
(execve(2)). So where its leader is not known, a second look follows after this long."""


def take(journal: Journal, worker: Worker, row: Row, proof: ProofOfLife) -> bool:
    """Make this process the owner of a row whose runner is dead. False: it is not as it was read any more."""
    # The row's boot is the new owner's from now on; a pid of another boot would be taken for one of this.
    stale = {} if row.boot_id == worker.boot else {"command_pid": None, "command_start": None}
    return journal.raise_epoch(
        row.claim_token,
        row.epoch,
        row.state,
        **stale,
        runner_pid=os.getpid(),
        runner_start=identity.start_ticks(os.getpid()),
        runner_lock=proof.path,
        boot_id=worker.boot,
    )


def forget(worker: Worker, row: Row) -> int:
    """Carry FORGET out, in a forked process: remove the row of a claim that was lost. Returns a RunnerExit status."""

    def remove(resolved: str | None, _leader: int | None) -> None:
        _free_directory(worker, row, resolved)
        if row.launcher is not None:  # it must not wait in the engine's queue for a session that is another's
            identity.send(identity.launchers(row.claim_token), signal.SIGTERM)
        with Journal.open(worker.journal_path, patient=True) as journal:
            journal.forget(row.claim_token, row.epoch + 1)
        worker.debug.say("queue", f"{row.session_id}: is not ours any more, forgotten")

    return _as_owner(worker, row, remove)


def end(worker: Worker, row: Row) -> int:
    """Give the session its end, in a forked process, as plan.py decides by what is true then. Returns a RunnerExit
    status."""
    return _as_owner(worker, row, lambda resolved, leader: _end_taken(worker, row, resolved, leader))


def _as_owner(worker: Worker, row: Row, work: Callable[[str | None, int | None], None]) -> int:
    """Do `work` as the one who has the row. It is given what the dead runner has left word of: the second name of the
    directory, and the command's leader as far as it is proven."""
    proof = ProofOfLife(worker.proof_directory, f"{row.claim_token}.{row.epoch + 1}")
    try:
        left = plan.proof_of(worker.proof_directory, row)
        proof.take_notes_of(left)  # who recovers after this process finds no other
        with Journal.open(worker.journal_path, patient=True) as journal:
            if not take(journal, worker, row, proof):
                return RunnerExit.SUPERSEDED
        resolved, leader = noted_directory(left), _proven_leader(row, left)
        discard_proof(left)
        work(resolved, leader)
    finally:
        proof.remove()
    return RunnerExit.DONE


def _end_taken(worker: Worker, row: Row, resolved: str | None, leader: int | None) -> None:
    is_lost = plan.is_anothers(worker.namespace.session(row.session_id), row)
    may_end_processes = row.boot_id == worker.boot and not is_lost
    if may_end_processes and row.state != journal_states.EXITED:
        _end_processes(row.session_id, leader)
    _free_directory(worker, row, resolved)
    decision, status = _publish(worker, row, is_lost=is_lost)
    if may_end_processes and row.state == journal_states.EXITED and row.locks and row.cwd:
        # The unlock was the dead runner's to make. Nobody else can: only the end of a leftover frees the directory.
        _end_processes(row.session_id, None, holding=worker.namespace.lock(row.cwd))
    with Journal.open(worker.journal_path, patient=True) as journal:
        journal.advance(
            row.claim_token,
            row.epoch + 1,
            to=journal_states.FINAL,
            final_at=clock.wall(),
            outcome=status.state,
            exit_code=status.exit_code,
            ended_by=status.ended_by,
            error=status.error,
        )
    worker.debug.say("failure", f"{row.session_id}: recovered: {decision.name.lower()}")
    worker.log.ended(row.session_id, f"{status.state} by recovery, its runner had died", ran_s=None)


def _proven_leader(row: Row, proof: str) -> int | None:
    """The leader of the command's processes, if it can be proven: by the session's mark in its environment, or by its
    runner's word. With the number that the row has, and no more, it might be any process of this user's.

    One that has ended counts as well: processes that it has started may still be in the session that it led.
    """
    pid, started = row.command_pid, row.command_start
    if pid is None or pid <= 1:
        return None
    noted = is_noted_command(proof, pid, started)
    found = identity.start_ticks(pid)
    if found is None:
        return pid if noted else None
    return pid if found == started and (noted or identity.carries(pid, row.session_id)) else None


def _end_processes(session_id: str, leader: int | None, *, holding: str | None = None) -> None:
    """Hang up, then kill, what is left of the command; returns when nothing is, or nothing more can be done.

    `holding`: only those that have this lock file open.
    """

    def find() -> list[int]:
        found = identity.processes_of(session_id, leader)
        return found if holding is None else [pid for pid in found if identity.has_open(pid, holding)]

    def send(numbers: hangup.Signals) -> None:
        for number in numbers:
            identity.send(find(), number)

    if leader is None and holding is None and not find():
        clock.sleep(EXECUTING_S)
    hangup.carry_out(lambda: not find(), send)


def _free_directory(worker: Worker, row: Row, resolved: str | None) -> None:
    """What the kernel has not freed with the dead runner and its command."""
    if not row.locks:
        return
    if row.runner_pid is None or row.cwd is None or row.worker_host != worker.host:
        return
    try:
        for name in {row.cwd, resolved or row.cwd}:
            path = worker.namespace.lock(name)
            break_dead(KINDS[worker.lock_mode], path, worker.host, row.runner_pid, row.runner_start)
    except OSError as error:
        worker.debug.say("failure", f"{row.session_id}: its directory could not be freed: {error}")


def _publish(worker: Worker, row: Row, *, is_lost: bool) -> tuple[Recovery, Status]:
    """Publish the end unless the session has one already, or is gone. Repeats until that can be said.

    What was decided at last, and the status that stands there, as far as it can be known. `is_lost`: it is another's.
    """
    session = worker.namespace.session(row.session_id)
    backoff, token = Backoff(), new_token()
    while True:
        try:
            # Others may have begun to end it until now, and may have died with it: whoever comes first says the same.
            is_taken_over = not is_lost and plan.is_taken_over(session)
            facts = plan.Facts(is_lost=is_lost, is_taken_over=is_taken_over, is_startable=False)
            decision = plan.decide(row.state, facts)
            status = _status(worker, row, decision)
            if decision is Recovery.CLOSE or publish.end(session, token, status):
                return decision, status
            return decision, known_status(session) or status
        except FileNotFoundError:
            if files.is_removed(session):
                return Recovery.END_AS_LOST, _lost_status(row)
        except OSError:
            pass
        clock.sleep(backoff.failed())


def _status(worker: Worker, row: Row, decision: Recovery) -> Status:
    """The end that the decision means. Raises OSError."""
    if decision is Recovery.END_AS_TAKEN:
        session = worker.namespace.session(row.session_id)
        return takeover.outcome(session, f"worker {worker.worker_id}", row.worker_id or "unknown")
    if decision is not Recovery.PUBLISH:
        return _lost_status(row)
    created = clock.utc_text()
    code = row.return_code or 0
    return Status(
        row.session_id,
        states.state_of(code),
        created_at=created,
        exit_code=states.exit_code_of(code),
        ended_by=states.BY_RECOVERY,
        finished_at=created,
        error="its runner died after the command had ended; the end of the output may be missing",
    )


def _lost_status(row: Row) -> Status:
    created = clock.utc_text()
    return Status(
        row.session_id,
        states.FAILED,
        created_at=created,
        exit_code=EXIT_PIGEON,
        ended_by=states.BY_RECOVERY,
        finished_at=created,
        error=LOST_MESSAGE.format(host=row.worker_host or "its worker's host"),
    )
