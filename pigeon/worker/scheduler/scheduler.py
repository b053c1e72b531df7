"""The `pigeon worker` process: finds sessions, decides, forks runners, watches them end, recovers.

It never touches a command's bytes nor a user's directory, whose mount may hang. It forks without threads and with no
SQLite connection open; a runner that it forked outlives it, and the next scheduler with the same journal watches it
again.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from collections.abc import Callable
from dataclasses import replace

from pigeon import clock
from pigeon.errors import JournalError
from pigeon.journal.connection import may_pass
from pigeon.journal.queries import Row
from pigeon.wire import files, share, states
from pigeon.wire.names import CLAIM_NAME
from pigeon.wire.pacing import scan_interval
from pigeon.worker.debug import tell
from pigeon.worker.guard import Guard
from pigeon.worker.handover import Assignment, RunnerExit, Worker
from pigeon.worker.reasons import Reasons
from pigeon.worker.recovery import plan
from pigeon.worker.recovery.takeovers import Takeovers
from pigeon.worker.scheduler import outage, queue, rescue, waiting_clients
from pigeon.worker.scheduler.catalog import Catalog
from pigeon.worker.scheduler.forks import STANDBY_AFTER_S, Forks
from pigeon.worker.scheduler.heartbeat import INTERVAL_S, Heartbeat
from pigeon.worker.scheduler.outage import Outage
from pigeon.worker.scheduler.queue import Waiting
from pigeon.worker.scheduler.retention import NET_KEEP_S, SWEEP_S, Retention, Sweeper
from pigeon.worker.scheduler.runners import Runners, Running
from pigeon.worker.scheduler.wait_records import WaitRecorder

RECOVERY_S = 10.0
"""Between two looks for runners of this journal that died without their scheduler seeing it."""

WAY_S = 10.0
"""Between two looks at the whole way to the share: somebody may have opened a directory above to others, or moved the
share away and put another in its place. A listing checks no more than what it lists."""

ADOPTED_S = 0.2
"""Between two looks at runners that another scheduler forked, whose end no signal tells."""

MOST_DEATHS = 3
"""A session whose runners have died so often is not started, but ended."""

DEATH_S = 0.1
LONGEST_S = 60.0
"""Before a runner is forked for a session whose last one died: twice as long each time, from and up to this."""

MOST_STUCK = 200
"""Sessions of which the worker file says why they cannot be started."""

HELD_BY_NOBODY = "its directory is locked by a process that no worker has started"

WITHDRAWN_S = 5.0
"""Between two looks whether a waiting session has been claimed by another or withdrawn."""


class Scheduler:
    """The loop and its bookkeeping."""

    def __init__(
        self,
        worker: Worker,
        retention: Retention,
        *,
        route: str | None,
        max_jobs: int,
        max_net: int,
        poll_ceiling_s: float,
        host_timeout_s: float,
    ) -> None:
        self.worker = worker
        self.max_jobs = max_jobs
        self.max_net = max_net
        self.poll_ceiling_s = poll_ceiling_s
        self.catalog = Catalog(worker.namespace, route)
        self.sweeper = Sweeper(worker, self.catalog, retention)
        self.takeovers = Takeovers(worker, host_timeout_s, self._settled)
        self.waiting: dict[str, Waiting] = {}
        self.runners = Runners(worker.proof_directory)
        self.stops = 0
        self._said_stops = 0
        self._heartbeat = Heartbeat(
            worker.namespace, worker.worker_id, worker.host, worker.pid, route, max_jobs
        )
        self._share = Outage("share")
        self._journal = Outage("journal")
        self._processes = Outage("starting of processes")
        self._guard = Guard("the journal's row of")
        self._deaths: dict[str, int] = {}
        """How often a runner of the session has died."""
        self._said: dict[str, str] = {}
        """What runners have said that have not been reaped yet."""
        self._said_by_others: dict[str, bytes] = {}
        self._first_scan = True
        self._dirty = True
        self._news_at = clock.monotonic()
        self._due = {
            "scan": 0.0,
            "beat": 0.0,
            "recover": 0.0,
            "way": self._news_at + WAY_S,
            "tick": 0.0,
            "adopted": 0.0,
            "sweep": self._news_at + SWEEP_S,
            "standby": self._news_at + STANDBY_AFTER_S,
        }
        self._wait_recorder = WaitRecorder(worker, self._journal)

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM are orders to stop; before anybody is told that the worker is there."""
        self._wakeup, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        self._reasons = Reasons()
        worker = replace(self.worker, reasons=self._reasons.writing)
        self._forks = Forks(worker, (self._wakeup, self._wakeup_write))
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # caught, not ignored: commands would inherit that
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)

    def run(self) -> int:
        """Serve until stopped twice, or once and nothing runs any more. Returns the exit code."""
        gc.collect()
        gc.freeze()  # forked runners then share these objects' pages instead of copying them
        self._when("beat", clock.monotonic(), INTERVAL_S, self.sweeper.forget_dead_workers)
        self._due["beat"] = 0.0
        try:
            while not self._is_over():
                self._step()
        finally:
            self._forks.dismiss_standby()
            self._heartbeat.stop()
        return 0

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stops += 1

    def _is_over(self) -> bool:
        return self.stops > 0 and len(self.runners) == 0

    def _step(self) -> None:
        now = clock.monotonic()
        self._reap()
        self._answer_stops()
        if self._is_over():
            return
        self._when("way", now, WAY_S, self._check_way)
        self._when("recover", now, RECOVERY_S, self._recover)
        self._when("beat", now, INTERVAL_S, self._beat)
        self._when("adopted", now, ADOPTED_S, self._watch_adopted)
        if self._takes_sessions:
            if now >= self._due["scan"]:
                self._scan(now)
            self._when("tick", now, 1.0, self._tick)
            self._when("sweep", now, SWEEP_S, self._sweep)
            if self._dirty or any(0 < w.retry_at <= now for w in self.waiting.values()):
                self._decide(clock.monotonic())
            if not self._forks.has_standby and now >= self._due["standby"]:
                self._make_standby(now)
        self._sleep()

    @property
    def _takes_sessions(self) -> bool:
        return self.stops == 0 and not self._share.is_failing("way")

    def _check_way(self) -> None:
        """Raises OSError: the way is not safe, or cannot be looked at. Nothing new is taken until it is again."""
        if share.renew(self.worker.namespace):
            self._forks.dismiss_standby()  # it was forked with the old one's descriptors
            tell(
                "pigeon worker: another directory has taken the place of the namespace, and is served from now on"
            )

    def _make_standby(self, now: float) -> None:
        try:
            self._forks.make_standby()
        except OSError:  # no process or descriptor left; it can do without
            self._due["standby"] = now + RECOVERY_S

    def _when(self, name: str, now: float, every_s: float, action: Callable[[], None]) -> None:
        """Run `action` if it is due; a failing share or journal is told once and tried again at the next turn."""
        if now < self._due[name]:
            return
        self._due[name] = now + every_s
        try:
            action()
            self._share.works(name)
        except OSError as error:
            self._share.fails(outage.words(error), name)
        except JournalError as error:
            if not may_pass(error):
                raise
            self._journal.fails(error.message)
            # SQLite may have waited for somebody longer than `every_s`: the rest of the loop has its turn first.
            self._due[name] = clock.monotonic() + every_s

    def _sleep(self) -> None:
        now = clock.monotonic()
        until = min(self._due["beat"], self._due["recover"])
        if self.runners.has_adopted:
            until = min(until, self._due["adopted"])
        if self._takes_sessions:
            until = min(until, self._due["scan"], self._due["tick"])
            retries = [w.retry_at for w in self.waiting.values() if w.retry_at > now]
            until = min([until, *retries])
            if not self._forks.has_standby:
                until = min(until, self._due["standby"])
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        if poll.poll(max(0.0, until - now) * 1000):
            os.read(self._wakeup, 4096)

    # Finding

    def _scan(self, now: float) -> None:
        try:
            found = self.catalog.scan(now)
            self._share.works("scan")
        except OSError as error:
            found = []
            self._share.fails(outage.words(error), "scan")
        for waiting in found:
            if waiting.session_id in self.waiting:
                continue
            waiting.needs_sign_of_life = (self._first_scan or waiting.has_vanished) and self._is_judged(
                waiting
            )
            self.waiting[waiting.session_id] = waiting
            self.worker.debug.say("queue", f"{waiting.session_id}: seen: {waiting.request.command}")
        if found:
            self._dirty = True
            self._news_at = now
        self._first_scan = False
        after = clock.monotonic()
        wait = scan_interval(after - self._news_at, self.poll_ceiling_s)
        self._due["scan"] = after + max(wait, after - now)

    def _is_judged(self, waiting: Waiting) -> bool:
        """Whether its client has to show that it lives. With `--keep` it need not, unless its session had vanished."""
        request = waiting.request
        goes_on_alone = request.keeps and not waiting.has_vanished
        return request.sends_heartbeats and not goes_on_alone and waiting.refusal is None

    def _tick(self) -> None:
        """Once a second: signs of life, withdrawals and the journal's record of those that wait."""
        now = clock.monotonic()
        for waiting in list(self.waiting.values()):
            if self._is_judged(waiting) and waiting_clients.judge(self.worker.namespace, waiting, now):
                self._dirty = True
            if waiting.row is not None:
                self._drop_if_lost(waiting, waiting.row)
            elif now - waiting.seen_monotonic > WITHDRAWN_S:
                self._drop_if_claimed(waiting)
        self._wait_recorder.record(self.waiting.values(), now)
        for session_id in [name for name in self.catalog.claimed if self._is_own(name)]:
            del self.catalog.claimed[session_id]
        self.takeovers.watch(list(self.catalog.claimed), now)

    def _settled(self, session_id: str, is_final: bool) -> None:
        """A session of another has its end, or is gone."""
        self.catalog.claimed.pop(session_id, None)
        if is_final:
            self.catalog.finished[session_id] = clock.monotonic()

    def _sweep(self) -> None:
        now = clock.monotonic()
        self.takeovers.recheck(list(self.catalog.claimed))
        self.sweeper.sweep(now, self._is_own)
        if len(self.catalog.claimed) == 0:
            self.sweeper.sweep_workers(now)

    def _is_own(self, session_id: str) -> bool:
        """Whether a process of this scheduler is at work on the session."""
        return session_id in self.waiting or self.runners.is_at(session_id)

    def _drop_if_claimed(self, waiting: Waiting) -> None:
        if clock.monotonic() - waiting.looked_at < WITHDRAWN_S:
            return
        waiting.looked_at = clock.monotonic()
        directory = self.worker.namespace.session(waiting.session_id).directory
        try:
            names = files.list_names(directory)
        except FileNotFoundError:
            names = [CLAIM_NAME]  # the session has been removed
        except OSError:
            return
        if CLAIM_NAME in names:
            self._remove(waiting, "claimed by another or withdrawn")

    def _drop_if_lost(self, waiting: Waiting, row: Row) -> None:
        """Whose dead runner had not claimed it may be claimed by another at any time; recovery then forgets the row."""
        try:
            if plan.is_lost(self.worker.namespace.session(row.session_id), row):
                self._remove(waiting, "claimed by another, or removed")
                self._due["recover"] = 0.0
        except OSError:
            return

    def _remove(self, waiting: Waiting, why: str) -> None:
        del self.waiting[waiting.session_id]
        waiting.wait_for(None, None, clock.monotonic())
        self._wait_recorder.close(waiting)
        self.catalog.claimed[waiting.session_id] = clock.monotonic()
        self._dirty = True
        self.worker.debug.say("queue", f"{waiting.session_id}: {why}")

    # Deciding

    def _decide(self, now: float) -> None:
        self._dirty = False
        free = self.max_jobs - self.runners.slots_taken()
        free_net = self.max_net - self.runners.slots_taken(is_net=True)
        waiting_now, refusing = list(self.waiting.values()), self.runners.refusing()
        for verdict in queue.decide(
            waiting_now, self.runners.held(), free, now, free_net=free_net, refusing=refusing
        ):
            waiting = verdict.waiting
            if verdict.reason is None and waiting.held_elsewhere:
                self._launch(waiting, verdict.beside)  # only a try: it goes on waiting unless that succeeds
                continue
            if waiting.wait_for(verdict.reason, verdict.behind, now) and verdict.reason is not None:
                behind = f" behind {verdict.behind}" if verdict.behind else ""
                self.worker.debug.say("lock", f"{waiting.session_id}: waits for {verdict.reason}{behind}")
            if verdict.reason is None:
                self._launch(waiting, verdict.beside)

    def _launch(self, waiting: Waiting, beside: frozenset[str]) -> None:
        now = clock.monotonic()
        if not waiting.held_elsewhere:
            self._wait_recorder.close(waiting)
        task = Assignment(
            waiting.session_id,
            waiting.request,
            waiting.seen_at,
            slot_wait_s=waiting.waited_for(queue.SLOT, now),
            lock_wait_s=waiting.waited_for(queue.DIRECTORY, now),
            refusal=waiting.refusal,
            row=waiting.row,
            is_first_try=waiting.retry_at == 0.0,
            beside=beside,
        )
        try:
            pid = self._forks.run(task)
        except OSError as error:  # no process or descriptor left now
            self.worker.debug.say("failure", f"{waiting.session_id}: no runner: {error.strerror}")
            self._processes.fails(outage.words(error))
            waiting.stuck = f"no process can be started: {error.strerror}"
            waiting.retry_at = now + waiting.backoff.failed()
            return
        self._processes.works()
        self._due["standby"] = now + STANDBY_AFTER_S
        del self.waiting[waiting.session_id]
        self.runners.add_runner(pid, waiting, is_beside=bool(beside))

    # Ends

    def _reap(self) -> None:
        while self.runners.has_children or self._forks.has_standby:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            running = self.runners.take_out(pid)
            if self._forks.has_lost(pid):
                self._due["standby"] = clock.monotonic() + RECOVERY_S  # something kills it: not at once again
            if running is not None:
                self._ended(running, os.waitstatus_to_exitcode(status))

    def _ended(self, running: Running, code: int) -> None:
        self._dirty = True
        self._news_at = clock.monotonic()
        waiting = running.waiting
        tried = code in (RunnerExit.HELD, RunnerExit.LATER)
        self._said.update(self._reasons.take())
        said = self._said.pop(running.session_id, "")
        if waiting is not None and waiting.held_elsewhere and not tried:
            waiting.wait_for(None, None, clock.monotonic())
            self._wait_recorder.close(waiting)
        if running.is_recovery:
            # Ended, or left to who has begun to end it: looked at again until it is final.
            self.catalog.claimed[running.session_id] = clock.monotonic()
            if code != RunnerExit.DONE:
                self._due["recover"] = clock.monotonic() + self._count_death(running.session_id)
        elif tried and waiting is not None:
            waiting.held_elsewhere = code == RunnerExit.HELD
            waiting.stuck = said or (HELD_BY_NOBODY if waiting.held_elsewhere else "")
            waiting.retry_at = clock.monotonic() + waiting.backoff.failed()
            self._requeue(waiting)
        elif code == RunnerExit.DONE:
            self._deaths.pop(running.session_id, None)
            self.catalog.finished[running.session_id] = clock.monotonic()
            if running.is_net:
                self.sweeper.keeps_briefly.add(running.session_id)
                self._due["sweep"] = min(self._due["sweep"], clock.monotonic() + NET_KEEP_S)
        elif code in (RunnerExit.LOST, RunnerExit.SUPERSEDED):
            self.catalog.claimed[running.session_id] = clock.monotonic()
        elif code == RunnerExit.JOURNAL:
            raise JournalError(
                "the journal cannot be used any more, as a runner has found",
                hint="`pigeon history` tells what is wrong with it; a worker that is started looks at it first",
            )
        else:
            self._died(running, code, said)

    def _died(self, running: Running, code: int, said: str) -> None:
        """A runner has ended without saying what became of its session: by a signal, or by a fault of pigeon's own."""
        waiting = running.waiting
        tell(f"pigeon worker: the runner of {running.session_id} died ({_death(code)})")
        self.worker.debug.say("failure", f"{running.session_id}: its runner died ({_death(code)})")
        pause_s = self._count_death(running.session_id)
        self._due["recover"] = 0.0
        # It may have died before it wrote a row, and then recovery knows nothing of the session.
        if waiting is None or waiting.row is not None:
            return
        deaths = self._deaths[running.session_id]
        if deaths > 2 * MOST_DEATHS:
            tell(f"pigeon worker: session {running.session_id} is left alone: not even its end can be told")
            return
        if deaths >= MOST_DEATHS:
            why = said or f"its runner died ({_death(code)})"
            waiting.refusal = (states.FAILED, f"it could not be started in {deaths} attempts: {why}")
        waiting.retry_at = clock.monotonic() + pause_s
        self._requeue(waiting)

    def _count_death(self, session_id: str) -> float:
        """One more runner of the session has died; how long to wait before the next one is forked, in seconds."""
        self._deaths[session_id] = self._deaths.get(session_id, 0) + 1
        return _pause_s(self._deaths[session_id])

    def _requeue(self, waiting: Waiting) -> None:
        """Back to its place: the order is that in which this worker first saw the sessions."""
        self.waiting[waiting.session_id] = waiting
        self.waiting = dict(sorted(self.waiting.items(), key=lambda item: item[1].seen_monotonic))

    def _watch_adopted(self) -> None:
        for session_id in self.runners.drop_dead():
            self._dirty = True
            self._due["recover"] = 0.0
            self.catalog.claimed[session_id] = clock.monotonic()  # final by now, or soon

    def _recover(self) -> None:
        """Adopt runners that live without a scheduler, and give an end to the sessions of those that do not."""
        found, settled = rescue.look(self.worker, self.runners, self.waiting.values(), self._said_by_others)
        self._journal.works()
        for session_id in settled:
            self._dirty = True
            self.catalog.claimed[session_id] = clock.monotonic()
        for row in found:
            self._guard.run(row.session_id, lambda row=row: self._recover_one(row))  # type: ignore[misc]

    def _recover_one(self, row: Row) -> None:
        deaths = self._deaths.get(row.session_id, 0)
        try:
            decision = rescue.decide(self.worker, row)
            is_tried = decision is plan.Recovery.CLAIM_AGAIN or (
                decision is plan.Recovery.START and deaths < MOST_DEATHS
            )
            waiting = rescue.wait_again(self.worker, row) if is_tried else None
        except OSError:
            self._due["recover"] = clock.monotonic() + 1.0  # it cannot be said now
            return
        if waiting is not None:
            if deaths >= MOST_DEATHS:
                waiting.refusal = (states.FAILED, f"it could not be started in {deaths} attempts")
            if deaths:
                waiting.retry_at = clock.monotonic() + _pause_s(deaths)
            waiting.needs_sign_of_life = waiting.needs_sign_of_life and self._is_judged(waiting)
            self.waiting[row.session_id] = waiting
            self._dirty = True
            return
        if row.session_id in self.waiting:
            self._remove(self.waiting[row.session_id], "taken up from the journal")
        rescue.begin_end(self.worker, self.runners, self._forks, row, decision)

    # Saying

    def _beat(self) -> None:
        stuck = [(one.session_id, one.stuck) for one in self.waiting.values() if one.stuck]
        running = self.runners.describe(clock.monotonic())
        self._heartbeat.beat(running, dict(stuck[:MOST_STUCK]), draining=self.stops > 0)

    def _answer_stops(self) -> None:
        if self.stops == self._said_stops:
            return
        self._said_stops = self.stops
        count = len(self.runners)
        if self.stops == 1:
            if count:
                tell(
                    f"pigeon worker: taking no new sessions; waiting for {count} running. "
                    "Interrupt again to hang them up"
                )
            rescue.tell_net_to_move(self.runners)
            return
        tell(f"pigeon worker: hanging up {count} running sessions")
        self.runners.hang_up()


def _pause_s(deaths: int) -> float:
    """Before a runner is forked for a session whose runners have died so often."""
    return min(DEATH_S * float(2 ** min(deaths - 1, 20)), LONGEST_S)


def _death(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
