"""Runs inside a machine: does one thing to a file, or watches one, as the host asks line by line.

Each request is a JSON object on stdin, each answer one on stdout. `watch` says `watching` after it has looked once in
vain, so that whoever asked knows that what the kernel then believes about the file is in its cache. Plain system calls
only: this measures the kernel, not pigeon.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Seen = Callable[[], bool]


def content(path: str) -> bytes:
    """What a fresh open shows; nothing when there is no such file or it has just been replaced."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, 1 << 20)
    except OSError:
        return b""
    finally:
        os.close(fd)


def opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def look(how: str, path: str, token: str) -> Seen:
    """The question that one poll asks."""
    directory, name = os.path.split(path)
    if how == "open":
        return lambda: opens(path)
    if how == "list":
        return lambda: name in os.listdir(directory)
    if how == "list, then open":
        return lambda: (os.listdir(directory), opens(path))[1]
    if how == "open and read":
        return lambda: token.encode() in content(path)
    if how == "kept descriptor":
        fd = os.open(path, os.O_RDONLY)
        return lambda: token.encode() in os.pread(fd, 1 << 20, 0)
    raise ValueError(how)


def watch(request: dict[str, Any]) -> dict[str, Any]:
    seen = look(request["how"], request["path"], request.get("token", ""))
    polls = 1
    if seen():
        return {"seen": False, "why": "it was there at once"}
    answer({"watching": True})
    deadline = time.monotonic() + request["limit_s"]
    while time.monotonic() < deadline:
        time.sleep(request["interval_s"])
        polls += 1
        if seen():
            return {"seen": True, "polls": polls}
    return {"seen": False, "polls": polls}


def write(path: str, data: str, flags: int) -> None:
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        os.write(fd, data.encode())
    finally:
        os.close(fd)


class Locks:
    """The locks that this process holds."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def take(self, path: str) -> str:
        """`held`, `refused` (somebody else has it) or the error's name."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return "refused"
        except OSError as error:
            os.close(fd)
            return str(error.strerror)
        self.held[path] = fd
        return "held"

    def drop(self, path: str) -> None:
        os.close(self.held.pop(path))

    def check(self, path: str, direct: bool) -> str:
        """What a read through the lock's own descriptor says: `fine`, or why not.

        An ordinary read of a file that is empty or cached never asks the server; a direct one always does.
        """
        fd = self.held[path]
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        try:
            if direct:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
            with mmap.mmap(-1, mmap.PAGESIZE) as aligned:
                os.preadv(fd, [aligned], 0)
        except OSError as error:
            return str(error.strerror)
        finally:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        return "fine"


def act(request: dict[str, Any], locks: Locks) -> dict[str, Any]:
    path = request["path"]
    match request["do"]:
        case "create":
            write(path, request.get("token", ""), os.O_CREAT | os.O_EXCL)
        case "append":
            write(path, request["token"], os.O_APPEND)
        case "replace":
            write(path + ".new", request["token"], os.O_CREAT | os.O_EXCL)
            os.rename(path + ".new", path)
        case "watch":
            return watch(request)
        case "lock":
            return {"lock": locks.take(path)}
        case "unlock":
            locks.drop(path)
        case "check":
            return {"lock": locks.check(path, request["direct"])}
        case "cost":
            return cost(path)
    return {"done": True}


def cost(path: str) -> dict[str, Any]:
    """Medians of a few operations, in milliseconds."""

    def median_ms(operation: Callable[[], object]) -> float:
        times = []
        for _ in range(15):
            started = time.perf_counter()
            operation()
            times.append((time.perf_counter() - started) * 1000)
        return round(sorted(times)[7], 2)

    write(path, "x" * 100, os.O_CREAT)
    return {
        "open, read, close": median_ms(lambda: content(path)),
        "open, append, close": median_ms(lambda: write(path, "x" * 100, os.O_APPEND)),
        "write a file and rename it": median_ms(lambda: replace(path, "x" * 100)),
        "list a directory": median_ms(lambda: os.listdir(os.path.dirname(path))),
    }


def replace(path: str, data: str) -> None:
    write(path + ".new", data, os.O_CREAT | os.O_EXCL)
    os.rename(path + ".new", path)


def answer(reply: dict[str, Any]) -> None:
    print(json.dumps(reply), flush=True)


def main() -> None:
    """Serve stdin to its end."""
    locks = Locks()
    for line in sys.stdin:
        try:
            answer(act(json.loads(line), locks))
        except OSError as error:
            answer({"error": f"{error.strerror} ({error.filename})"})


if __name__ == "__main__":
    main()
