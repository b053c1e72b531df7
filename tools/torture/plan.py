"""What is going to happen, worked out in advance from one seed. Pure.

A plan is a list of steps, each some time after the one before it: a session is begun, or something is done to whoever
is there then. Which process that is, depends on the moment; the order, the kinds, the named steps at which processes
die and the picks (numbers in [0, 1)) do not.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, replace
from typing import Any

PLAIN, TMPFS, TWOCACHE = "plain", "tmpfs", "twocache"
MOUNTS = (PLAIN, TMPFS, TWOCACHE)

QUICK, CHATTY, FLOOD, BINARY, INTERACTIVE, STUBBORN, STOPPING, NESTING, FILTER = (
    "quick",
    "chatty",
    "flood",
    "binary",
    "interactive",
    "stubborn",
    "stopping",
    "nesting",
    "filter",
)
_KINDS = (
    (QUICK, 34),
    (CHATTY, 24),
    (FLOOD, 6),
    (BINARY, 16),
    (INTERACTIVE, 14),
    (STUBBORN, 2),
    (STOPPING, 4),
    (NESTING, 4),
)
KINDS = tuple(kind for kind, _ in _KINDS)
"""Of sessions that are asked for one at a time; NESTING calls pigeon inside. FILTER copies its input, in a job."""

ON_A_TERMINAL = (INTERACTIVE, STOPPING)
"""STOPPING is as INTERACTIVE, and stops itself at each line that it has heard."""

SHARED_DIRECTORIES = 3
"""Directories that several sessions want at a time; the others have one each."""

PIPELINE, SUBSTITUTION, HOOK = "pipeline", "substitution", "hook"
FORMS = (PIPELINE, SUBSTITUTION, HOOK)
"""How several sessions are one job: `a | b | c`; `b < <(a)`; a program that speaks with `a` and waits for `b`."""

JOB = "job"

WRITE = os.O_WRONLY


@dataclass(frozen=True)
class Point:
    """A named step: the `nth` time that a process of `role` (main, child) announces `event` about `part`, it is
    killed, stopped for `seconds`, or killed together with its parent (`both`)."""

    event: str
    part: str
    flag: int = 0
    role: str = "child"
    nth: int = 1
    act: str = "kill"
    seconds: float = 0.0


RUNNER_POINTS = (
    Point("open", ".lock"),
    Point("fcntl.flock", ""),
    Point("sqlite3.connect", "pigeon.db"),
    Point("open", ".claim-", WRITE),
    Point("os.link", "worker.claim"),
    Point("os.link", "takeover.claim"),
    Point("os.remove", ".claim-"),
    Point("os.chdir", "/dirs/"),
    Point("subprocess.Popen", ""),
    Point("os.forkpty", ""),
    Point("os.chdir", "'/'"),
    Point("open", "stream.jsonl", WRITE),
    Point("open", ".bulk", WRITE),
    Point("open", ".bulk"),
    Point("open", "control.jsonl"),
    Point("open", "stdin.jsonl"),
    Point("open", ".tmp-", WRITE),
    Point("os.rename", "status.json"),
    Point("os.rename", "request.json"),
    Point("os.remove", ".alive"),
    Point("os.listdir", "sessions/"),
)
SCHEDULER_POINTS = tuple(
    replace(point, role="main")
    for point in (
        Point("os.fork", ""),
        Point("os.listdir", "sessions"),
        Point("os.rename", "workers/"),
        Point("sqlite3.connect", "pigeon.db"),
        Point("open", "status.json"),
        Point("open", "request.json"),
        Point("os.link", "takeover.claim"),
        Point("os.rename", "status.json"),
    )
)
CLIENT_POINTS = (
    Point("os.mkdir", "sessions/"),
    Point("open", "stream.jsonl", WRITE),
    Point("open", "stdin.jsonl", WRITE),
    Point("open", "control.jsonl", WRITE),
    Point("open", ".tmp-", WRITE),
    Point("os.rename", "request.json"),
    Point("os.rename", "status.json"),
    Point("open", "stream.jsonl"),
    Point("open", ".bulk"),
    Point("open", ".bulk", WRITE),
    Point("os.remove", ".bulk"),
    Point("open", "status.json"),
    Point("os.link", "worker.claim"),
    Point("os.fork", "", role="main"),
)


@dataclass(frozen=True)
class Session:
    """One session to begin. `lines`, `pause_s`, `pad`: what a talkative one prints; `size`: of a binary one's input."""

    gap_s: float
    number: int
    kind: str
    directory: str
    locks: bool = True
    keep: bool = False
    detach: bool = False
    code: int = 0
    lines: int = 1
    pause_s: float = 0.0
    pad: int = 0
    size: int = 0
    points: tuple[Point, ...] = ()
    source: Session | None = None
    """Of a filter: whose output is its input."""

    @property
    def name(self) -> str:
        """By which its command signs its notes."""
        return f"{self.kind}-{self.number}"


@dataclass(frozen=True)
class Job:
    """Sessions that are begun together, by one script, in one directory."""

    gap_s: float
    form: str
    members: tuple[Session, ...]


