"""One session, from the lock of its directory to its final state, in a process of its own.

The order of the steps is what makes the promises of FORMAT.md ("What must hold") true: lock, journal row, claim,
`starting` row, command, wait result in the journal, exit event, final status, unlock, row closed, proof of life gone.
A step that finds the session in other hands ends the runner. The scheduler learns the rest from the exit status.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pigeon import clock, trace
from pigeon.errors import EXIT_PIGEON, JournalError
from pigeon.journal.queries import Row
from pigeon.journal.store import Journal
from pigeon.wire import claim, files, states
from pigeon.wire.documents import MAX_REQUEST_BYTES, BadDocument, Request, Status, blanked
from pigeon.wire.names import Namespace, SessionFiles, new_token
from pigeon.wire.pacing import Backoff
from pigeon.wire.publish import TAKEOVER_NAME, OwnStatus
from pigeon.worker import cwdlock, identity, lifecycle, process
from pigeon.worker.debug import Debug
from pigeon.worker.environment import command_environment
from pigeon.worker.inbound import Inbound
from pigeon.worker.lifecycle import RunnerExit
from pigeon.worker.outbound import Outbound
from pigeon.worker.relay import Ending, Relay, Watch

FRESH_S = 1.0
"""A session claimed so short a time ago cannot have been taken over: `host_timeout` is at least as long, and begins
with somebody's first look at the claim."""


@dataclass(frozen=True)
class Worker:
    """The worker that a runner belongs to, and its settings."""

    worker_id: str
    host: str
    pid: int
    boot: str
    namespace: Namespace
    journal_path: str
    lock_mode: str
    client_timeout_s: float
    max_stream_bytes: int
    own_command: tuple[str, ...]
    """How this pigeon is started again, for the verbs that a client asks for."""
    debug: Debug

    @property
    def proof_directory(self) -> str:
        """Where runners keep their proofs of life, beside the journal."""
        return f"{self.journal_path}.runners"


