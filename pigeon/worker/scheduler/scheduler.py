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
from pigeon.text import duration
from pigeon.wire import files, share, states
from pigeon.wire.names import CLAIM_NAME
from pigeon.wire.pacing import scan_interval
from pigeon.worker.debug import tell
from pigeon.worker.guard import Guard
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.reasons import Reasons
from pigeon.worker.recovery import plan
from pigeon.worker.recovery.takeovers import Takeovers
from pigeon.worker.scheduler import exits, outage, queue, rescue, waiting_clients
from pigeon.worker.scheduler.catalog import Catalog
from pigeon.worker.scheduler.deaths import Deaths
from pigeon.worker.scheduler.exits import Look
from pigeon.worker.scheduler.forks import STANDBY_AFTER_S, Forks
from pigeon.worker.scheduler.heartbeat import INTERVAL_S, Heartbeat
from pigeon.worker.scheduler.idleness import Idleness
from pigeon.worker.scheduler.outage import Outage
from pigeon.worker.scheduler.retention import NET_KEEP_S, SWEEP_S, Retention, Sweeper
from pigeon.worker.scheduler.runners import Runners
from pigeon.worker.scheduler.sessions import (
    IGNORED,
    OWNED,
    Adopted,
    Candidate,
    Ending,
    Final,
    Owned,
    Running,
    Sessions,
    Tried,
    Waiting,
)
from pigeon.worker.scheduler.wait_records import WaitRecorder

RECOVERY_S = 10.0
"""Between two looks for runners of this journal that died without their scheduler seeing it."""

WAY_S = 10.0
"""Between two looks at the whole way to the share: somebody may have opened a directory above to others, or moved the
share away and put another in its place. A listing checks no more than what it lists."""

