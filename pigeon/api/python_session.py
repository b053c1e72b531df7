"""A Python in a session: it is given one call at a time, through the session's pipes, and gives back what that gave.

A frame is its length (eight bytes, network order) and a pickle; `far_side.py` is what runs over there.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from typing import Any

from pigeon.api import pickling
from pigeon.api.pickling import FarPython, Task
from pigeon.api.popen import Popen

OLDEST = (3, 8)
"""The oldest Python that can serve."""

BYE_S = 2.0
"""A Python without work has so long to end once its input is closed; then its session is killed."""

_HEADER = struct.Struct("!Q")


class PythonSession:
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
