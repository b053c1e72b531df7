"""The process at one launched session: it starts the launcher, tells what that says, and writes down how it ended.

It takes a runner's place for its scheduler: a row in the journal written ahead, a proof of life, the exit statuses of
RunnerExit. It claims nothing: that is for the worker which the launcher starts, so whatever dies here, or is
started twice, the command runs at most once. `steps.py` says what is done when; this carries it out.
"""

from __future__ import annotations

import os
import select
import signal
from dataclasses import replace

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal import states as journal_states
from pigeon.journal.connection import may_pass
from pigeon.wire import attachment, claim, files, states, takeover
from pigeon.wire.names import CLAIM_NAME, new_token
from pigeon.wire.pacing import CLIENT_GONE_S, Silence
from pigeon.wire.reading import known_status
from pigeon.wire.records import HANGUP, client_line
from pigeon.worker import identity, proof, reasons, words
from pigeon.worker.debug import tell
from pigeon.worker.engine import note
from pigeon.worker.engine.end import columns_of
from pigeon.worker.engine.launcher import CannotLaunch, Launcher, LauncherEnd, Leftover, environment
from pigeon.worker.engine.note import Note
from pigeon.worker.engine.steps import LAUNCH_STEPS, News, Standing, Step
from pigeon.worker.handover import Assignment, Launch, Launching, RunnerExit, Worker
from pigeon.worker.runner import runner
from pigeon.worker.runner.journal_row import JournalRow
from pigeon.worker.runner.ownership import Superseded
from pigeon.worker.runner.stop_order import StopOrder

NAME = "pigeon-launch"
WAIT_REASON = "launcher"
UNSEEN = "it was removed from the share before its end was seen"

TALK_S = 0.05
"""Who hears a launcher that never stops talking does so 20 times a second at most."""

LOOK_S = 1.0
"""Between two looks at the session."""

PAUSES_S = (0.0, 0.5, 3.0)
"""Before each start of a launcher; when the last one has ended for nothing, the session is given up."""

LOST_S = 15.0
"""A claimed session that is silent for so long (three heartbeats) once its launcher has ended is given an end: its
node is gone. If that is wrong, its runner hangs its command up (FORMAT.md, "Takeover")."""

STOP_S = 10.0
"""An order to stop waits so long for a share that does not let the session be given back, or hung up."""

LEAVES_S = 5.0
"""The launcher of a session that has its end is asked to end after so long, ..."""

DEAF_S = 30.0
"""... and left alone after so long: its engine's own limit of time is what ends it then."""


def run(worker: Worker, launching: Launching, launch: Launch, task: Assignment, stop: StopOrder) -> int:
    """See one session through. Returns a RunnerExit status; in a forked process."""
    identity.call_oneself(NAME)
    one = Dispatch(worker, launching, launch, task, stop)
    try:
        return one.run()
    except Superseded as reason:
        worker.debug.say("failure", f"{task.session_id}: {reason}")
        return RunnerExit.SUPERSEDED
    except JournalError as error:
        tell(f"pigeon worker: {error.message}")
        return RunnerExit.JOURNAL
    finally:
        one.close()


