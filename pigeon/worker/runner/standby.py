"""A runner that is forked before its session is there: forking Python and opening the journal take longer than the
rest of what stands between a request and its command.

It has claimed and locked nothing, and has no proof of life, so it may die at any moment. It lives for one task, or
until its scheduler closes the pipe or dies. A task that it cannot take is given to a runner that is forked for it.
"""

from __future__ import annotations

import os
import pickle

from pigeon.errors import JournalError
from pigeon.journal.store import Journal
from pigeon.worker import identity
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.runner.runner import run
from pigeon.worker.runner.stop_order import StopOrder

NAME = "pigeon-standby"
"""What ps(1) shows while it has no task."""

_HEADER_BYTES = 8


class Standby:
    """The scheduler's end: the process and the pipe to it."""

    def __init__(self, pid: int, writing: int) -> None:
        self.pid = pid
        self._writing = writing
        os.set_blocking(writing, False)

    def give(self, task: Assignment) -> bool:
        """Hand the task over; nothing more can be given afterwards. False: it did not take all of it, and ends."""
        payload = pickle.dumps(task)
        try:
            data = len(payload).to_bytes(_HEADER_BYTES, "big") + payload
            return os.write(self._writing, data) == len(data)
        except OSError:
            return False  # the pipe is full, which a task of moderate size does not do, or it has died
        finally:
            self.close()

    def close(self) -> None:
        """Let it end if it has no task."""
        os.close(self._writing)


def serve(worker: Worker, reading: int, stop: StopOrder) -> int:
    """In the forked process: get ready, wait for a task and carry it out. Returns a RunnerExit status."""
    identity.call_oneself(NAME)
    journal: Journal | None = None
    try:
        journal = Journal.open(
            worker.journal_path,
            on_trouble=lambda trouble: worker.debug.say("failure", f"journal: {trouble}"),
            before=worker.journal_seen,
        )
        journal.read_schema()
        place = _place(worker.journal_path)
    except (JournalError, OSError):
        pass  # the runner opens it again, and can wait for it
    task = _receive(reading)
    os.close(reading)
    if task is None:
        return 0
    if journal is not None and _place(worker.journal_path) != place:
        journal.close()  # another journal lies there now
        journal = None
    return run(worker, task, stop, journal)


def _place(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _receive(reading: int) -> Assignment | None:
    """The task; None if the pipe was closed before all of one had come."""
    data = b""
    while len(data) < _HEADER_BYTES or len(data) < _HEADER_BYTES + int.from_bytes(
        data[:_HEADER_BYTES], "big"
    ):
        part = os.read(reading, 1 << 20)
        if not part:
            return None
        data += part
    task = pickle.loads(data[_HEADER_BYTES:])
    assert isinstance(task, Assignment)
    return task
