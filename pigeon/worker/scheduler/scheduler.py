"""The `pigeon worker` process: finds sessions, decides, forks runners, watches them end, recovers.

It never touches a command's bytes nor a user's directory, whose mount may hang. It forks without threads and with no
SQLite connection open; a runner that it forked outlives it, and the next scheduler with the journal watches it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
from dataclasses import replace

from pigeon import clock
from pigeon.text import duration
from pigeon.wire import share
from pigeon.wire.pacing import scan_interval
from pigeon.worker.debug import tell
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.reasons import Reasons
from pigeon.worker.recovery.takeovers import Takeovers
from pigeon.worker.scheduler import outage, queue, waiting_clients
from pigeon.worker.scheduler.agenda import NEVER, Agenda
from pigeon.worker.scheduler.catalog import Catalog
from pigeon.worker.scheduler.deaths import Deaths
from pigeon.worker.scheduler.elsewhere import Elsewhere
from pigeon.worker.scheduler.ends import Ends
from pigeon.worker.scheduler.forks import STANDBY_AFTER_S, Forks
from pigeon.worker.scheduler.heartbeat import INTERVAL_S, Heartbeat
from pigeon.worker.scheduler.idleness import Idleness
from pigeon.worker.scheduler.other_hands import OtherHands
from pigeon.worker.scheduler.outage import Outage
from pigeon.worker.scheduler.rescue import Rescue
from pigeon.worker.scheduler.retention import SWEEP_S, Retention, Sweeper
from pigeon.worker.scheduler.runners import Runners
from pigeon.worker.scheduler.sessions import (
    IGNORED,
    Adopted,
    Final,
    Owned,
    Running,
    Sessions,
    Tried,
    Waiting,
)
from pigeon.worker.scheduler.single import Single
from pigeon.worker.scheduler.wait_records import WaitRecorder

RECOVERY_S = 10.0
"""Between two looks for runners of this journal that died without their scheduler seeing it."""

WAY_S = 10.0
"""Between two looks at the whole way to the share: somebody may have opened a directory above to others, or put another
share in its place. A listing checks no more than what it lists."""

ADOPTED_S = 0.2
"""Between two looks at runners that another scheduler forked, whose end no signal tells."""

MOST_STUCK = 200
"""Sessions of which the worker file says why they cannot be started."""


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
        self.sessions = Sessions()
        self.catalog = Catalog(self.sessions, worker.namespace, route, only=worker.only)
        self.sweeper = Sweeper(worker, self.sessions, retention)
        self.takeovers = Takeovers(worker, host_timeout_s, self._settled)
        self.runners = Runners(self.sessions, worker.proof_directory)
        self.idleness = Idleness(None)
        """Until when it stays without a session; whoever makes it may say so."""
        self.stops = 0
        self._said_stops = 0
        self._heartbeat = Heartbeat(
            worker.namespace, worker.worker_id, worker.host, worker.pid, route, max_jobs
        )
        self._share = Outage("share")
        self._journal = Outage("journal")
        self._processes = Outage("starting of processes")
        self._deaths = Deaths()
        self._said: dict[str, str] = {}
        """What runners have said that have not been reaped yet."""
        self._first_scan = True
        self._was_woken = True
        """A signal has come, of a child's end perhaps, that nothing has been done about."""
        self._news_at = clock.monotonic()
        self._agenda = Agenda(self._share, self._journal)
        for name, after_s in (("way", WAY_S), ("sweep", SWEEP_S), ("standby", STANDBY_AFTER_S)):
            self._agenda.put(name, self._news_at + after_s)
        self._single = Single(worker, self.sessions, self._agenda)
        self._elsewhere = Elsewhere(worker, self.runners, self._agenda)
        self._wait_recorder = WaitRecorder(worker, self._journal)
        self._other_hands = OtherHands(worker, self.sessions, self._agenda, self._wait_recorder)
        self._rescue = Rescue(
            worker, self.sessions, self.runners, self._agenda, self._deaths, self._other_hands
        )
        self._ends = Ends(worker, self.sessions, self._agenda, self._deaths, self._other_hands, self._rescue)

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM are orders to stop; before anybody is told that the worker is there."""
        self._wakeup, self._wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wakeup, select.POLLIN)
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
        self._agenda.run("beat", clock.monotonic(), INTERVAL_S, self.sweeper.forget_dead_workers)
        self._agenda.put_now("beat")
        try:
            while not self._is_over():
                self._step()
        finally:
            self._forks.dismiss_standby()
            self._heartbeat.stop()
        return 0

    def _on_stop(self, _number: int, _frame: object) -> None:
        self.stops += 1 if self._single.session_id is None else 2  # nothing else that it could let go on

    def _is_over(self) -> bool:
        ends = self.stops > 0 and len(self.runners) == 0
        return ends or self._single.is_served(clock.monotonic())

    def _step(self) -> None:
        now = clock.monotonic()
        if self._was_woken or now >= self._agenda.due("beat"):
            self._was_woken = False
            self._reap()
        if self.idleness.limit_s is not None and self.idleness.has_lasted(now, is_busy=self._is_busy()):
            for_so_long = duration(self.idleness.limit_s or 0.0)
            tell(f"pigeon worker: no session for {for_so_long}, so it ends (`idle_exit`)")
            self.stops = max(self.stops, 1)
        self._answer_stops()
        if self._is_over():
            return
        self._agenda.run("way", now, WAY_S, self._check_way)
        self._agenda.run("recover", now, RECOVERY_S, self._recover)
        self._agenda.run("beat", now, INTERVAL_S, self._beat)
        self._agenda.run("adopted", now, ADOPTED_S, self._rescue.watch_adopted)
        self._elsewhere.hear(now)
        self._single.ask(now)
        if self._takes_sessions:
            if now >= self._agenda.due("scan"):
                self._scan(now)
            self._agenda.run("tick", now, 1.0, self._tick)
            self._agenda.run("sweep", now, SWEEP_S, self._sweep)
            if min(self._agenda.due("decide"), self.sessions.next_retry()) <= now:
                self._decide(clock.monotonic())
            if not self._forks.has_standby and now >= self._agenda.due("standby"):
                self._make_standby(now)
        self._wait()

    def _is_busy(self) -> bool:
        return len(self.runners) > 0 or any(self.sessions.candidates()) or self._share.is_failing("scan")

    @property
    def _takes_sessions(self) -> bool:
        return self.stops == 0 and not self._share.is_failing("way")

    def _check_way(self) -> None:
        """Raises OSError: the way is not safe, or cannot be looked at. Nothing new is taken until it is again."""
        if share.renew(self.worker.namespace):
            self._forks.dismiss_standby()  # it was forked with the old one's descriptors
            tell(
                "pigeon worker: another directory has taken the namespace's place, and is served from now on"
            )

    def _make_standby(self, now: float) -> None:
        try:
            self._forks.make_standby()
        except OSError:  # no process or descriptor left; it can do without
            self._agenda.put("standby", now + RECOVERY_S)

    def _next_due(self) -> float:
        """Monotonic seconds at which something else is to be done than to look for new sessions."""
        due = self._agenda.due
        until = min(due("beat"), due("recover"), self._elsewhere.due, self._single.due)
        if self.sessions.of(Adopted):
            until = min(until, due("adopted"))
        if self._takes_sessions:
            until = min(until, due("tick"), self.sessions.next_retry())
            if not self._forks.has_standby:
                until = min(until, due("standby"))
        return until

    def _wait(self) -> None:
        """Until a signal, or until something is due. Nearly all looks for new sessions are made here, and find none."""
        until = self._next_due()
        looks = self._takes_sessions
        while True:
            look_at = self._agenda.due("scan") if looks else NEVER
            if self._poll.poll(max(0.0, min(until, look_at) - clock.monotonic()) * 1000):
                os.read(self._wakeup, 4096)
                self._was_woken = True
                return
            now = clock.monotonic()
            if now >= look_at and self._scan(now):
                return
            if now >= until:
                return

    # Finding

    def _scan(self, now: float) -> bool:
        """Whether there are new sessions."""
        try:
            found = self.catalog.scan(now)
            self._share.works("scan")
        except OSError as error:
            found = []
            self._share.fails(outage.words(error), "scan")
        for candidate in found:
            is_doubtful = self._first_scan or candidate.has_vanished
            candidate.needs_sign_of_life = is_doubtful and waiting_clients.is_judged(candidate)
            self.worker.debug.say("queue", f"{candidate.session_id}: seen: {candidate.request.command}")
        if found:
            self._agenda.put_now("decide")
            self._news_at = now
        self._first_scan = False
        after = clock.monotonic()
        wait = scan_interval(after - self._news_at, self.poll_ceiling_s)
        self._agenda.put("scan", after + max(self._single.scan_pause_s(wait), after - now))
        return bool(found)

    def _tick(self) -> None:
        """Once a second: signs of life, withdrawals and the journal's record of those that wait."""
        now = clock.monotonic()
        for candidate in list(self.sessions.candidates()):
            if waiting_clients.is_judged(candidate) and waiting_clients.judge(
                self.worker.namespace, candidate, now
            ):
                self._agenda.put_now("decide")
            self._other_hands.look(candidate, now)
        self._wait_recorder.record(self.sessions.candidates(), now)
        self.takeovers.watch(list(self.sessions.of(Owned)), now)

    def _settled(self, session_id: str, is_final: bool) -> None:  # one of another's; else it is gone
        self.sessions.put(session_id, Final(clock.monotonic()) if is_final else IGNORED)

    def _sweep(self) -> None:
        now = clock.monotonic()
        self.takeovers.recheck(list(self.sessions.of(Owned)))
        self.sweeper.sweep(now)
        if not self.sessions.of(Owned):
            self.sweeper.sweep_workers(now)

    # Deciding

    def _decide(self, now: float) -> None:
        self._agenda.put("decide", NEVER)
        free = self.max_jobs - self.runners.slots_taken()
        free_net = self.max_net - self.runners.slots_taken(is_net=True)
        waiting, held, refusing = self.sessions.in_order(), self.runners.held(), self.runners.refusing()
        for verdict in queue.decide(waiting, held, free, now, free_net=free_net, refusing=refusing):
            candidate = verdict.session.candidate
            if verdict.reason is None and _is_retry(verdict.session):
                self._launch(verdict.session, verdict.beside)
                continue  # only a try: it goes on waiting unless that succeeds
            if candidate.wait_for(verdict.reason, verdict.behind, now) and verdict.reason is not None:
                behind = f" behind {verdict.behind}" if verdict.behind else ""
                self.worker.debug.say("lock", f"{candidate.session_id}: waits for {verdict.reason}{behind}")
            if verdict.reason is None:
                self._launch(verdict.session, verdict.beside)

    def _launch(self, session: Waiting | Tried, beside: frozenset[str]) -> None:
        now = clock.monotonic()
        candidate, is_retry = session.candidate, _is_retry(session)
        if not is_retry:
            self._wait_recorder.close(candidate)
        task = Assignment(
            candidate.session_id,
            candidate.request,
            candidate.seen_at,
            slot_wait_s=candidate.waited_for(queue.SLOT, now),
            lock_wait_s=candidate.waited_for(queue.DIRECTORY, now),
            refusal=candidate.refusal,
            row=candidate.row,
            is_first_try=isinstance(session, Waiting),
            launch=self._elsewhere.launch_of(candidate),
            beside=beside,
        )
        try:
            pid = self._forks.run(task)
        except OSError as error:  # no process or descriptor left now
            self.worker.debug.say("failure", f"{candidate.session_id}: no runner: {error.strerror}")
            self._processes.fails(outage.words(error))
            candidate.stuck = f"no process can be started: {error.strerror}"
            retry_at = now + candidate.backoff.failed()
            self.sessions.put(candidate.session_id, Tried(candidate, retry_at, is_retry))
            return
        self._processes.works()
        if self._single.session_id is None:
            self._agenda.put("standby", now + STANDBY_AFTER_S)
        state = Running(candidate, pid, now, is_retry, is_beside=bool(beside), launch=task.launch_token)
        self.sessions.put(candidate.session_id, state)

    # Ends

    def _reap(self) -> None:
        while self.runners.children() or self._forks.has_standby:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            at_work = self.runners.at_work(pid)
            if self._forks.has_lost(pid):
                # Something kills it: not at once again.
                self._agenda.put("standby", clock.monotonic() + RECOVERY_S)
            if at_work is not None:
                self._news_at = clock.monotonic()
                self._said.update(self._reasons.take())
                said = self._said.pop(at_work[0], "")
                self._ends.ended(*at_work, os.waitstatus_to_exitcode(status), said, self._news_at)

    def _recover(self) -> None:
        rows = self._rescue.look()
        self._journal.works()
        self._rescue.recover(rows, self._forks)

    # Saying

    def _beat(self) -> None:
        stuck = dict(list((self.sessions.stuck() | self._deaths.given_up).items())[:MOST_STUCK])
        now = clock.monotonic()
        running, launched = self.runners.describe(now), self.runners.launched(now)
        self._heartbeat.beat(running, launched, stuck, draining=self.stops > 0)

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
            self._rescue.tell_net_to_move()
            return
        tell(f"pigeon worker: hanging up {count} running sessions")
        self.runners.hang_up()


def _is_retry(session: Waiting | Tried) -> bool:
    """Whether another worker's command held its directory at the last try."""
    return isinstance(session, Tried) and session.held_elsewhere
