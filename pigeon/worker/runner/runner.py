"""One session, from the lock of its directory to its final state, in a process of its own.

The order of the steps is what makes the promises of FORMAT.md ("What must hold") true: lock, journal row, claim,
`starting` row, command, wait result in the journal, exit event, final status, unlock, row closed, proof of life gone.
A step that finds the session in other hands ends the runner. The scheduler learns the rest from the exit status.
"""

from __future__ import annotations

import os
import signal
import traceback

from pigeon import clock, trace
from pigeon.errors import JournalError, PigeonError
from pigeon.inside import RUNNER_NAME
from pigeon.journal import states as journal_states
from pigeon.journal.connection import may_pass
from pigeon.journal.store import Journal
from pigeon.wire import claim, events, files, states
from pigeon.wire.names import SessionFiles
from pigeon.worker import hangup, identity, reasons
from pigeon.worker.debug import tell
from pigeon.worker.handover import Assignment, Refusal, RunnerExit, Worker
from pigeon.worker.proof import ProofOfLife, discard_proof, proof_of
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.liveness import ClientWatch
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.process_context import hear_all_signals
from pigeon.worker.relay.program import CannotStart
from pigeon.worker.relay.relay import Relay
from pigeon.worker.relay.runner_side import RunnerSide
from pigeon.worker.runner import launch
from pigeon.worker.runner.directory_hold import DirectoryHold
from pigeon.worker.runner.journal_row import JournalRow, byte_counts
from pigeon.worker.runner.last_steps import LastSteps, Started
from pigeon.worker.runner.ownership import Ownership, Superseded
from pigeon.worker.runner.publication import Publication
from pigeon.worker.runner.stop_order import StopOrder

LATE_S = 5.0
"""A runner that was stopped for so long before it could claim leaves the session to its scheduler, which asks whether
the client still lives."""


def run(worker: Worker, task: Assignment, stop: StopOrder, journal: Journal | None = None) -> int:
    """Try the session, with a journal that is open already or not. Returns a RunnerExit status; in a forked process."""
    identity.call_oneself(RUNNER_NAME)
    runner = Runner(worker, task, stop, journal)
    try:
        try:
            return runner.run()
        except (Superseded, PigeonError):
            raise
        except Exception as error:
            return runner.fail(error)
    except Superseded as reason:
        runner.abandon(str(reason))
        return RunnerExit.SUPERSEDED
    except JournalError as error:
        # The scheduler ends; recovery under a journal that works gives the session its end.
        tell(f"pigeon worker: {error.message}")
        return RunnerExit.JOURNAL


class NotTried(Exception):
    """Something was missing that this needs before it may claim the session; says what."""


