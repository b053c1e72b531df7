"""Carrying a plan out: starts workers and clients, does to them what the plan says, and lets all come to rest.

Owns every process of a run and the log of what was done (`actions.log`). Says nothing about right and wrong; that is
`judge.py`, from what lies there afterwards.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.helpers.processes import Child, kill_marked, marked
from tests.helpers.share import FINAL, Share
from tests.helpers.surroundings import Surroundings, pigeon_command
from tools.torture import kinds, people, plan
from tools.torture.clients import Client, Job, Member
from tools.torture.points import Points
from tools.torture.trouble import Trouble

MAX_JOBS = 4
CLIENT_TIMEOUT_S = 10.0
HOST_TIMEOUT_S = 12.0
WORKER_TIMEOUT_S = 10.0
REST_S = 150.0
"""After the last blow everything must have ended within this: ten silent worker timeouts and a hang-up."""

LOST_S = 420.0
"""Nothing but workers may outlive by more than this a share that is gone for good: five minutes, then a hang-up."""

BEGUN_WHILE_GONE = 4

CROWDED_S = 240.0
"""If no client has ended for so long the plan is not gone on with: they hang, and that is to be judged."""

LIVES_AT_REST = plan.Life(0.0, ())


ROLES = {"both": "runner", "host": "scheduler", "client": "guardian", "group": "guardian"}
"""Who is picked for a target of several processes; the others of a step are its own."""


class Slot:
    """A worker that is started again whenever it has ended, with the same journal."""

    def __init__(self, name: str, journal: Path) -> None:
        self.name = name
        self.journal = journal
        self.child: Child | None = None
        self.due_at: float | None = 0.0
        self.points: tuple[plan.Point, ...] = ()


class Field(Surroundings):
    """One run. After `run`, `clients`, `touched` and the directory hold the evidence."""

    def __init__(
        self,
        base: Path,
        share: Share,
        the_plan: plan.Plan,
        trouble: Trouble,
        *,
        parallel: int,
        until_s: float,
    ) -> None:
        super().__init__(base, share)
        self.plan = the_plan
        self.trouble = trouble
        self.parallel = parallel
        self.notes = base / "notes"
        self.notes.mkdir()
        self.job = base / "bin" / "job"
        self.job.parent.mkdir()
        self.job.write_text(kinds.job_text())
        self.job.chmod(0o700)
        self.points = Points(base / "points")
        self.slots = [
            Slot(name, base / "journal" / ("a" if the_plan.one_journal else name) / "pigeon.db")
            for name in ("a", "b")
        ]
        self.clients: list[Client | Member] = []
        self.running: list[Client | Member] = []
        self.stopped: dict[int, float] = {}
        self.kills = self.blows = 0
        self.killed_commands: set[int] = set()
        self.problems: list[str] = []
        self.first_ends: dict[str, tuple[str, int]] = {}
        """Session id -> the first final state and exit code that were seen: no later one may differ."""
        self._next_census = 0.0
        self._begun_before_gone = 0
        self._lives: Iterator[plan.Life] = iter(the_plan.lives)
        self._workers_started = 0
        self._resting = self._is_lost = False
        self._log = (base / "actions.log").open("a", buffering=1)
        self._born = time.monotonic()
        self._until = self._born + until_s
        for slot in self.slots:
            slot.journal.parent.mkdir(exist_ok=True)
        self.configure(
            client={"worker_timeout": WORKER_TIMEOUT_S, "claim_timeout": 60.0},
            worker={
                "client_timeout": CLIENT_TIMEOUT_S,
                "host_timeout": HOST_TIMEOUT_S,
                "max_jobs": MAX_JOBS,
                "debug": True,
            },
        )

    def log(self, text: str) -> None:
        """One line, with the seconds since the beginning."""
        self._log.write(f"{time.monotonic() - self._born:9.3f} {text}\n")

    # The course of things

    def run(self, progress: Callable[[str], None]) -> None:
        """All steps, then rest."""
        told = time.monotonic()
        for step in self.plan.steps:
            due = time.monotonic() + step.gap_s
            give_up = min(self._until, due + CROWDED_S)
            while (now := time.monotonic()) < due or (
                isinstance(step, plan.Begun) and self._is_crowded() and now < give_up
            ):
                self.turn()
            if now >= give_up:  # what hangs is to be judged, too
                progress("time is up; letting everything come to rest")
                break
            self._do(step)
            self.turn(0.0)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                progress(
                    f"{len(self.clients)} sessions begun, {len(self.running)} clients, {self.kills} kills, "
                    f"{self.blows} other blows"
                )
        if self.plan.is_lost:
            progress("the share is gone for good: everybody must come to an end")
            self._lose_share()
        else:
            progress("at rest: everybody may go on, and must come to an end")
            self._rest()

    def _is_crowded(self) -> bool:
        if self.trouble.is_gone:  # each that is begun now ends at once
            return len(self.clients) >= self._begun_before_gone + BEGUN_WHILE_GONE
        self._begun_before_gone = len(self.clients)
        return len(self.running) >= self.parallel

    def turn(self, wait_s: float = 0.01) -> None:
        """Look after everybody once."""
        now = time.monotonic()
        self.running = [client for client in self.running if not client.has_ended()]
        for whose, pid, act, seconds in self.points.news():
            self._point_happened(whose, pid, act, seconds)
        for pid, at in list(self.stopped.items()):
            if at <= now:
                del self.stopped[pid]
                people.send(pid, self.mark, signal.SIGCONT)
        for slot in self.slots:
            self._look_after(slot, now)
        self.trouble.turn(now)
        if now >= self._next_census:
            self.unfinished()
            self._next_census = time.monotonic() + 1.0
        if wait_s:
            time.sleep(wait_s)

    def _look_after(self, slot: Slot, now: float) -> None:
        if slot.child is not None and not slot.child.running:
            self.log(f"worker {slot.name} (pid {slot.child.pid}) has ended: {slot.child.process.returncode}")
            expected = [0, -signal.SIGKILL, -signal.SIGTERM]
            if slot.child.out.startswith(b"pigeon: the shared directory") and self.trouble.was_gone:
                expected.append(255)  # it found none when it was started
            if slot.child.process.returncode not in expected:
                self.problems.append(f"a worker ended by itself: {slot.child.tell()}")
            slot.child = None
            life = LIVES_AT_REST if self._resting else next(self._lives, LIVES_AT_REST)
            slot.points = life.points
            slot.due_at = None if self._is_lost else now + life.delay_s
        if slot.child is None and slot.due_at is not None and now >= slot.due_at:
            if not self._workers_started:
                slot.points = next(self._lives, LIVES_AT_REST).points
            self._start(slot)

    def _start(self, slot: Slot) -> None:
        self._workers_started += 1
        name = f"worker-{slot.name}-{self._workers_started}"
        config = self._config(
            f"worker-{slot.name}.toml",
            {"cache": self.share.worker_path},
            self.settings,
            {"worker": {"journal": slot.journal}},
        )
        slot.child = Child(
            [*pigeon_command(), "worker"],
            env=self.env(self.points.env(name, slot.points), config=config),
            cwd=self.base,
            log=self.logs / name,
            merge=True,
        )
        self.log(f"started {name}, pid {slot.child.pid}, points {slot.points}")

    def _do(self, step: plan.Step) -> None:
        if isinstance(step, plan.Session):
            self._begin(step)
        elif isinstance(step, plan.Job):
            self._begin_job(step)
        elif step.kind in ("fault", "fill", "vanish"):
            self.blows += 1
            self.log(f"{step.kind}: {self.trouble.begin(step)}")
            if step.kind == "vanish":
                for client in self.running:
                    self._touch(client, "share vanished")
        elif step.kind == "window":
            windows = [client for client in self.running if client.master >= 0]
            if windows:
                client = windows[int(step.pick * len(windows))]
                client.close_window()
                self._touch(client, "window closed")
        else:
            self._strike(step)

    def _begin(self, session: plan.Session) -> None:
        directory = self._directory(session)
        argv, extra = self._words(session)
        client = Client(session, argv, env=self.env(extra), cwd=directory, logs=self.logs)
        self._has_begun(client, session)

    def _begin_job(self, step: plan.Job) -> None:
        job = Job(step, self.base / "jobs", self.logs)
        lines = [member.line(*self._words(member.session)) for member in job.members]
        job.begin(lines, env=self.env(), cwd=self._directory(step.members[0]))
        self.log(f"began a {step.form} of {len(job.members)}, pid {job.process.pid}")
        for member in job.members:
            self._has_begun(member, member.session)

    def _has_begun(self, client: Client | Member, session: plan.Session) -> None:
        self.clients.append(client)
        self.running.append(client)
        self.log(f"began {session.name} in {session.directory}, pid {client.pid} {session.points}")
        if self.trouble.is_gone:
            self._touch(client, "share vanished")

    def _directory(self, session: plan.Session) -> Path:
        directory = self.base / "dirs" / session.directory
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _words(self, session: plan.Session) -> tuple[list[str], dict[str, str]]:
        """The command line of its client, and what is in its environment besides."""
        options = [
            word
            for word, wanted in (
                ("--no-lock", not session.locks),
                ("--keep", session.keep and not session.detach),
                ("--detach", session.detach),
            )
            if wanted
        ]
        argv = [*pigeon_command(), *options, *kinds.words(session, str(self.job), str(self.notes))]
        return argv, self.points.env(f"client-{session.number}", session.points)

    # Blows

    def _everybody(self) -> list[people.Process]:
        schedulers = {slot.child.pid for slot in self.slots if slot.child is not None}
        return people.find(self.mark, schedulers)

    def _strike(self, step: plan.Action) -> None:
        everybody = self._everybody()
        role = ROLES.get(step.target, step.target)
        there = [process for process in everybody if process.role == role]
        if not there:
            self.log(f"{step.kind} {step.target}: nobody there")
            return
        victim = there[int(step.pick * len(there))]
        victims = [victim]
        if step.target == "both":
            victims += [p for p in everybody if p.pid == victim.parent and p.role == "scheduler"]
        elif step.target == "client":  # as an agent's time limit kills the whole group
            victims += [p for p in everybody if p.parent == victim.pid and p.role == "pump"]
        elif step.target == "group":
            victims = [p for p in everybody if p.group == victim.group]
        elif step.target == "host":
            victims += self._descendants(victim, everybody)
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(step.kind, step.signal)
        for process in victims:
            if people.send(process.pid, self.mark, number):
                self._struck(process, step, int(number))

    def _descendants(
        self, scheduler: people.Process, everybody: list[people.Process]
    ) -> list[people.Process]:
        found, more = [], [scheduler]
        while more:
            parents = {process.pid for process in more}
            more = [p for p in everybody if p.parent in parents and p not in found]
            found += more
        return found

    def _struck(self, process: people.Process, step: plan.Action, number: int) -> None:
        if number == signal.SIGKILL:
            self.kills += 1
            if process.role in ("command", "other"):
                self.killed_commands.add(process.pid)
        else:
            self.blows += 1
        if number == signal.SIGSTOP:
            self.stopped[process.pid] = time.monotonic() + step.seconds
        self.log(
            f"{step.kind} {process.role} {process.pid} signal {number} {step.seconds or ''} {process.words[-60:]}"
        )
        for client in self.running:
            if process.pid == client.pid or (process.role == "pump" and process.parent == client.pid):
                self._touch(client, f"{process.role} {step.kind} {number}")

    def _touch(self, client: Client | Member, what: str) -> None:
        client.touched.append(what)
        self.log(f"  touched {client.session.name}: {what}")

    def _point_happened(self, whose: str, pid: int, act: str, seconds: float) -> None:
        self.log(f"point of {whose}: {act} {pid} {seconds if act == 'stop' else ''}")
        if act == "stop":
            self.blows += 1
            self.stopped[pid] = time.monotonic() + seconds
        else:
            self.kills += 1
        if whose.startswith("client-"):
            self._touch(self.clients[int(whose.partition("-")[2])], f"point {act}")

    # The end

    def _rest(self) -> None:
        self._resting = True
        self.trouble.end()
        for slot in self.slots:
            if slot.child is None:
                slot.due_at = 0.0
        deadline = time.monotonic() + REST_S
        while time.monotonic() < deadline:
            self.turn(0.05)
            if not self.stopped and not self.running and not self.unfinished() and not self._working():
                break
        else:
            for process in self._everybody():
                self.problems.append(f"still there at the end: {process}")
            self.problems += [f"its client has not ended: {c.session.name} pid {c.pid}" for c in self.running]
        for pid in list(self.stopped):
            people.send(pid, self.mark, signal.SIGCONT)
        self._stop_workers()
        self._sweep()
        self._log.close()

    def _lose_share(self) -> None:
        """Clients, runners and commands have to end; a worker waits for its share, and is told to stop."""
        self._resting = self._is_lost = True
        self.trouble.lose()
        for slot in self.slots:
            slot.due_at = None
        for client in self.running:
            self._touch(client, "share vanished")
        deadline = time.monotonic() + LOST_S
        while self.stopped or self.running or self._working():
            if time.monotonic() >= deadline:
                self.problems += [
                    f"still there {LOST_S:.0f} s after its share: {one}" for one in self._working()
                ]
                break
            self.turn(0.1)
        self._stop_workers()
        self._sweep()
        self._log.close()

    def _working(self) -> list[people.Process]:
        return [process for process in self._everybody() if process.role not in ("scheduler", "standby")]

    def unfinished(self) -> list[str]:
        """Ids of published sessions without a final state."""
        found = []
        for session in self.sessions():
            if session.id in self.first_ends:
                continue
            status = session.status
            state = status.get("state")
            if state in FINAL:
                self.first_ends[session.id] = (state, int(status["exit_code"]))
            elif state is not None:
                found.append(session.id)
        return found

    def _stop_workers(self) -> None:
        deadline = time.monotonic() + 10
        for slot in self.slots:
            slot.due_at = None
            # One that has only just begun would die of the signal that tells it to stop.
            while slot.child is not None and slot.child.running and time.monotonic() < deadline:
                if any(one.get("pid") == slot.child.pid for one in self.namespace.workers()):
                    break
                time.sleep(0.05)
        for slot in self.slots:
            if slot.child is not None and slot.child.running:
                slot.child.signal(signal.SIGTERM)
        for slot in self.slots:
            if slot.child is None:
                continue
            try:
                code = slot.child.wait(10).code
                if code != 0:
                    self.problems.append(f"worker {slot.name} ended with {code} when it was told to stop")
            except AssertionError:
                self.problems.append(f"worker {slot.name} does not stop: {slot.child.tell()}")
                slot.child.kill()

    def _sweep(self) -> None:
        deadline = time.monotonic() + 5
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid, words in left.items():
            state = "stopped" if people.is_stopped(pid) else "running"
            self.problems.append(f"left behind: pid {pid} ({state}) {words}")
        kill_marked(self.mark, left)
        for client in self.running:
            client.process.wait()
            client.has_ended()

    @property
    def owners(self) -> dict[str, Path]:
        """Journals by name."""
        return {slot.journal.parent.name: slot.journal for slot in self.slots}
