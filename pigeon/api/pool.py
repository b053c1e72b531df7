"""The threads of an executor, one for each Python that it keeps, and the queue of calls between them and `submit`."""

from __future__ import annotations

import contextlib
import pickle
import queue
import threading
from collections.abc import Mapping
from concurrent import futures
from typing import Any

from pigeon.api import pickling
from pigeon.api.pickling import FarPython, Task
from pigeon.api.python_session import PythonSession


class WorkerDied(futures.BrokenExecutor):
    """The Python that ran this call has ended. The call may have run, in part or wholly; it is not run again.

    `returncode` is that of the Python (negative after a signal), `session` its session's id.
    """

    def __init__(self, message: str, *, returncode: int | None = None, session: str | None = None) -> None:
        super().__init__(message)
        self.returncode = returncode
        self.session = session


class RemoteError(Exception):
    """An exception that cannot be brought here: its type and its text. The far traceback is its cause."""


class RemoteTraceback(Exception):
    """The traceback over there, as text; the cause of the exception that a call has raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class Call:
    """A call that waits or runs. Without a task it only wants a Python to be there."""

    __slots__ = ("future", "task", "why")

    def __init__(self, future: futures.Future[Any], task: Task | None, why: str = "") -> None:
        self.future = future
        self.task = task
        self.why = why
        """What had to travel by value, for messages."""


class Pool:
    """The threads, one for each Python, and the queue between them and `submit`. Knows no Executor, which can go."""

    def __init__(
        self,
        size: int,
        words: list[str],
        options: Mapping[str, Any],
        idle_timeout_s: float,
        initializer: Task | None,
    ) -> None:
        self.size = size
        self.lock = threading.Lock()
        self.is_down = False
        self.broken: BaseException | None = None
        self.far: FarPython | None = None
        """The Python that has answered last."""
        self.calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.threads: set[threading.Thread] = set()
        """Those that take calls ..."""
        self.leaving: set[threading.Thread] = set()
        """... and those that end their Python."""
        self.pythons: set[PythonSession] = set()
        self._words = words
        self._options = options
        self._idle_timeout_s = idle_timeout_s
        self._initializer = initializer
        self._idle = 0

    def put(self, call: Call) -> None:
        """Queue a call, with a thread more if all are busy. Raises RuntimeError after the shutdown."""
        with self.lock:
            if self.broken is not None:
                raise futures.BrokenExecutor("the initializer has failed") from self.broken
            if self.is_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self.calls.put(call)
            if self._idle < self.calls.qsize() and len(self.threads) < self.size:
                thread = threading.Thread(target=self._serve, name="pigeon-executor", daemon=True)
                self.threads.add(thread)
                thread.start()

    def close(self, *, cancels: bool = False) -> None:
        """Take no more; what is queued is run, or cancelled."""
        with self.lock:
            self.is_down = True
            dropped = self._take_queued() if cancels else []
            for _ in self.threads:
                self.calls.put(None)
        for call in dropped:  # without the lock: whoever waits for them may call us
            call.future.cancel()
            call.future.set_running_or_notify_cancel()

    def join(self) -> None:
        """Wait until everything that was taken has been done."""
        with self.lock:
            threads = [*self.threads, *self.leaving]
        for thread in threads:
            thread.join()

    def kill(self) -> None:
        """Cancel what is queued and end what runs, now."""
        self.close(cancels=True)
        with self.lock:
            pythons = list(self.pythons)
        for python in pythons:
            python.process.kill_all()

    def _take_queued(self) -> list[Call]:
        """With the lock held: everything that is queued."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self.calls.get_nowait())
        for _ in range(taken.count(None)):
            self.calls.put(None)
        return [call for call in taken if call is not None]

    # In the threads

    def _serve(self) -> None:
        python: PythonSession | None = None
        while True:
            call = self._next()
            if call is None:
                break
            if call.future.set_running_or_notify_cancel():
                python = self._answer(call, python)
            del call  # the future may be all that keeps a large result
        if python is not None:
            python.end()
            with self.lock:
                self.pythons.discard(python)
        with self.lock:
            self.leaving.discard(threading.current_thread())

    def _next(self) -> Call | None:
        with self.lock:
            self._idle += 1
        call: Call | None = None
        try:
            call = self.calls.get(timeout=self._idle_timeout_s)
        except queue.Empty:
            pass
        with self.lock:
            self._idle -= 1
            if call is None and not self.is_down:
                # Idle for long. What was put meanwhile counted on this thread.
                with contextlib.suppress(queue.Empty):
                    call = self.calls.get_nowait()
            if call is None:
                self.threads.discard(threading.current_thread())
                self.leaving.add(threading.current_thread())
        return call

    def _answer(self, call: Call, python: PythonSession | None) -> PythonSession | None:
        """Carry a call out; the Python for the next one, or None if it has gone."""
        if python is None:
            try:
                python = self._begin()
            except BaseException as error:
                with self.lock:  # each of those that wait would wait as long again for the same answer
                    same = [] if self.pythons else self._take_queued()
                for failed in (call, *same):
                    if failed is call or failed.future.set_running_or_notify_cancel():
                        failed.future.set_exception(error)
                return None
        try:
            if call.task is None:
                call.future.set_result(python.far)
            else:
                if call.task.by_value:
                    pickling.check_by_value(call.why, python.far)
                _settle(call.future, python.run(call.task))
        except EOFError:
            with self.lock:
                self.pythons.discard(python)
            code = python.end()
            call.future.set_exception(self._death(python, code))
            return None
        except BaseException as error:  # an answer that cannot be unpickled here
            call.future.set_exception(error)
        return python

    def _begin(self) -> PythonSession:
        if self.broken is not None:
            raise futures.BrokenExecutor("the initializer has failed") from self.broken
        python = PythonSession(self._words, self._options)
        with self.lock:
            self.pythons.add(python)
            self.far = python.far
        if self._initializer is not None:
            try:
                if self._initializer.by_value:
                    pickling.check_by_value("initializer", python.far)
                done: futures.Future[Any] = futures.Future()
                _settle(done, python.run(self._initializer))
                done.result()
            except BaseException as error:
                with self.lock:
                    self.pythons.discard(python)
                    self.broken = error
                python.end()
                raise futures.BrokenExecutor("the initializer has failed") from error
        return python

    def _death(self, python: PythonSession, code: int | None) -> WorkerDied:
        failure = python.process.failure
        why = f": {failure}" if failure else ""
        text = f"the Python that ran this call has ended with {code}{why}"
        error = WorkerDied(text, returncode=code, session=python.process.session)
        error.__cause__ = failure
        return error


def _settle(future: futures.Future[Any], answer: tuple[bool, Any]) -> None:
    is_value, value = answer
    if is_value:
        future.set_result(value)
        return
    kept, text, traceback = value
    try:
        error = RemoteError(text) if kept is None else pickle.loads(kept)
    except Exception:
        error = RemoteError(text)
    error.__cause__ = RemoteTraceback(traceback)
    future.set_exception(error)
