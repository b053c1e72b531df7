"""getaddrinfo(3) without waiting for it: a few threads ask, the loop gets the answers."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

from pigeon.net.loop import IN, Loop
from pigeon.net.policy import parse_address

THREADS = 16
"""Names that may be asked for at a time: a dead name server holds one of them for as long as resolv.conf(5) says."""


class Found(NamedTuple):
    """One address of a name, as connect(2) takes it."""

    family: int
    sockaddr: tuple[object, ...]

    @property
    def address(self) -> str:
        """As text."""
        return str(self.sockaddr[0])


Answered = Callable[[list[Found], str], None]


class Resolver:
    """`ask` calls back with the addresses, or with none and why."""

    def __init__(self, loop: Loop) -> None:
        self._questions: queue.SimpleQueue[tuple[str, int, Answered]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Answered, list[Found], str]] = queue.SimpleQueue()
        self._threads = 0
        self._open = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.watch(self._wake, IN, self._heard)

    def ask(self, host: str, port: int, answered: Answered) -> None:
        """The addresses of `host`, in the order of the system's preference (RFC 6724)."""
        address = parse_address(host)
        if address is not None and "%" not in host:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            answered([Found(family, (str(address), port))], "")
            return
        self._open += 1
        if self._threads < min(THREADS, self._open):
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()
        self._questions.put((host, port, answered))

    def _work(self) -> None:
        while True:
            host, port, answered = self._questions.get()
            found: list[Found] = []
            why = ""
            try:
                for family, _, _, _, sockaddr in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                    found.append(Found(family, sockaddr))
            except (OSError, UnicodeError) as error:
                why = f"cannot resolve {host}: {error.args[-1] if error.args else error}"
            self._answers.put((answered, found, why))
            os.eventfd_write(self._wake, 1)

    def _heard(self, _events: int) -> None:
        os.eventfd_read(self._wake)
        while True:
            try:
                answered, found, why = self._answers.get_nowait()
            except queue.Empty:
                return
            self._open -= 1
            answered(found, why)
