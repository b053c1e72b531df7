"""Forking runners off the scheduler, and the one that stands by. Without threads, and with no journal open."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from pigeon import startup, trace
from pigeon.errors import PigeonError
from pigeon.worker.debug import tell
from pigeon.worker.engine import dispatch
from pigeon.worker.handover import Assignment, Worker
from pigeon.worker.runner import runner, standby
from pigeon.worker.runner.standby import Standby
from pigeon.worker.runner.stop_order import StopOrder

STANDBY_AFTER_S = 0.05
"""A runner is forked ahead when no session has been started for this long: in a rush, forking ahead would only
take turns from those that run."""


class Forks:
    """`private`: descriptors of the scheduler that no other process may keep."""

    def __init__(self, worker: Worker, private: tuple[int, ...]) -> None:
        self._worker = worker
        self._private = private
        self._standby: Standby | None = None

    @property
    def has_standby(self) -> bool:
        """A runner waits for the next task."""
        return self._standby is not None

    def run(self, task: Assignment) -> int:
        """A runner for the task; its pid. Raises OSError as `make_standby`."""
        trace.mark("scheduler: starts a runner")
        launching, launch = self._worker.launching, task.launch
        if launching is not None and launch is not None:
            return self.fork(lambda stop: dispatch.run(self._worker, launching, launch, task, stop))
        return self._use_standby(task) or self.fork(lambda stop: runner.run(self._worker, task, stop))

    def make_standby(self) -> None:
        """Fork the runner of the next task ahead. Raises OSError: no process or descriptor is left."""
        reading, writing = os.pipe2(os.O_CLOEXEC)

        def serve(stop: StopOrder) -> int:
            os.close(writing)
            return standby.serve(self._worker, reading, stop)

        try:
            pid = self.fork(serve)
        except OSError:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._standby = Standby(pid, writing)

    def _use_standby(self, task: Assignment) -> int | None:
        """The pid of the standby, if there is one and it has taken the task. A recovery has a runner of its own."""
        if self._standby is None or task.row is not None:
            return None
        ready, self._standby = self._standby, None
        return ready.pid if ready.give(task) else None

    def dismiss_standby(self) -> None:
        """Let it end."""
        if self._standby is not None:
            self._standby.close()
            self._standby = None

    def has_lost(self, pid: int) -> bool:
        """Whether the process that has ended was the standby, which is forgotten then."""
        if self._standby is None or self._standby.pid != pid:
            return False
        self.dismiss_standby()
        return True

    def fork(self, work: Callable[[StopOrder], int]) -> int:
        """Run `work` in a process of its own, which ends with what it returns; the pid. Raises OSError."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # closed by who started the worker
                stream.flush()
        # An order to stop that comes before the child can take it waits until it can.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            pid = os.fork()
            if not pid:
                self._be_runner(work, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _be_runner(self, work: Callable[[StopOrder], int], mask: set[int | signal.Signals]) -> NoReturn:
        """In the forked process: a session of its own, nothing of the scheduler's, and no way back."""
        code = 70
        try:
            stop = StopOrder()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.setsid()
            startup.collect_rarely()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in self._private:
                os.close(fd)
            self.dismiss_standby()  # or it would outlive its scheduler for as long as this process lives
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            code = work(stop)
        except PigeonError as error:
            tell(f"pigeon worker: {error.message}")
        except BaseException:
            tell(traceback.format_exc(), lines=True)
        finally:
            os._exit(code)
