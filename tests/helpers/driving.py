"""A program that drives `pigeon --driven-by FD`: one line in, state lines out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import patient


class Driven:
    """One client, its socket and what it has said so far."""

    def __init__(self, pigeon: Pigeon, request: dict[str, Any] | bytes, **options: Any) -> None:
        self.link, its = socket.socketpair()
        with its:
            self.process = subprocess.Popen(
                pigeon.command(options=("--driven-by", str(its.fileno()))),
                env=pigeon.env(options.pop("extra", None)),
                cwd=options.pop("cwd", pigeon.work),
                pass_fds=(its.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **options,
            )
        self.link.settimeout(patient(30))
        self._reader = self.link.makefile("rb")
        self.events: list[dict[str, Any]] = []
        self.write(request)

    def write(self, order: dict[str, Any] | bytes) -> None:
        """One line."""
        data = order if isinstance(order, bytes) else json.dumps(order).encode()
        self.link.sendall(data + b"\n")

    def until(self, event: str) -> dict[str, Any]:
        """The first line from now on that says this."""
        while line := self._reader.readline():
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(f"no `{event}` in {self.events}")

    def end(self) -> tuple[dict[str, Any], int, bytes, bytes]:
        """(its last line, return code, stdout, stderr)."""
        self.events += [json.loads(line) for line in self._reader]
        out, err = self.process.communicate(timeout=patient(30))
        return self.events[-1], self.process.returncode, out, err

    def leave(self) -> None:
        """As a program that has died."""
        self._reader.close()
        self.link.close()


@contextmanager
def driven(pigeon: Pigeon, request: dict[str, Any] | bytes, **options: Any) -> Iterator[Driven]:
    """A driven client, which is gone afterwards."""
    made = Driven(pigeon, request, **options)
    try:
        yield made
    finally:
        made.leave()
        if made.process.poll() is None:
            made.process.kill()
        made.process.communicate()


def has_ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def pid_in(path: str | os.PathLike[str]) -> int:
    """The process id that a command has written there; 0 until it has."""
    try:
        with open(path) as file:
            return int(file.read().strip() or 0)
    except (OSError, ValueError):
        return 0