ADOPTED_S = 0.2
"""Between two looks at runners that another scheduler forked, whose end no signal tells."""

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
        self.sessions = Sessions()
        self.catalog = Catalog(self.sessions, worker.namespace, route)
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
        self._guard = Guard("the journal's row of")
        self._deaths = Deaths()
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
        is_busy = len(self.runners) > 0 or any(self.sessions.candidates()) or self._share.is_failing("scan")
        if self.idleness.has_lasted(now, is_busy=is_busy):
            for_so_long = duration(self.idleness.limit_s or 0.0)
            tell(f"pigeon worker: no session for {for_so_long}, so it ends (`idle_exit`)")
            self.stops = max(self.stops, 1)
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
            if self._dirty or self.sessions.next_retry() <= now:
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
        if self.sessions.of(Adopted):
            until = min(until, self._due["adopted"])
        if self._takes_sessions:
            until = min(until, self._due["scan"], self._due["tick"])
            until = min(until, self.sessions.next_retry())
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
        for candidate in found:
            is_doubtful = self._first_scan or candidate.has_vanished
            candidate.needs_sign_of_life = is_doubtful and waiting_clients.is_judged(candidate)
            self.worker.debug.say("queue", f"{candidate.session_id}: seen: {candidate.request.command}")
        if found:
            self._dirty = True
            self._news_at = now
        self._first_scan = False
        after = clock.monotonic()
        wait = scan_interval(after - self._news_at, self.poll_ceiling_s)
        self._due["scan"] = after + max(wait, after - now)

    def _tick(self) -> None:
        """Once a second: signs of life, withdrawals and the journal's record of those that wait."""
        now = clock.monotonic()
        for candidate in list(self.sessions.candidates()):
            if waiting_clients.is_judged(candidate) and waiting_clients.judge(
                self.worker.namespace, candidate, now
            ):
                self._dirty = True
            if candidate.row is not None:
                self._drop_if_lost(candidate, candidate.row)
            elif now - candidate.seen > WITHDRAWN_S:
                self._drop_if_claimed(candidate, now)
        self._wait_recorder.record(self.sessions.candidates(), now)
        self.takeovers.watch(list(self.sessions.of(Owned)), now)

    def _settled(self, session_id: str, is_final: bool) -> None:
        """A session of another has its end, or is gone."""
        self.sessions.put(session_id, Final(clock.monotonic()) if is_final else IGNORED)

    def _sweep(self) -> None:
        now = clock.monotonic()
        self.takeovers.recheck(list(self.sessions.of(Owned)))
        self.sweeper.sweep(now)
        if not self.sessions.of(Owned):
            self.sweeper.sweep_workers(now)

    def _drop_if_claimed(self, candidate: Candidate, now: float) -> None:
        if now - candidate.looked_at < WITHDRAWN_S:
            return
        candidate.looked_at = now
        directory = self.worker.namespace.session(candidate.session_id).directory
        try:
            names = files.list_names(directory)
        except FileNotFoundError:
            names = [CLAIM_NAME]  # the session has been removed
        except OSError:
            return
        if CLAIM_NAME in names:
            self._drop(candidate, "claimed by another or withdrawn")

    def _drop_if_lost(self, candidate: Candidate, row: Row) -> None:
        """A session whose dead runner had not claimed it may be claimed by another worker at any time."""
        try:
            if plan.is_lost(self.worker.namespace.session(row.session_id), row):
                self._drop(candidate, "claimed by another, or removed")
                self._due["recover"] = 0.0  # which forgets the row
        except OSError:
            return

    def _drop(self, candidate: Candidate, why: str) -> None:
        """It does not wait here any more: it is in other hands."""
        self._end_wait(candidate)
        self.sessions.put(candidate.session_id, OWNED)
        self._dirty = True
        self.worker.debug.say("queue", f"{candidate.session_id}: {why}")

    def _end_wait(self, candidate: Candidate) -> None:
        candidate.wait_for(None, None, clock.monotonic())
        self._wait_recorder.close(candidate)

    # Deciding

    def _decide(self, now: float) -> None:
        self._dirty = False
        free = self.max_jobs - self.runners.slots_taken()
        free_net = self.max_net - self.runners.slots_taken(is_net=True)
        waiting, held, refusing = self.sessions.in_order(), self.runners.held(), self.runners.refusing()
        for verdict in queue.decide(waiting, held, free, now, free_net=free_net, refusing=refusing):
            candidate = verdict.session.candidate
            if verdict.reason is None and _is_retry(verdict.session):
                self._launch(
                    verdict.session, verdict.beside
                )  # only a try: it goes on waiting unless that succeeds
                continue
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
        self._due["standby"] = now + STANDBY_AFTER_S
        state = Running(candidate, pid, now, is_retry, is_beside=bool(beside))
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
                self._due["standby"] = clock.monotonic() + RECOVERY_S  # something kills it: not at once again
            if at_work is not None:
                self._ended(*at_work, os.waitstatus_to_exitcode(status))

    def _ended(self, session_id: str, state: Running | Ending, code: int) -> None:
        now = clock.monotonic()
        self._dirty = True
        self._news_at = now
        self._said.update(self._reasons.take())
        said = self._said.pop(session_id, "")
        move = exits.after(exits.kind_of(state), code)
        if move.ends_worker:
            raise JournalError(
                "the journal cannot be used any more, as a runner has found",
                hint="`pigeon history` tells what is wrong with it; a worker that is started looks at it first",
            )
        if move.is_told:
            tell(f"pigeon worker: the runner of {session_id} died ({_death(code)})")
            self.worker.debug.say("failure", f"{session_id}: its runner died ({_death(code)})")
        if move.is_death:
            self._deaths.add(session_id)
        pause_s = self._deaths.pause_s(session_id)
        if move.look is not Look.AS_EVER:
            # Now means in this very turn: recovery has its look before anything is tried again.
            at = 0.0 if move.look is Look.NOW else now + pause_s
            self._due["recover"] = min(self._due["recover"], at)
        after = exits.state_after(move.to, state, now, pause_s if move.is_death else None)
        self.sessions.put(session_id, after)
        if isinstance(after, Final):
            self._deaths.forget(session_id)
            if after.is_brief:
                self._due["sweep"] = min(self._due["sweep"], now + NET_KEEP_S)
        if isinstance(after, Tried):
            self._say_why(after, move.is_death, said, code)
        elif isinstance(state, Running) and state.is_retry:
            self._end_wait(state.candidate)

    def _say_why(self, tried: Tried, is_death: bool, said: str, code: int) -> None:
        """Why it has to be tried again; or to be ended, if that has cost too many runners their life."""
        candidate = tried.candidate
        if not is_death:
            candidate.stuck = said or (HELD_BY_NOBODY if tried.held_elsewhere else "")
        elif self._deaths.are_hopeless(candidate.session_id):
            tell(f"pigeon worker: session {candidate.session_id} is left alone: not even its end can be told")
            self.sessions.put(candidate.session_id, IGNORED)
        elif self._deaths.are_many(candidate.session_id):
            self._refuse(candidate, f": {said or f'its runner died ({_death(code)})'}")

    def _refuse(self, candidate: Candidate, why: str = "") -> None:
        deaths = self._deaths.of(candidate.session_id)
        candidate.refusal = (states.FAILED, f"it could not be started in {deaths} attempts{why}")

    def _watch_adopted(self) -> None:
        for session_id in self.runners.dead():
            self._due["recover"] = 0.0
            self._leave_adopted(session_id)

    def _leave_adopted(self, session_id: str) -> None:
        """Its adopted runner is at work no more."""
        self._dirty = True
        candidate = self.sessions.of(Adopted)[session_id].candidate
        if candidate is None:
            self.sessions.put(session_id, OWNED)  # final by now, or soon
        else:
            candidate.looked_at = 0.0  # claimed, or not: that is looked at before it is tried
            retry_at = clock.monotonic() + WITHDRAWN_S
            self.sessions.put(session_id, Tried(candidate, retry_at, held_elsewhere=False))

    def _recover(self) -> None:
        """Adopt runners that live without a scheduler, and give an end to the sessions of those that do not."""
        found, settled = rescue.look(self.worker, self.sessions, self.runners, self._said_by_others)
        self._journal.works()
        for session_id in settled:
            self._leave_adopted(session_id)
        for row in found:
            self._guard.run(row.session_id, lambda row=row: self._recover_one(row))  # type: ignore[misc]

    def _recover_one(self, row: Row) -> None:
        session_id = row.session_id
        may_start = not self._deaths.are_many(session_id)
        try:
            decision = rescue.decide(self.worker, row, may_start=may_start)
            again = rescue.wait_again(self.worker, row) if decision in plan.TRIED_AGAIN else None
        except OSError:
            self._due["recover"] = clock.monotonic() + 1.0  # it cannot be said now
            return
        if again is not None:
            if not may_start:
                self._refuse(again)
            pause_s = self._deaths.pause_s(session_id)
            retry_at = clock.monotonic() + pause_s
            self.sessions.put(session_id, Tried(again, retry_at, False) if pause_s else Waiting(again))
            self._dirty = True
            return
        candidate = self.sessions.candidate_of(session_id)
        if candidate is not None:
            self._drop(candidate, "taken up from the journal")
        self.sessions.put(session_id, rescue.begin_end(self.worker, self._forks, row, decision))

    # Saying

    def _beat(self) -> None:
        stuck = dict(list(self.sessions.stuck().items())[:MOST_STUCK])
        self._heartbeat.beat(self.runners.describe(clock.monotonic()), stuck, draining=self.stops > 0)

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


def _is_retry(session: Waiting | Tried) -> bool:
    """Whether another worker's command held its directory at the last try."""
    return isinstance(session, Tried) and session.held_elsewhere


def _death(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
