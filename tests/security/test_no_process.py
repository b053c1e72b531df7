"""A living worker that cannot start any process: fork(2) fails for real, by a limit of its own (RLIMIT_NPROC)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon, Worker
from tests.helpers.processes import children_of
from tests.helpers.users import Users
from tests.helpers.waiting import wait_until
from tests.security.conftest import Makes
from tests.security.people import Person

LIMIT = """
import resource, sys
for pid in map(int, sys.argv[2:]):
    hard = resource.prlimit(pid, resource.RLIMIT_NPROC)[1]
    soft = hard if sys.argv[1] == "lifted" else 0
    resource.prlimit(pid, resource.RLIMIT_NPROC, (soft, hard))
"""
"""To be run as the user of these processes: whose limit it is decides, and root's holds for nobody (prlimit(2))."""


@pytest.fixture
def limited(request: pytest.FixtureRequest) -> Pigeon:
    """A pigeon of a user for whom the limit holds."""
    if os.geteuid() != 0:
        made: Pigeon = request.getfixturevalue("pigeon")
        return made
    users: Users = request.getfixturevalue("users")
    make: Makes = request.getfixturevalue("person")
    return make(users.victim)


def limit(pigeon: Pigeon, worker: Worker, how: str) -> None:
    """Of processes, for the scheduler and the runner that stands by."""
    pids = [str(pid) for pid in (worker.pid, *children_of(worker.pid))]
    if isinstance(pigeon, Person):
        assert pigeon.user.python(LIMIT, how, *pids).code == 0
    else:
        subprocess.run([sys.executable, "-c", LIMIT, how, *pids], check=True)


def test_a_worker_without_a_process_left_says_so(limited: Pigeon) -> None:
    """Its clients are told why and give up in time, a command that cannot be forked fails with words, and once there
    are processes again it serves as before."""
    worker = limited.worker()
    wait_until(lambda: children_of(worker.pid), 10, "the runner that stands by")
    limit(limited, worker, "none")
    first = limited.run("true", options=("--claim-timeout", "1"))
    assert first.code != 0
    assert "Resource temporarily unavailable" in first.words, first.words
    second = limited.run("true", options=("-v", "--claim-timeout", "1"), timeout_s=40)
    assert second.code == 255
    assert "waiting for a worker that can start the session" in second.words
    assert "no worker could start the session within 1 s: no process can be started" in second.words
    assert limited.sessions()[-1].wait_final()["state"] == "cancelled"
    assert worker.log.count("starting of processes fails") == 1, worker.log
    assert worker.child.running
    limit(limited, worker, "lifted")
    assert limited.run("echo served", timeout_s=40).stdout == b"served\n", worker.log
    assert Path(f"/proc/{worker.pid}").exists()