class Dispatch:
    """One session, and the launcher that is to bring its worker about."""

    def __init__(
        self, worker: Worker, launching: Launching, launch: Launch, task: Assignment, stop: StopOrder
    ) -> None:
        self.worker = worker
        self.task = task
        self.session = worker.namespace.session(task.session_id)
        self._launching = launching
        self._launch = launch
        self._stop = stop
        self._row = JournalRow(worker, task, None, self._is_ours)
        # Whoever was here before may have left one behind.
        self._launcher: LauncherEnd | None = Leftover(self._row.token) if task.row is not None else None
        self._why = ""
        """How the last launcher ended."""
        self._launches = 0
        self._launch_at = 0.0
        self._client = Silence()
        self._control_bytes: int | None = None
        self._claim: claim.Claim | None = None
        self._owner: takeover.OwnerWatch | None = None
        self._has_hung_up = False
        self._takeover_token = new_token()
        self._is_stalled = False
        self._said = Note(is_open=True)
        self._waits_since: float | None = None

    def run(self) -> int:
        """Until the session has its end, or is none of this process's any more."""
        os.chdir("/")
        wakeup = self._arrange_signals()
        try:
            self.proof = proof.ProofOfLife(
                self.worker.proof_directory, f"{self._row.token}.{self._row.epoch}"
            )
        except OSError as error:
            return self._later(f"cannot keep a runner's proof of life: {error}")
        try:
            if not self._row.begin(self.proof.path):
                self.proof.remove()
                return RunnerExit.LOST
        except JournalError as error:
            if not may_pass(error):
                raise
            self.proof.remove()
            return self._later(f"the journal fails: {error.message}; trying on")
        self._row.close()
        code = self._see_through(wakeup)
        self.proof.remove()
        return code

    def _later(self, why: str) -> int:
        reasons.say(self.worker.reasons, self.task.session_id, why)
        if self.task.is_first_try:
            tell(f"pigeon worker: {why}")
        return RunnerExit.LATER

    def _arrange_signals(self) -> int:
        """SIGTERM (a StopOrder) wakes the loop; the signals of a terminal are the scheduler's business."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
            # Caught and not ignored: the launcher would inherit an ignored signal (execve(2)).
            signal.signal(number, lambda *_: None)
        return reading

    def _see_through(self, wakeup: int) -> int:
        seen_at = clock.monotonic()
        while True:
            now = clock.monotonic()
            try:
                code = self._turn(now)
            except OSError as error:
                self.worker.debug.say("failure", f"{self.task.session_id}: {error}")
                self._client.failed()
                is_orphan = os.getppid() != self.worker.pid
                # It ends as if it had been killed: recovery takes its row up if the share ever comes back.
                failing_s = now - seen_at
                is_left = is_orphan and files.is_gone(error, failing_s)
                if is_left or (self._stop.is_given and failing_s >= STOP_S):
                    return RunnerExit.FAILED
                self._wait(wakeup, now, None)  # what its launcher says or does cannot be answered now
                continue
            seen_at = now
            if code is not None:
                return code
            self._wait(wakeup, now, self._launcher)

    def _turn(self, now: float) -> int | None:
        """A look, and what follows from it. Raises OSError: the share does not let either be done now."""
        return self._do(LAUNCH_STEPS[self._look(now)][self._news(now)], now)

    # What is known

    def _look(self, now: float) -> Standing:
        """Raises OSError: it cannot be said now."""
        if self._claim is not None:
            return Standing.OURS
        try:
            if CLAIM_NAME not in files.list_names(self.session.directory):
                size = files.size(self.session.control())
                grew = self._control_bytes != size
                self._control_bytes = size
                self._client.looked(now, grew=grew)
                return Standing.OPEN
            found = claim.read_claim(self.session)
        except FileNotFoundError:
            if files.is_removed(self.session):
                return Standing.ANOTHERS
            raise
        if not found.token:
            raise FileNotFoundError("the claim is just being made")
        if found.launch != self._row.token:
            return Standing.ANOTHERS
        self._claim = found
        return Standing.OURS

    def _is_ours(self, token: str) -> bool:
        """For a journal that has lost the row."""
        return self._claim is not None and self._claim.launch == token

    def _news(self, now: float) -> News:
        if self._stop.is_given:
            return News.STOP
        if self.task.refusal is not None or (
            self._launch.judges_client and self._client.seconds >= CLIENT_GONE_S
        ):
            return News.CLIENT_GONE
        launcher = self._launcher
        if launcher is None:
            return News.ENDED if now >= self._launch_at else News.NOTHING
        if launcher.hear():
            self._say(is_open=self._said.is_open)
        if not launcher.has_ended:
            return News.NOTHING
        launcher.hear()
        self._forget_launcher()
        return self._launch_failed(launcher.how, now)

    def _launch_failed(self, why: str, now: float) -> News:
        self._why = why
        pause = PAUSES_S[self._launches] if self._launches < len(PAUSES_S) else 0.0
        self._launch_at = now + pause
        return News.NOTHING if pause else News.ENDED

    def _forget_launcher(self) -> None:
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None

    def _wait(self, wakeup: int, now: float, launcher: LauncherEnd | None) -> None:
        """Until an order comes, the launcher says something or ends, or it is time to look again."""
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        for fd in launcher.descriptors if launcher is not None else ():
            poll.register(fd, select.POLLIN)
        until = now + LOOK_S
        while (left := until - clock.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            if wakeup in ready:
                os.read(wakeup, 4096)
            if launcher is None or wakeup in ready or launcher.has_ended:
                return
            if ready:  # what it says is passed on, and is no reason to look at the share
                if launcher.hear():
                    self._say(is_open=self._said.is_open)
                if not launcher.is_open:
                    return
                clock.sleep(TALK_S)

    # What is done

    def _do(self, step: Step, now: float) -> int | None:
        """None: go on. Else the RunnerExit status with which this process ends. Raises OSError as `_watch`."""
        if step is Step.LAUNCH:
            return self._start(now)
        if step is Step.GIVE_BACK:
            return self._let_go(RunnerExit.LATER)
        if step is Step.REFUSE:
            why = f"its client has shown no sign of life for {self._client.seconds:.0f} s; not started"
            return self._refuse(self.task.refusal or (states.CANCELLED, why))
        if step is Step.LEAVE:
            return self._let_go(RunnerExit.LOST)
        if step is Step.WAIT:
            return None
        if step is Step.HANG_UP and not self._has_hung_up:
            self._hang_up()
        return self._watch(now)

    def _start(self, now: float) -> int | None:
        if self._launches == len(PAUSES_S):
            why = (
                f"`worker.launcher` has not brought a worker about in {self._launches} attempts: {self._why}"
            )
            return self._refuse((states.FAILED, why))
        self._launches += 1
        request = self.task.request
        argv = words.filled(
            self._launching.words,
            words.LAUNCHER,
            cwd=request.cwd,
            session_id=request.session_id,
            pty=request.pty,
        )
        serving = [*self._launching.serving, "--session", request.session_id, "--launch", self._row.token]
        self._begin_wait()
        try:
            self._launcher = Launcher([*argv, *serving], environment(self.task.environ, self._row.token))
        except CannotLaunch as error:
            self._launch_failed(str(error), now)
        self._say(is_open=True)
        return None

    def _say(self, *, is_open: bool) -> None:
        says = self._launcher.says if self._launcher is not None else self._why
        if (is_open, says) != (self._said.is_open, self._said.says):
            self._said = Note(is_open, says)
            note.write(self.worker.proof_directory, self._row.token, self._said)

    def _let_go(self, code: int) -> int:
        """The session is not ours: end the launcher, and leave no trace of it."""
        self._end_launcher(0.0)
        self._end_wait()
        if self.task.row is not None and self.task.row.state == journal_states.LAUNCHED:
            self._row.copied({"outcome": states.FAILED, "error": UNSEEN})
        else:
            self._row.forget()
        self._row.close()
        return code

    def _refuse(self, refusal: tuple[str, str]) -> int:
        """Claim the session here, as a runner does, to end it."""
        self._let_go(RunnerExit.LATER)
        task = replace(self.task, refusal=refusal, row=None, launch=None, given_at=clock.boottime())
        return runner.run(self.worker, task, self._stop)

    def _hang_up(self) -> None:
        """As `pigeon stop` does."""
        try:
            attachment.create(self.session, visitor_records=client_line(HANGUP))
            self._has_hung_up = True
        except OSError:
            pass  # at the next turn

    def _watch(self, now: float) -> int | None:
        """Raises OSError: how the session is cannot be said now."""
        found = self._claim
        assert found is not None
        if self._owner is None:
            self._end_wait()
            self._row.launched(node=found.worker_host, job=found.job)
            self._row.close()
            self._owner = takeover.OwnerWatch(self.worker.namespace, self.session, found.owner)
            self._say(is_open=False)
        status = known_status(self.session)
        if status is None:
            if files.is_removed(self.session):
                status = states.Status(self.task.session_id, states.FAILED, created_at=clock.utc_text())
                status.error = UNSEEN
            else:
                files.list_names(self.session.directory)  # it is there, or nothing can be said
        if status is None or not status.is_final:
            self._judge_owner(self._owner, found, now)
            return None
        self._row.copied(columns_of(self.session, status))
        self._row.close()
        self._end_launcher(LEAVES_S)
        return RunnerExit.DONE

    def _judge_owner(self, owner: takeover.OwnerWatch, found: claim.Claim, now: float) -> None:
        """Give the session an end if its node is gone. Raises OSError."""
        limit = LOST_S if self._launcher is None else self._launching.host_timeout_s
        if owner.look(now) < limit:
            return
        by, who = f"worker {self.worker.worker_id}", found.owner or "unknown"
        if not takeover.end(self.session, self._takeover_token, by, who, stalled=self._is_stalled):
            # Another was first. If he dies before he has published the end, the next watch ends in this one.
            self._is_stalled = True
            self._owner = takeover.OwnerWatch(self.worker.namespace, self.session, found.owner)

    def _end_launcher(self, grace_s: float) -> None:
        """Ask it to end after so long, if it does not by itself; wait until it has."""
        self._say(is_open=False)
        launcher, began = self._launcher, clock.monotonic()
        if launcher is None:
            return
        while not launcher.has_ended:
            now = clock.monotonic()
            if now - began >= DEAF_S:
                tell(
                    f"pigeon worker: the launcher of {self.task.session_id} does not end when it is asked to; "
                    "it is left alone"
                )
                break
            if now - began >= grace_s:
                launcher.ask_to_end(now)
            select.select(launcher.descriptors, [], [], 0.1)
            launcher.hear()
        self._forget_launcher()

    # Books

    def _begin_wait(self) -> None:
        if self._waits_since is None:
            self._waits_since = clock.monotonic()
            self._row.begin_wait(WAIT_REASON)

    def _end_wait(self) -> None:
        if self._waits_since is not None:
            self._row.end_wait(WAIT_REASON, clock.monotonic() - self._waits_since)
            self._waits_since = None

    def close(self) -> None:
        """Leave nothing behind that says something."""
        self._forget_launcher()
        note.remove(self.worker.proof_directory, self._row.token)