class Runner:
    """The steps of one session. Fields that a step needs exist from the step that makes them on."""

    def __init__(self, worker: Worker, task: Assignment, stop: StopOrder, journal: Journal | None) -> None:
        self.worker = worker
        self.task = task
        self.session: SessionFiles = worker.namespace.session(task.session_id)
        self._hold = DirectoryHold(worker, task)
        self._ownership = Ownership(self.session, worker.debug, is_old=task.row is not None)
        self._row = JournalRow(worker, task, journal, self._ownership.holds_claim)
        self._publication = Publication(worker, self.session, self._ownership, task.request.created_at)
        self._refusal: Refusal | None = None
        self._prepared = launch.Prepared({}, [], [])
        self._stop = stop
        self._last_steps = LastSteps(worker, task, self._hold, self._ownership, self._publication, self._row)
        self._command: Command | None = None
        self._has_claim = False

    def run(self) -> int:
        """All steps. Returns a RunnerExit status."""
        trace.mark("runner: begins")
        wakeup = self._arrange_signals()
        try:
            self.proof = ProofOfLife(self.worker.proof_directory, f"{self._row.token}.{self._row.epoch}")
        except OSError as error:
            self._say_untried(f"pigeon worker: cannot keep a runner's proof of life: {error}")
            return RunnerExit.LATER
        try:
            held = self._hold.take(self.proof)
            trace.mark("runner: lock tried")
        except OSError as error:
            self._say_untried(f"pigeon worker: cannot lock a directory: {error}")
            self.proof.remove()
            return RunnerExit.LATER
        if not held:
            self.proof.remove()
            return RunnerExit.HELD
        if self._stop.is_given or clock.boottime() - self.task.given_at > LATE_S:
            return self._leave_untried(RunnerExit.LATER)
        try:
            has_claim = self._claim_and_prepare()
        except NotTried as reason:
            self._say_untried(str(reason))
            return self._leave_untried(RunnerExit.LATER)
        if not has_claim:
            return self._leave_untried(RunnerExit.LOST)
        self.worker.debug.say("queue", f"{self.task.session_id}: claimed")
        if self._refusal is not None:
            self._last_steps.of_refusal(self._refusal)
        else:
            self._execute(wakeup)
        self.proof.remove()
        return RunnerExit.DONE

    def _leave_untried(self, code: int) -> int:
        """Nothing of the session is ours: leave no trace of this attempt."""
        self._row.close()
        self._hold.release()
        self.proof.remove()
        return code

    def _say_untried(self, text: str) -> None:
        """Why nothing could be tried; once, and then for who debugs. Its client hears it through the worker's file."""
        reasons.say(self.worker.reasons, self.task.session_id, text.removeprefix("pigeon worker: "))
        if self.task.is_first_try:
            tell(text)
        self.worker.debug.say("failure", f"{self.task.session_id}: {text}")

    def abandon(self, reason: str) -> None:
        """Close what is ours after the session came into other hands, touching nothing on the share but the lock."""
        tell(f"pigeon worker: the runner of {self.task.session_id} leaves it: {reason}")
        self.worker.debug.say("failure", f"{self.task.session_id}: {reason}")
        self._hold.release()
        self._row.final(states.FAILED, reason, {})
        self.proof.remove()

    def fail(self, error: Exception) -> int:
        """A fault of pigeon's own, or something that nobody has foreseen: the session ends with the reason.

        What was not claimed yet may be tried again. Raises as the steps do.
        """
        tell(f"pigeon worker: the runner of {self.task.session_id} failed:\n{traceback.format_exc()}")
        why = f"{type(error).__name__}: {error}"[:300]
        reasons.say(self.worker.reasons, self.task.session_id, f"its runner failed: {why}")
        if not self._has_claim:
            self._hold.release()
            return RunnerExit.FAILED
        if self._command is not None:
            self._leave_command(self._command)
        self._last_steps.of_refusal(Refusal(states.FAILED, f"pigeon failed while it ran the session ({why})"))
        self.proof.remove()
        return RunnerExit.DONE

    def _arrange_signals(self) -> int:
        """SIGTERM (a StopOrder) must wake the relay; a terminal's signals are the scheduler's business."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        hear_all_signals()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
            # Caught and not ignored: the command would inherit an ignored signal (execve(2)).
            signal.signal(number, lambda *_: None)
        return reading

    # Before the command

    def _claim_and_prepare(self) -> bool:
        """Everything that the journal must know before the command may start."""
        if self.task.refusal is not None:
            self._refusal = Refusal(*self.task.refusal)
        if not self._claim():
            return False
        self._has_claim = True
        if self._refusal is None:
            try:
                self._prepared = launch.prepare(self.task, self.worker, self._hold.lock)
            except CannotStart as error:
                self._refusal = Refusal(states.FAILED, error.message, error.exit_code, event=True)
            # Before the stream says anything, even that nothing is started: whoever restarts a session begins a stream.
            self._row.starting(durable=self._refusal is None)
        return True

    def _claim(self) -> bool:
        worker = self.worker
        row = self.task.row
        try:
            if not self._row.begin(self.proof.path):
                return False
        except JournalError as error:
            if not may_pass(error):
                raise
            raise NotTried(f"pigeon worker: the journal fails: {error.message}; trying on") from error
        if row is not None:  # a claim of ours that a dead runner left or was about to make
            discard_proof(proof_of(self.worker.proof_directory, row.claim_token, row.runner_lock))
            if row.state == journal_states.CLAIMED:
                self._ownership.check_takeover()
                return True
        text = claim.worker_claim(
            (row.worker_host if row else None) or worker.host,
            (row.worker_pid if row else None) or worker.pid,
            (row.worker_id if row else None) or worker.worker_id,
            self._row.token,
            launch=worker.launch_token,
            job=worker.job,
        )
        try:
            won = self._ownership.until_it_works(lambda: claim.try_claim(self.session, self._row.token, text))
        except (Superseded, files.Refused):
            won = False  # the session has been removed, or is not what a client makes
        if not won:
            self._row.forget()
            return False
        if row is not None:
            self._ownership.check_takeover()
        trace.mark("runner: claim made")
        self._row.claimed()
        return True

    # The command

    def _execute(self, wakeup: int) -> None:
        try:
            offset = self._ownership.until_it_works(self._publication.stream_offset)
        except files.Refused as error:
            self._last_steps.of_refusal(Refusal(states.FAILED, f"stream.jsonl refused: {error.strerror}"))
            return
        self._ownership.look_before_step()
        trace.mark("runner: starting row written")
        outbound = Outbound(
            self.session,
            max_bytes=self.worker.max_stream_bytes,
            offset=offset,
            scrollback_bytes=self.worker.scrollback_bytes,
            keeps_unread=not self.task.request.pty,
            trace=self.worker.debug.bytes_of(self.task.session_id, "output"),
        )
        try:
            command = launch.start(
                self.task,
                self.worker,
                self._prepared.env,
                held=self._hold.descriptors,
                proof=self.proof.descriptor,
                outbound=outbound,
            )
        except CannotStart as error:
            self._last_steps.of_refusal(Refusal(states.FAILED, error.message, error.exit_code, event=True))
            return
        trace.mark("runner: command started")
        self._command, started = command, Started(command.pid)
        self.worker.debug.say(
            "success", f"{self.task.session_id}: started, pid {command.pid}: {self.task.request.command}"
        )
        self.worker.log.started(self.task.request)
        if self.task.request.acknowledges:
            outbound.acknowledged = 0  # the window counts from the first byte on
            if self.task.request.pty and self.task.request.acknowledges_often:
                outbound.is_watched = True
        outbound.takes_bulk = self.task.request.takes_bulk
        has_terminal = command.master is not None and not self.task.request.pty
        outbound.say(events.started(command.pid, terminal=has_terminal))
        for notice in self._prepared.notices:
            outbound.say(events.notice(notice))
        for detail in self._prepared.details:
            outbound.say(events.notice(detail, verbose=True))
        self._relay(command, started, outbound, wakeup)

    def _relay(self, command: Command, started: Started, outbound: Outbound, wakeup: int) -> None:
        os.chdir("/")
        trace_input = self.worker.debug.bytes_of(self.task.session_id, "input")
        inbound = Inbound(self.session, command, trace=trace_input)
        request = self.task.request
        side = RunnerSide(
            client=ClientWatch(
                judges=request.sends_heartbeats,
                keeps=request.keeps,
                timeout_s=self.worker.client_timeout_s,
                job=request.job,
            ),
            note=self._row.note,
            stop_requested=lambda: self._stop.is_given,
            wakeup_fd=wakeup,
            lock_is_lost=self._hold.is_lost,
            keep_directory=lambda: self._hold.keep(self.proof),
            announce=lambda: self._say_running(started),
            stops=request.stops,
            tells_of_reading=command.master is not None and not request.pty,
        )
        relay = Relay(self.session, command, outbound, inbound, side)
        ending = relay.run(lambda code: self._store_result(code, started, outbound, inbound))
        if ending.is_superseded:
            self._leave_command(command)
            raise Superseded("another process has ended the session")
        trace.mark("runner: relay done")
        self._last_steps.of_command(ending, started, relay)

    def _say_running(self, started: Started) -> bool:
        """Record that the command runs, and tell it. False: the session has been taken over."""
        try:
            self.proof.note_command(started.pid)
            self._row.running(started.pid, started.at)
        except Superseded:
            return False  # the relay knows how to leave a command
        return self._publication.running(started.at)

    def _store_result(self, return_code: int, started: Started, outbound: Outbound, inbound: Inbound) -> bool:
        return self._row.exited(
            return_code,
            byte_counts(outbound, inbound),
            command_pid=started.pid,
            started_at=started.at,
            run_s=started.run_s(),
        )

    def _leave_command(self, command: Command) -> None:
        """Superseded: hang the command up, by the same steps, and wait for it."""
        hangup.carry_out(lambda: command.try_wait() is not None, command.hang_up)
