"""concurrent.futures.Executor over persistent sessions: each is a Python on a worker that runs one call at a time."""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import struct
import subprocess
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import IO, Any, Literal, TypeVar

from pigeon.api import far_side, pickling
from pigeon.api.commands import Popen
from pigeon.api.pickling import FarPython, Task

T = TypeVar("T")

OLDEST = (3, 8)
"""The oldest Python that can serve."""

BYE_S = 2.0
"""A Python without work has so long to end once its input is closed; then its session is killed."""

_HEADER = struct.Struct("!Q")


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


class _Call:
    """A call that waits or runs. Without a task it only wants a Python to be there."""

    __slots__ = ("future", "task", "why")

    def __init__(self, future: futures.Future[Any], task: Task | None, why: str = "") -> None:
        self.future = future
        self.task = task
        self.why = why
        """What had to travel by value, for messages."""


class _Python:
    """One session with a Python in it."""

    def __init__(self, words: list[str], options: Mapping[str, Any]) -> None:
        """Raises SessionFailed, OSError, RuntimeError if it cannot be had."""
        self.process = Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            lock=False,
            tty=False,
            start_new_session=True,  # Ctrl-C is for this process, which decides what becomes of the calls
            **options,
        )
        try:
            self.process.wait_started()
            self.far = FarPython(*self._talk(pickle.dumps(_own_places(), 2)))
        except EOFError:
            code = self.end()
            raise self.process.failure or RuntimeError(
                f"`{words[0]}` ended with {code} before it answered; it has to be a Python"
            ) from None
        except BaseException:
            self.process.kill_all()
            self.end()
            raise
        if self.far.version < OLDEST:
            self.end()
            version, oldest = (".".join(map(str, numbers)) for numbers in (self.far.version, OLDEST))
            raise RuntimeError(f"`{words[0]}` over there is Python {version}, which is older than {oldest}")

    def run(self, task: Task) -> Any:
        """The call's value, or what it raised. Raises EOFError if the Python has ended."""
        return self._talk(pickle.dumps((task.by_value, task.data), pickling.PROTOCOL))

    def _talk(self, data: bytes) -> Any:
        source, sink = self.process.stdout, self.process.stdin
        assert source is not None and sink is not None
        try:
            sink.write(_HEADER.pack(len(data)))
            sink.write(data)
            sink.flush()
            head = source.read(_HEADER.size)
            if len(head) == _HEADER.size:
                (length,) = _HEADER.unpack(head)
                answer = source.read(length)
                if len(answer) == length:
                    return pickle.loads(answer)
        except (BrokenPipeError, ValueError) as error:  # ValueError: closed by `terminate`
            raise EOFError from error
        raise EOFError

    def end(self) -> int | None:
        """End it, kindly if it is idle. Returns its return code."""
        for file in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                file.close()  # type: ignore[union-attr]  # both are pipes
        try:
            return self.process.wait(BYE_S)
        except subprocess.TimeoutExpired:
            self.process.kill_all()
        try:
            return self.process.wait(BYE_S)
        except subprocess.TimeoutExpired:
            os.kill(self.process.pid, 9)  # the share does not answer
            return self.process.wait()


def _own_places() -> list[str]:
    """Where this process finds its own modules: not those of its Python, which another Python cannot use."""
    paths = sysconfig.get_paths()
    ours = {os.path.realpath(place) for place in (sys.prefix, sys.base_prefix, *paths.values())}
    places = (os.path.abspath(place) for place in sys.path)
    return [place for place in places if not any(_is_below(place, own) for own in ours)]


def _is_below(place: str, directory: str) -> bool:
    return f"{os.path.realpath(place)}/".startswith(f"{directory.rstrip('/')}/")


class _Pool:
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
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self.threads: set[threading.Thread] = set()
        """Those that take calls ..."""
        self.leaving: set[threading.Thread] = set()
        """... and those that end their Python."""
        self.pythons: set[_Python] = set()
        self._words = words
        self._options = options
        self._idle_timeout_s = idle_timeout_s
        self._initializer = initializer
        self._idle = 0

    def put(self, call: _Call) -> None:
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

    def _take_queued(self) -> list[_Call]:
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
        python: _Python | None = None
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

    def _next(self) -> _Call | None:
        with self.lock:
            self._idle += 1
        call: _Call | None = None
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

    def _answer(self, call: _Call, python: _Python | None) -> _Python | None:
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

    def _begin(self) -> _Python:
        if self.broken is not None:
            raise futures.BrokenExecutor("the initializer has failed") from self.broken
        python = _Python(self._words, self._options)
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

    def _death(self, python: _Python, code: int | None) -> WorkerDied:
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