@dataclass(frozen=True)
class Action:
    """Something done to others: `kind` kill, stop, signal, fault, fill, vanish, window; `target` who or what."""

    gap_s: float
    kind: str
    target: str
    pick: float
    other: float
    seconds: float = 0.0
    signal: int = 0


Begun = Session | Job
Step = Begun | Action


@dataclass(frozen=True)
class Life:
    """One life of a worker: how long after the end of the one before, and where it or its runners die."""

    delay_s: float
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Plan:
    """Everything; `lives` belong to the workers in the order in which they start."""

    steps: tuple[Step, ...]
    lives: tuple[Life, ...]
    is_lost: bool
    """In the end the share is taken away, and does not come back."""
    one_journal: bool
    """Both workers keep the same journal, as two that are started by hand on one host do."""

    @property
    def digest(self) -> str:
        """Two runs with the same one do the same."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Wanted:
    """What a plan is made from. `only`: no other kinds of sessions; JOB stands for what is begun together."""

    seed: int
    sessions: int
    kills: int
    mount: str = PLAIN
    only: tuple[str, ...] = ()
    is_lost: bool = False
    """The share does not outlive it (PLAIN)."""

    @property
    def options(self) -> str:
        """Of `tools/torture/run`, which do the same again."""
        only = "".join(f" --only {kind}" for kind in self.only)
        lost = " --lost" if self.is_lost else ""
        return f"--seed {self.seed} --sessions {self.sessions} --kills {self.kills} --mount {self.mount}{only}{lost}"


def make(wanted: Wanted) -> Plan:
    """The plan of a seed."""
    rng, kills, mount = random.Random(wanted.seed), wanted.kills, wanted.mount
    begun = _begun(rng, wanted.sessions, wanted.only)
    actions = [_kill(rng) for _ in range(kills)]
    actions += [_stop(rng) for _ in range(kills // 3)]
    actions += [_signal(rng) for _ in range(kills // 8)]
    if mount == TWOCACHE:
        actions += [_fault(rng) for _ in range(kills // 3)]
    if mount != PLAIN:
        actions += [_fill(rng) for _ in range(max(1, kills // 40))]
    if mount == PLAIN:
        actions += [_vanish(rng) for _ in range(kills // 25)]
    rng.shuffle(actions)
    places = sorted(rng.randrange(min(3, len(begun)), len(begun) + 1) for _ in actions)
    steps: list[Step] = []
    for number, one in enumerate([*begun, None]):
        while places and places[0] <= number:
            places.pop(0)
            steps.append(actions.pop())
        if one is not None:
            steps.append(one)
    lives = tuple(_life(rng, first=number < 2) for number in range(2 + 2 * kills))
    return Plan(tuple(steps), lives, is_lost=wanted.is_lost, one_journal=rng.random() < 0.5)


def _begun(rng: random.Random, sessions: int, only: tuple[str, ...]) -> list[Begun]:
    kinds = tuple((kind, weight) for kind, weight in _KINDS if not only or kind in only)
    job_chance = 0.1 if not only else 1.0 if not kinds else 0.3 if JOB in only else 0.0
    begun: list[Begun] = []
    number = 0
    while number < sessions:
        if number + 2 <= sessions and rng.random() < job_chance:
            job = _job(rng, number, min(4, sessions - number))
            begun.append(job)
            number += len(job.members)
        else:
            begun.append(_session(rng, number, kinds or _KINDS))
            number += 1
    return begun


def _job(rng: random.Random, number: int, most: int) -> Job:
    form = rng.choices(FORMS, (6, 2, 2))[0]
    size = rng.choice(range(2, most + 1)) if form == PIPELINE else 2
    shared = rng.random() < 0.5
    directory = f"shared-{rng.randrange(SHARED_DIRECTORIES)}" if shared else f"own-{number}"

    def member(place: int, kind: str, **more: Any) -> Session:
        points = _points(rng, CLIENT_POINTS, 0.04)
        return Session(0.0, number + place, kind, directory, points=points, **more)

    if form == HOOK:
        greeting = Session(0.0, number, QUICK, directory)
        members = [member(0, FILTER, source=greeting), member(1, CHATTY, lines=8, pause_s=0.05)]
    else:
        kind = rng.choice((QUICK, CHATTY, CHATTY, FLOOD))
        lines = {QUICK: 1, CHATTY: rng.randrange(3, 40), FLOOD: rng.randrange(200, 8000)}[kind]
        pause_s = 0.05 if kind == CHATTY else 0.0
        members = [member(0, kind, lines=lines, pause_s=pause_s, pad=rng.randrange(300))]
        members += [member(place, FILTER, source=members[0]) for place in range(1, size)]
    return Job(round(rng.expovariate(6), 3), form, tuple(members))


def _session(rng: random.Random, number: int, kinds: tuple[tuple[str, int], ...]) -> Session:
    kind = rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
    shared = rng.random() < 0.4
    session = Session(
        gap_s=round(rng.expovariate(6), 3),
        number=number,
        kind=kind,
        directory=f"shared-{rng.randrange(SHARED_DIRECTORIES)}" if shared else f"own-{number}",
        locks=rng.random() < 0.9,
        code=rng.choice((0, 0, 0, 1, 7, 100)),
        points=_points(rng, CLIENT_POINTS, 0.06),
    )
    wish = rng.random()  # only what ends without a client may be kept
    keep = wish < 0.2 and kind in (QUICK, CHATTY, FLOOD)
    session = replace(session, keep=keep, detach=keep and wish < 0.12)
    if kind == CHATTY:
        return replace(
            session, lines=rng.randrange(3, 60), pause_s=rng.choice((0.01, 0.05, 0.1)), pad=rng.randrange(80)
        )
    if kind == FLOOD:
        return replace(session, lines=rng.randrange(200, 15_000), pad=rng.randrange(100, 900))
    if kind == BINARY:
        return replace(session, size=rng.choice((0, 1, 1000, 65536, 300_001, 2_000_003, 25_000_007)))
    if kind in ON_A_TERMINAL:
        return replace(session, lines=rng.randrange(1, 8))
    if kind == STUBBORN:
        return replace(session, lines=30, pause_s=0.1)
    return session


def _points(rng: random.Random, among: tuple[Point, ...], chance: float) -> tuple[Point, ...]:
    if rng.random() >= chance:
        return ()
    point = rng.choice(among)
    act = rng.choices(("kill", "stop", "both"), (6, 3, 1))[0]
    nth = rng.choices((1, 2, 3, 4, 9), (5, 3, 2, 1, 1))[0]
    return (replace(point, act=act, nth=nth, seconds=_pause(rng)),)


def _life(rng: random.Random, *, first: bool) -> Life:
    points = [p for _ in range(rng.randrange(1, 6)) for p in _points(rng, RUNNER_POINTS, 0.9)]
    points += _points(rng, SCHEDULER_POINTS, 0.25)
    if first:  # let it come up and do something
        points = [point for point in points if point.role == "child"]
    return Life(rng.choice((0.0, 0.0, 0.2, 1.0, 3.0, 12.0)), tuple(points))


def _pause(rng: random.Random) -> float:
    """Of a stop or stall: mostly short, sometimes longer than every time limit of the run."""
    return rng.choice((0.05, 0.3, 1.0, 3.0, 6.0, 6.0, 14.0))


def _gap(rng: random.Random) -> float:
    return round(rng.expovariate(10), 3)


def _kill(rng: random.Random) -> Action:
    target = rng.choices(
        ("runner", "scheduler", "both", "host", "command", "leader", "guardian", "pump", "client", "group"),
        (30, 12, 6, 4, 16, 4, 11, 11, 8, 6),
    )[0]
    return Action(_gap(rng), "kill", target, rng.random(), rng.random())


def _stop(rng: random.Random) -> Action:
    target = rng.choices(
        ("runner", "scheduler", "command", "leader", "guardian", "pump"), (40, 15, 15, 4, 15, 15)
    )[0]
    return Action(_gap(rng), "stop", target, rng.random(), rng.random(), _pause(rng))


def _signal(rng: random.Random) -> Action:
    if rng.random() < 0.2:
        return Action(_gap(rng), "window", "guardian", rng.random(), rng.random())
    target, number = rng.choice(
        (
            ("guardian", 15),
            ("guardian", 1),
            ("guardian", 2),
            ("scheduler", 15),
            ("runner", 15),
            ("command", 15),
        )
    )
    return Action(_gap(rng), "signal", target, rng.random(), rng.random(), signal=number)


FAULTS = (
    ("error", "open", "*"),
    ("error", "open", "*/stream.jsonl"),
    ("error", "write", "*"),
    ("error", "flush", "*.jsonl"),
    ("error", "readdir", "*"),
    ("error", "rename", "*/status.json"),
    ("error", "link", "*"),
    ("error", "mkdir", "*"),
    ("lost_reply", "link", "*"),
    ("lost_reply", "rename", "*"),
    ("lost_reply", "open", "*"),
    ("lost_reply", "flush", "*"),
    ("stall", "open", "*"),
    ("stall", "flush", "*/stream.jsonl"),
    ("stall", "rename", "*"),
    ("stall", "link", "*"),
    ("short", "write", "*.jsonl"),
    ("short", "flush", "*.jsonl"),
    ("tear", "flush", "*.jsonl"),
)


def _fault(rng: random.Random) -> Action:
    which = rng.randrange(len(FAULTS))
    return Action(
        _gap(rng), "fault", str(which), rng.random(), rng.random(), rng.choice((0.2, 1.0, 4.0, 8.0))
    )


def _fill(rng: random.Random) -> Action:
    return Action(_gap(rng), "fill", "share", rng.random(), rng.random(), rng.choice((0.5, 2.0, 6.0)))


def _vanish(rng: random.Random) -> Action:
    return Action(_gap(rng), "vanish", "share", rng.random(), rng.random(), rng.choice((0.3, 2.0, 6.0, 15.0)))
