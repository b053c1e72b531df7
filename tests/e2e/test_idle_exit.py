"""`pigeon worker --idle-exit TIME`: a worker that leaves when it has had nothing to do for so long."""

from __future__ import annotations

import time

from pigeon.worker.scheduler.idleness import Idleness
from tests.helpers.pigeon import Pigeon


def test_idleness_begins_anew_after_each_session() -> None:
    idleness = Idleness(60.0)
    assert not idleness.has_lasted(1000.0, is_busy=False)
    assert not idleness.has_lasted(1059.0, is_busy=False)
    assert not idleness.has_lasted(1060.0, is_busy=True)
    assert not idleness.has_lasted(1119.0, is_busy=False)
    assert idleness.has_lasted(1120.0, is_busy=False)
    assert not Idleness(None).has_lasted(1e9, is_busy=False)


def test_a_worker_without_a_session_ends_and_one_with_one_does_not(pigeon: Pigeon) -> None:
    began = time.monotonic()
    worker = pigeon.worker("--idle-exit", "4s")
    assert pigeon.run("sleep 6; echo done").stdout == b"done\n"
    assert worker.child.running
    assert worker.wait() == 0
    assert time.monotonic() - began >= 10
    assert "(`idle_exit`)" in worker.log
    assert not pigeon.namespace.workers()  # its file has gone with it


def test_a_session_that_waits_keeps_it(pigeon: Pigeon) -> None:
    worker = pigeon.worker("--idle-exit", "5s", "--max-jobs", "1")
    first, second = pigeon.start("sleep 7"), pigeon.start("echo second", options=("--no-lock",))
    assert second.wait().stdout == b"second\n"
    assert first.wait().code == 0
    assert worker.wait() == 0