class Executor(futures.Executor):
    """Runs functions on a worker: a concurrent.futures.Executor.

    Each of at most `max_workers` sessions holds a Python (`python`, 3.8 or newer, which needs nothing installed) that
    runs one call at a time. It is started when the first call needs it and ended after `idle_timeout` seconds without
    one. The sessions take no lock.

    Functions and arguments are pickled in `submit`. A function of a module travels by reference: the module has to be
    there (the directories of this process's own modules are searched over there, too). One of the main script, a
    lambda or a closure travels by value, by cloudpickle, if both sides have that and the same minor version of Python;
    otherwise, and with `by_value="never"`, `submit` raises TypeError and says what to do.

    An exception comes back with the far traceback as its cause (RemoteError in the place of one that cannot). If a
    Python dies, the one call that it ran fails with WorkerDied, and nothing is run a second time. What functions print
    goes to `stderr`, by default this process's. A `with` block that is left by an exception, or Ctrl-C, cancels what
    is queued and kills what runs.

    Raises:
        ValueError: `max_workers` is not positive.
        TypeError: `initializer` cannot be sent.

    >>> with pigeon.Executor(max_workers=2) as executor:
    ...     executor.submit(pow, 2, 10).result()
    ...     list(executor.map(abs, [-1, 2, -3]))
    1024
    [1, 2, 3]
    """

    def __init__(
        self,
        max_workers: int = 4,
        *,
        python: str | os.PathLike[str] = "python3",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        by_value: Literal["auto", "never"] = "auto",
        stderr: int | IO[Any] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        idle_timeout: float = 60.0,
        route: str | None = None,
        namespace: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        claim_timeout: float | None = None,
    ) -> None:
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if by_value not in ("auto", "never"):
            raise ValueError("by_value must be 'auto' or 'never'")
        self._max_workers = max_workers  # dask asks for it
        self._by_value = by_value
        options = {
            "stderr": stderr,
            "cwd": cwd,
            "env": env,
            "route": route,
            "namespace": namespace,
            "cache": cache,
            "config": config,
            "claim_timeout": claim_timeout,
        }
        words = [os.fspath(python), "-c", far_side.TEXT]
        first = pickling.pack(initializer, initargs, {}) if initializer is not None else None
        if isinstance(first, str):
            raise TypeError(f"the initializer (`{first}`) must be a function of a module")
        self._pool = _Pool(max_workers, words, options, idle_timeout, first)
        _POOLS.add(self._pool)
        weakref.finalize(self, self._pool.close).atexit = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> futures.Future[T]:
        """Schedule `fn(*args, **kwargs)` on a worker.

        The first call that has to travel by value waits until a Python has said which it is.

        Raises:
            TypeError: it cannot be pickled, or not be sent by value.
            RuntimeError: after the shutdown.
            SessionFailed: by value, and no Python can be had.
        """
        future: futures.Future[T] = futures.Future()
        packed = pickling.pack(fn, args, kwargs)
        why = ""
        if isinstance(packed, str):
            why = packed
            if self._by_value == "never":
                raise pickling.refusal(why, "the executor was made with by_value='never'")
            packed = pickling.pack_by_value(fn, args, kwargs, why, self._far())
        self._pool.put(_Call(future, packed, why))
        return future

    def _far(self) -> FarPython:
        if self._pool.far is None:
            hello: futures.Future[FarPython] = futures.Future()
            self._pool.put(_Call(hello, None))
            return hello.result()
        return self._pool.far

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait` return when those that were taken have been done. Ctrl-C ends them."""
        self._pool.close(cancels=cancel_futures)
        if wait:
            try:
                self._pool.join()
            except BaseException:
                self._pool.kill()
                raise

    def terminate(self) -> None:
        """Cancel what is queued, kill what runs (WorkerDied), and take no more calls. Waits until all has ended."""
        self._pool.kill()
        self._pool.join()

    def __exit__(self, exc_type: type[BaseException] | None, *_rest: object) -> None:
        if exc_type is None:
            self.shutdown()
        else:
            self.terminate()


_POOLS: weakref.WeakSet[_Pool] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    """What was submitted is done before this process ends, unless it ends by Ctrl-C."""
    for pool in list(_POOLS):
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            pool.kill()
        else:
            pool.close()
        pool.join()
