"""concurrent.futures.Executor over persistent sessions: each is a Python on a worker that runs one call at a time.

Here is what a program calls; `pool.py` has the threads and the queue, `python_session.py` one Python.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import IO, Any, Literal, TypeVar

from pigeon.api import far_side, pickling
from pigeon.api.pickling import FarPython
from pigeon.api.pool import Call, Pool

T = TypeVar("T")


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
        self._pool = Pool(max_workers, words, options, idle_timeout, first)
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
        self._pool.put(Call(future, packed, why))
        return future

    def _far(self) -> FarPython:
        if self._pool.far is None:
            hello: futures.Future[FarPython] = futures.Future()
            self._pool.put(Call(hello, None))
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


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()
"""For `_finish_all` alone, since only the process knows when it ends. Nobody is kept alive by standing here."""


@atexit.register
def _finish_all() -> None:
    """What was submitted is done before this process ends, unless it ends by Ctrl-C."""
    for pool in list(_POOLS):
        if getattr(sys, "last_type", None) is KeyboardInterrupt:
            pool.kill()
        else:
            pool.close()
        pool.join()
