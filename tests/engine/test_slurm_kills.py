"""A hundred sessions on a real Slurm while everything that takes part is killed at random moments."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from tests.engine.clusters import Cluster
from tests.helpers.processes import Child, marked, name_of
from tests.helpers.waiting import NotInTime, wait_until

SESSIONS = 100
AT_A_TIME = 12
END_S = 1200.0
DOWN_S = 12.0
"""So long a node has no power."""

COMMAND = """
touch {book}/start.{number}.$$
for i in $(seq {beats}); do
    echo {number} >beat; sleep 0.1; [ "$(cat beat)" = {number} ] || touch {book}/two.{number}
done
"""
"""Says that it has started, and, again and again, that it is at work here; finds another who does."""

VICTIMS = {
    "scheduler": (),
    "launcher": ("srun",),
    "launch": ("pigeon-launch",),
    "both": ("pigeon-launch", "srun"),
    "node": (),
}


class Storm:
    """The sessions, and who is killed."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.pigeon = cluster.pigeon
        self.chance = random.Random(seed)
        self.book = self.pigeon.base / "book"
        self.book.mkdir()
        self.places = [self.pigeon.directory(f"d{number}") for number in range(4)]
        self.worker = cluster.serve("--time=1", max_jobs=8)
        self.waiting = list(range(SESSIONS))
        self.running: dict[int, Child] = {}
        self.codes: dict[int, int] = {}
        self.kills: dict[str, int] = dict.fromkeys(VICTIMS, 0)
        self._down: tuple[str, float] | None = None
        self._next_kill = time.monotonic() + 2

    def blow(self) -> None:
        """Until all have ended, or it has taken too long."""
        with suppress(NotInTime):
            wait_until(self._has_calmed_down, END_S, "the end of all", interval_s=0.05)
        self._give_power(0.0)

    def _has_calmed_down(self) -> bool:
        self._keep_busy()
        self._give_power(DOWN_S)
        if time.monotonic() >= self._next_kill:
            self._next_kill = time.monotonic() + self.chance.uniform(0.5, 6)
            self._kill(self.chance.choice(list(VICTIMS)))
        return not self.waiting and not self.running

    def _keep_busy(self) -> None:
        for number, child in list(self.running.items()):
            if not child.running:
                self.codes[number] = child.wait().code
                del self.running[number]
        while self.waiting and len(self.running) < AT_A_TIME:
            number = self.waiting.pop()
            text = COMMAND.format(book=self.book, number=number, beats=self.chance.choice((1, 10, 30)))
            self.running[number] = self.pigeon.start(text, cwd=self.chance.choice(self.places))

    def _give_power(self, after_s: float) -> None:
        if self._down is not None and time.monotonic() - self._down[1] >= after_s:
            self.cluster.lab.restore(self._down[0])
            self._down = None

    def _kill(self, what: str) -> None:
        self.kills[what] += 1
        if what == "node":
            if self._down is None:
                self._down = (self.chance.choice(list(self.cluster.lab.shape.nodes)), time.monotonic())
                self.cluster.lab.cut(self._down[0])
            return
        if what in ("scheduler", "both"):
            self.worker.kill()
        # With its helper, an `srun` leaves its job until --time; by itself it is cleaned up after by that.
        kill = self.chance.choice((os.kill, lambda pid, number: os.killpg(os.getpgid(pid), number)))
        found = [pid for pid in marked(self.pigeon.mark) if name_of(pid) in VICTIMS[what]]
        if found:
            with suppress(ProcessLookupError):
                kill(self.chance.choice(found), signal.SIGKILL)
        if not self.worker.child.running:
            self.worker = self.cluster.serve("--time=1", max_jobs=8)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_hundred_sessions_under_random_kills(cluster: Cluster) -> None:
    """Each command is started at most once, no two are at work in one directory, and each session ends."""
    storm = Storm(cluster, seed=int(os.environ.get("PIGEON_TEST_SEED", "1")))
    storm.blow()
    codes = list(storm.codes.values())
    told = f"codes { {code: codes.count(code) for code in codes} }, kills {storm.kills}"
    print(told)
    assert len(codes) == SESSIONS, f"{storm.running.keys()} run, {len(storm.waiting)} wait; {told}"
    starts = [path.name.split(".")[1] for path in storm.book.glob("start.*")]
    assert len(starts) == len(set(starts)), "a command was started twice"
    assert not list(storm.book.glob("two.*")), "two commands were at work in one directory"
    assert codes.count(0) >= SESSIONS // 3, told
    assert set(codes) <= {0, 255, 129, 137, 143}, told
    cluster.wait_for_none(60)