@dataclass
class Task:
    """What the scheduler hands to a runner it forks."""

    session_id: str
    request: Request
    seen_at: float
    slot_wait_s: float = 0.0
    lock_wait_s: float = 0.0
    refusal: tuple[str, str] | None = None
    """(state, reason): claim the session only to end it so."""
    row: Row | None = None
    """The journal row of a claim to take up again (recovery), its epoch already raised."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


@dataclass(frozen=True)
class Refusal:
    """Why a claimed session ends without its command having been started."""

    state: str
    reason: str
    exit_code: int = EXIT_PIGEON
    event: bool = False
    """Whether the stream says so too (`worker_error`)."""


Result = TypeVar("Result")


class Superseded(Exception):
    """The session is in other hands; write nothing more."""


def run(worker: Worker, task: Task, journal: Journal | None = None) -> int:
    """Try the session, with a journal that is open already or not. Returns a RunnerExit status; in a forked process."""
    runner = Runner(worker, task, journal)
    try:
        return runner.run()
    except Superseded as reason:
        runner.abandon(str(reason))
        return RunnerExit.SUPERSEDED


class Runner:
    """The steps of one session. Fields that a step needs exist from the step that makes them on."""

    def __init__(self, worker: Worker, task: Task, journal: Journal | None) -> None:
        self.worker = worker
        self.task = task
        self.session: SessionFiles = worker.namespace.session(task.session_id)
        row = task.row
        self.token = row.claim_token if row else new_token()
        self.epoch = row.epoch if row else 1
        self.lock: cwdlock.CwdLock | None = None
        self.status = Status(task.session_id, states.PENDING, created_at=task.request.created_at)
        self._start_ticks = identity.start_ticks(os.getpid())
        self._kept_journal = journal
        self._own_status = OwnStatus(self.session, new_token())
        self._born = clock.boottime()
        self._refusal: Refusal | None = None
        self._env: dict[str, str] = {}
        self._notes: list[str] = []
        self._stop = False
        self._started_at: float | None = None
        self._started_monotonic = 0.0
        self._pid: int | None = None

    def run(self) -> int:
        """All steps. Returns a RunnerExit status."""
        trace.mark("runner: begins")
        wakeup = self._arrange_signals()
        self.proof = identity.ProofOfLife(self.worker.proof_directory, f"{self.token}.{self.epoch}")
        try:
            held = self._take_lock()
            trace.mark("runner: lock tried")
        except OSError as error:
            self.worker.debug.say("failure", f"{self.task.session_id}: lock: {error}")
            self.proof.remove()
            return RunnerExit.SHARE
        if not held:
            self.proof.remove()
            return RunnerExit.HELD
        if not self._claim_and_prepare():
            if self.lock is not None:
                self.lock.release()
            self.proof.remove()
            return RunnerExit.LOST
        self.worker.debug.say("queue", f"{self.task.session_id}: claimed")
        if self._refusal is not None:
            self._end_unstarted(self._refusal)
        else:
            self._execute(wakeup)
        self.proof.remove()
        return RunnerExit.DONE

    def abandon(self, reason: str) -> None:
        """Close what is ours after the session came into other hands, touching nothing on the share but the lock."""
        self.worker.debug.say("failure", f"{self.task.session_id}: {reason}")
        self._release()
        self._close_row(states.FAILED, reason)
        self.proof.remove()

    def _arrange_signals(self) -> int:
        """SIGTERM asks for a hang-up; a terminal's signals are the scheduler's business."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def stop(_number: int, _frame: object) -> None:
            self._stop = True

        signal.signal(signal.SIGTERM, stop)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
            # Caught and not ignored: the command would inherit an ignored signal (execve(2)).
            signal.signal(number, lambda *_: None)
        return reading

    # Before the command

    def _take_lock(self) -> bool:
        if self.task.request.lock != "cwd" or self.task.refusal is not None:
            return True
        path = self.worker.namespace.lock(self.task.request.cwd)
        self.lock = cwdlock.try_lock(path, self.worker.lock_mode)
        if self.lock is not None:
            self.worker.debug.say("lock", f"{self.task.session_id}: holds {self.task.request.cwd}")
        return self.lock is not None

    def _claim_and_prepare(self) -> bool:
        """Everything that the journal must know before the command may start."""
        if self.task.refusal is not None:
            self._refusal = Refusal(*self.task.refusal)
        journal = self._journal()
        if not self._claim(journal):
            self._close_journal()
            return False
        if self._refusal is None:
            try:
                self._env, self._notes = self._prepare()
            except process.CannotStart as error:
                self._refusal = Refusal(states.FAILED, error.message, error.exit_code, event=True)
            # Before the stream says anything, even that nothing is started: whoever restarts a session begins a stream.
            durable = self._refusal is None
            self._advance(journal, (lifecycle.CLAIMED,), lifecycle.STARTING, {}, durable=durable)
        return True

    def _claim(self, journal: Journal) -> bool:
        worker = self.worker
        row = self.task.row
        if row is None:
            journal.begin_claim(self._new_row())
        elif not journal.raise_epoch(self.token, self.epoch, row.state, **self._owner()):
            return False
        else:  # a claim of ours that a dead runner left or was about to make
            self.epoch += 1
            identity.discard_proof(row.runner_lock or "")
            if row.state == lifecycle.CLAIMED:
                self._check_takeover()
                return True
        text = claim.worker_claim(
            (row.worker_host if row else None) or worker.host,
            (row.worker_pid if row else None) or worker.pid,
            (row.worker_id if row else None) or worker.worker_id,
            self.token,
        )
        try:
            won = self._until_it_works(lambda: claim.try_claim(self.session, self.token, text))
        except (Superseded, files.Refused):
            won = False  # the session has been removed, or is not what a client makes
        if not won:
            journal.forget(self.token, self.epoch)
            return False
        if row is not None:
            self._check_takeover()
        trace.mark("runner: claim made")
        self._advance(
            journal, (lifecycle.CLAIMING,), lifecycle.CLAIMED, {"claimed_at": clock.wall(), **self._owner()}
        )
        return True

    def _owner(self) -> dict[str, object]:
        return {
            "runner_pid": os.getpid(),
            "runner_start": self._start_ticks,
            "runner_lock": self.proof.path,
            "boot_id": self.worker.boot,
        }

    def _new_row(self) -> dict[str, object]:
        task, request, worker = self.task, self.task.request, self.worker
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
            **self._owner(),
        }

    def _until_it_works(self, step: Callable[[], Result]) -> Result:
        """Repeat a step on the share until it works, however long its bad moment lasts.

        After a failure the directory is listed before the next attempt: a session that was taken over meanwhile is
        left alone, and one whose directory is gone can have no end.
        """
        backoff = Backoff()
        while True:
            try:
                return step()
            except files.Refused:
                raise
            except OSError as error:
                self.worker.debug.say("failure", f"{self.task.session_id}: {error}")
                if not files.may_pass(error) and not isinstance(error, FileNotFoundError):
                    raise Superseded(f"the session's files cannot be written: {error}") from error
                clock.sleep(backoff.failed())
            self._check_ownership()

    def _check_takeover(self) -> None:
        """An old claim of ours: its session may have been given an end since, and is then never started."""
        if TAKEOVER_NAME in self._until_it_works(lambda: os.listdir(self.session.directory)):
            raise Superseded("another worker has taken the session over")

    def _look_before_step(self) -> None:
        """Before the start and the exit event: nobody has taken the session over. See FRESH_S."""
        if self.task.row is not None or clock.boottime() - self._born > FRESH_S:
            self._check_takeover()

    def _check_ownership(self) -> None:
        try:
            names = os.listdir(self.session.directory)
        except FileNotFoundError:
            if self._is_removed():
                raise Superseded("the session's directory has been removed") from None
            return
        except OSError:
            return
        if TAKEOVER_NAME in names:
            raise Superseded("another worker has taken the session over")

    def _is_removed(self) -> bool:
        try:
            return self.task.session_id not in os.listdir(self.worker.namespace.sessions)
        except OSError:
            return False  # what cannot be listed is not proven gone

    def _advance(
        self,
        journal: Journal,
        frm: tuple[str, ...],
        to: str,
        columns: Mapping[str, object],
        *,
        durable: bool = False,
    ) -> None:
        if not journal.advance(
            self.token, self.epoch, frm=frm, to=to, durable=durable, **dict[str, Any](columns)
        ):
            raise Superseded("another process has recovered the session")

    # The command

    def _execute(self, wakeup: int) -> None:
        try:
            offset = self._until_it_works(self._stream_offset)
        except files.Refused as error:
            self._end_unstarted(Refusal(states.FAILED, f"stream.jsonl refused: {error.strerror}"))
            return
        self._look_before_step()
        trace.mark("runner: starting row written")
        outbound = Outbound(
            self.session.stream,
            max_bytes=self.worker.max_stream_bytes,
            offset=offset,
            trace=self.worker.debug.bytes_of(self.task.session_id, "output"),
        )
        try:
            command = self._start(self._env, outbound)
        except process.CannotStart as error:
            self._end_unstarted(Refusal(states.FAILED, error.message, error.exit_code, event=True))
            return
        trace.mark("runner: command started")
        self._pid = command.pid
        self._started_at, self._started_monotonic = clock.wall(), clock.monotonic()
        self.worker.debug.say(
            "success", f"{self.task.session_id}: started, pid {command.pid}: {self.task.request.command}"
        )
        if "ack" in self.task.request.features:
            outbound.acknowledged = 0  # the window counts from the first byte on
        outbound.say("started", pid=command.pid)
        for note in self._notes:
            outbound.say("notice", message=note, verbose=True)
        self._relay(command, outbound, wakeup)

    def _prepare(self) -> tuple[dict[str, str], list[str]]:
        """Enter the directory and work out the environment."""
        request = self.task.request
        try:
            os.chdir(os.fsencode(request.cwd))
        except OSError as error:
            why = (
                "does not exist"
                if isinstance(error, FileNotFoundError)
                else f"cannot be entered ({error.strerror})"
            )
            raise process.CannotStart(
                f"the directory `{request.cwd}` {why} on {self.worker.host}", EXIT_PIGEON
            ) from None
        if None in request.env.values():
            raise process.CannotStart("the request's environment has been blanked already", EXIT_PIGEON)
        return command_environment(request, self.task.environ, request.session_id)

    def _start(self, env: dict[str, str], outbound: Outbound) -> process.Command:
        request = self.task.request
        argv = request.command
        if (
            request.verb is not None
        ):  # a question to the worker's own pigeon: about this journal, whatever is on PATH
            argv = [*self.worker.own_command, *request.verb]
            namespace = self.worker.namespace
            env.update(
                PIGEON_JOURNAL=self.worker.journal_path,
                PIGEON_CACHE=namespace.cache,
                PIGEON_NAMESPACE=namespace.name,
            )
        inherit = (self.lock.descriptor,) if self.lock is not None else ()
        guard = (self.proof.descriptor,)
        try:
            return process.start(
                argv, env, size=request.size, pty=request.pty, inherit=inherit, until_exec=guard
            )
        except process.NoTerminal:
            outbound.say("pty_fallback_to_pipes")
            return process.start(argv, env, size=None, pty=False, inherit=inherit, until_exec=guard)

    def _stream_offset(self) -> int:
        """Where this runner begins to write; makes the file that an older client has not made yet."""
        try:
            return files.size(self.session.stream)
        except FileNotFoundError:
            pass
        try:
            files.create(self.session.stream)
        except FileExistsError:
            pass
        return 0

    def _relay(self, command: process.Command, outbound: Outbound, wakeup: int) -> None:
        os.chdir("/")
        inbound = Inbound(self.session, trace=self.worker.debug.bytes_of(self.task.session_id, "input"))
        request = self.task.request
        watch = Watch(
            judges_client="heartbeat" in request.features,
            keeps=request.on_disconnect == "keep",
            client_timeout_s=self.worker.client_timeout_s,
            note=self._note,
            stop_requested=lambda: self._stop,
            wakeup_fd=wakeup,
            lock_is_lost=lambda: self.lock is not None and self.lock.is_lost(),
            chores=self._publish_running,
        )
        relay = Relay(self.session, command, outbound, inbound, watch)
        ending = relay.run(lambda code: self._store_result(code, outbound, inbound))
        if ending.is_superseded:
            self._leave_command(command)
            raise Superseded("another process has ended the session")
        trace.mark("runner: relay done")
        self._finish(ending, outbound, inbound, relay)

    def _publish_running(self) -> bool:
        """Tell the state, record it, and take the secrets out of the request (FORMAT.md, "Secrets at rest").

        False: the session has been taken over.
        """
        self._journal().advance(
            self.token,
            self.epoch,
            frm=(lifecycle.STARTING,),
            to=lifecycle.RUNNING,
            command_pid=self._pid,
            command_start=identity.start_ticks(self._pid) if self._pid else None,
            started_at=self._started_at,
        )
        self._close_journal()  # it may run for days
        self.status.state = states.RUNNING
        self.status.fields["started_at"] = clock.utc_text(self._started_at)
        self.status.fields["worker"] = {"host": self.worker.host, "pid": self.worker.pid}
        if not self._own_status.publish(self.status.encode()):
            return False
        self._blank_request()
        return True

    def _blank_request(self) -> None:
        try:
            files.replace(self.session.request, blanked(files.read(self.session.request, MAX_REQUEST_BYTES)))
        except (BadDocument, FileNotFoundError, files.Refused):
            pass  # somebody has tampered with it meanwhile; there is nothing of ours left to protect

    def _store_result(self, return_code: int, outbound: Outbound, inbound: Inbound) -> bool:
        return self._journal().advance(
            self.token,
            self.epoch,
            frm=(lifecycle.STARTING, lifecycle.RUNNING),
            to=lifecycle.EXITED,
            durable=True,
            command_pid=self._pid,
            started_at=self._started_at,
            ended_at=clock.wall(),
            run_s=clock.monotonic() - self._started_monotonic,
            return_code=return_code,
            exit_code=states.exit_code_of(return_code),
            **dict[str, Any](_byte_counts(outbound, inbound)),
        )

    # Afterwards

    def _finish(self, ending: Ending, outbound: Outbound, inbound: Inbound, relay: Relay) -> None:
        code = states.exit_code_of(ending.return_code)
        self._look_before_step()
        if not ending.is_unkillable:
            outbound.say("exit", exit_code=code, raw_return_code=ending.return_code)
        self._until_it_works(lambda: outbound.flush(clock.monotonic()))
        trace.mark("runner: exit event written")
        if not relay.chores_done:
            self._blank_quietly()
        state, error = states.state_of(ending.return_code), ending.failed
        if ending.cancelled:
            state, error = states.CANCELLED, ending.cancelled
        if ending.is_unkillable:
            state, error = states.FAILED, "the command could not be killed (it hangs in the kernel)"
            self.status.fields["ended_by"] = "recovery"
        self.worker.debug.say(
            "success" if state == states.SUCCEEDED else "failure",
            f"{self.task.session_id}: {state}, exit code {code}",
        )
        self._publish_final(state, code, error, stream_bytes=outbound.appender.offset)
        self._release(keep_inherited=ending.is_unkillable)
        self._close_row(state, error, _byte_counts(outbound, inbound))

    def _end_unstarted(self, refusal: Refusal) -> None:
        """End a claimed session whose command was never started."""
        state, reason = refusal.state, refusal.reason
        self.worker.debug.say("failure", f"{self.task.session_id}: {state}: {reason}")
        outbound = Outbound(self.session.stream, max_bytes=1 << 62)
        try:
            offset = self._stream_offset()
            if refusal.event and offset == 0:
                outbound.say("worker_error", message=reason)
                outbound.flush(clock.monotonic())
        except OSError:
            pass  # the status says it too, and is what decides
        self._publish_final(state, refusal.exit_code, reason, stream_bytes=outbound.appender.offset)
        self._blank_quietly()
        self._release()
        self._close_row(state, reason, {"exit_code": refusal.exit_code})

    def _blank_quietly(self) -> None:
        try:
            self._blank_request()
        except OSError:
            pass

    def _publish_final(self, state: str, code: int, error: str | None, *, stream_bytes: int) -> None:
        status = self.status
        status.state, status.exit_code = state, code
        status.fields["finished_at"] = clock.utc_text()
        status.fields["worker"] = {"host": self.worker.host, "pid": self.worker.pid}
        status.fields["stream_bytes"] = stream_bytes
        if self._started_at is not None:
            status.fields["started_at"] = clock.utc_text(self._started_at)
        if error:
            status.fields["error"] = error
        data = status.encode()
        if not self._until_it_works(lambda: self._own_status.publish(data)):
            raise Superseded("another worker has taken the session over")

    def _release(self, *, keep_inherited: bool = False) -> None:
        if self.lock is not None and not keep_inherited:
            self.lock.release()
            self.worker.debug.say("lock", f"{self.task.session_id}: freed {self.task.request.cwd}")

    def _close_row(self, state: str, error: str | None, columns: Mapping[str, int] | None = None) -> None:
        self._journal().advance(
            self.token,
            self.epoch,
            frm=tuple(lifecycle.STEPS),
            to=lifecycle.FINAL,
            final_at=clock.wall(),
            outcome=state,
            error=error,
            **dict[str, Any](columns or {}),
        )
        self._close_journal()

    def _leave_command(self, command: process.Command) -> None:
        """Superseded: hang the command up, by the same steps, and wait for it."""
        began = clock.monotonic()
        for after, numbers in lifecycle.HANGUP:
            while command.try_wait() is None and (now := clock.monotonic()) < began + after:
                clock.sleep(min(0.05, began + after - now))
            if command.try_wait() is not None:
                return
            command.hang_up(numbers)

    def _note(self, event: str, **detail: object) -> None:
        self.worker.debug.say("signal", f"{self.task.session_id}: {event} {detail or ''}")
        try:
            with self._kept_journal or Journal.open(self.worker.journal_path) as journal:
                journal.event(self.task.session_id, event, **detail)
        except JournalError:
            pass  # bookkeeping: never worth the command
        self._kept_journal = None

    def _journal(self) -> Journal:
        """The journal for a step: a full disk or a busy database is waited for.

        It stays open from step to step, since opening it costs more than one, while the session is being started or
        ended; not while the command runs.
        """

        def say(trouble: str) -> None:
            self.worker.debug.say("failure", f"{self.task.session_id}: journal: {trouble}")

        if self._kept_journal is None:
            self._kept_journal = Journal.open(self.worker.journal_path, patient=True, on_trouble=say)
        return self._kept_journal

    def _close_journal(self) -> None:
        if self._kept_journal is not None:
            self._kept_journal.close()
            self._kept_journal = None


def _byte_counts(outbound: Outbound, inbound: Inbound) -> dict[str, int]:
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
