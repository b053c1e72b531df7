"""One driven client (`pigeon --driven-by FD`): how it is called, what it is asked, what it has said so far."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pigeon import clock
from pigeon.api.failures import HungUp, SessionFailed, failure_of

Word = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Words = Word | Sequence[Word]

_PROGRAM = "import os, sys; sys.path += {places!r}; from pigeon.cli import main; os._exit(main())"
"""Isolated and without `site`, which nothing of pigeon's needs: it starts faster than the `pigeon` command does."""

_EXECUTE_AS = 'exec -a "$0" "$@"'
"""A shell's text that executes its second word under the name of its first (bash)."""


OPTIONS: dict[str, type] = {
    "lock": bool,
    "keep": bool,
    "tty": bool,
    "route": str,
    "namespace": str,
    "cache": str,
    "config": str,
    "claim_timeout": float,
}
"""What there is to say about a command beside subprocess's arguments; pigeon/docs/python.md."""


def client_words() -> list[str]:
    """The words that start this very pigeon's client."""
    if not sys.executable or getattr(sys, "frozen", False):
        return [shutil.which("pigeon") or "pigeon"]
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    places = dict.fromkeys([own, *(os.path.abspath(place) for place in sys.path if place)])
    program = _PROGRAM.format(places=list(places))
    flags = ["-S"] if "PYTHONHOME" in os.environ else ["-I", "-S"]
    return [sys.executable, *flags, "-c", program]


def words_of(args: Words, *, shell: bool, executable: Word | None) -> tuple[list[str], bool]:
    """(the words of the request, whether they stand behind `[client] shell`), as subprocess reads its arguments.

    Raises:
        TypeError, ValueError: they cannot be words.
    """
    if isinstance(args, os.PathLike) and shell:
        raise TypeError("path-like args is not allowed when shell is true")
    given = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
    words = [os.fsdecode(word) for word in given]
    if not words:
        raise ValueError("args is empty: there is no command to run")
    if executable is not None:
        program = os.fsdecode(executable)
        if shell:
            words, shell = [program, "-c", *words], False
        elif program != words[0]:
            words = ["bash", "-c", _EXECUTE_AS, words[0], program, *words[1:]]
    if any("\0" in word for word in words):
        raise ValueError("embedded null byte")
    return words, shell


def request_of(
    args: Words, *, shell: bool, executable: Word | None, env: Mapping[Any, Any] | None, **options: Any
) -> bytes:
    """The line that asks for this command. `options`: OPTIONS with their values; None is as if it were not there.

    Raises:
        TypeError, ValueError: as subprocess, for what cannot be words or variables.
    """
    words, behind_shell = words_of(args, shell=shell, executable=executable)
    request: dict[str, Any] = {"command": words, "shell": bool(behind_shell)}
    if env is not None:
        request["env"] = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
        for name, value in request["env"].items():
            if "\0" in name or "\0" in value:
                raise ValueError("embedded null byte")
            if not name or "=" in name:
                raise ValueError("illegal environment variable name")
    for name, value in options.items():
        if value is not None:
            kind = OPTIONS[name]
            request[name] = os.fsdecode(value) if kind is str else kind(value)
    return json.dumps(request).encode() + b"\n"


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends above 2, also in a process that has closed its standard descriptors."""
    mine, other = socket.socketpair()
    return _above_standard(mine), _above_standard(other)


def _above_standard(end: socket.socket) -> socket.socket:
    if end.fileno() > 2:
        return end
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3))


def is_interactive(*streams: object) -> bool:
    """Whether a child would share the user's terminal: nothing is redirected, and stdin and stdout are one."""
    try:
        return all(stream is None for stream in streams) and os.isatty(0) and os.isatty(1)
    except OSError:
        return False


class Client:
    """The caller's end of the socket, and all that was heard on it. For several threads at once."""

    def __init__(self, link: socket.socket, program: str) -> None:
        self.session: str | None = None
        self.waits_for: str | None = None
        """Why the command has not been started yet, in words for people."""
        self.is_started = False
        self.is_in_place = False
        """This is a session already: the client has become the command."""
        self._link = link
        self._program = program
        self._exit: dict[str, Any] | None = None
        self._failed: dict[str, Any] | None = None
        self._is_ordered = False
        self._has_ended = False
        self._rest = b""
        self._lock = threading.Lock()
        link.setblocking(False)

    # Saying

    def ask(self, request: bytes) -> None:
        """Send the first line, however long it is."""
        with self._lock:
            self._send(request)

    def order(self, **order: object) -> bool:
        """Send a later line. False if nobody is there who could take it."""
        self.listen()
        with self._lock:
            if self._has_ended or self.is_in_place:
                return False
            self._is_ordered |= order.get("signal") is None
            return self._send(json.dumps(order).encode() + b"\n")

    def _send(self, data: bytes) -> bool:
        poll = select.poll()
        poll.register(self._link, select.POLLOUT)
        try:
            while data:
                poll.poll()
                data = data[self._link.send(data) :]
        except OSError:
            return False  # it has ended; what it said last is still to be read
        return True

    # Hearing

    def listen(self) -> None:
        """Take in what has been said by now."""
        with self._lock:
            while not self._has_ended:
                try:
                    data = self._link.recv(65536)
                except BlockingIOError:
                    return
                except OSError:
                    data = b""
                if not data:
                    self._close()
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        name = event.get("event")
        if name == "published":
            self.session = event.get("session")
        elif name == "waiting":
            self.waits_for = event.get("message")
        elif name == "started":
            self.is_started, self.is_in_place = True, event.get("in_place") is True
        elif name == "exit":
            self._exit = event
            self.is_started |= event.get("started") is not False
        elif name == "failed":
            self._failed = event

    def fileno(self) -> int:
        """The descriptor that can be read when something has been said; -1 after the end."""
        return self._link.fileno()

    @property
    def is_decided(self) -> bool:
        """The command has been started, or will not be."""
        return self.is_started or self._exit is not None or self._failed is not None or self._has_ended

    def wait_decided(self, timeout_s: float | None) -> bool:
        """Wait until it is. False: not within `timeout_s`."""
        deadline = None if timeout_s is None else clock.monotonic() + timeout_s
        self.listen()
        while not self.is_decided:
            left = None if deadline is None else deadline - clock.monotonic()
            if left is not None and left <= 0:
                return False
            poll = select.poll()
            poll.register(self._link, select.POLLIN)
            poll.poll(None if left is None else left * 1000)
            self.listen()
        return True

    def end(self) -> None:
        """The client's process has ended: take in its last words, and let the descriptor go."""
        self.listen()
        with self._lock:
            self._close()

    def __del__(self) -> None:
        self._link.close()  # the client notices, and ends the command of a process that nobody has any more

    def _close(self) -> None:
        self._has_ended = True
        self._link.close()

    @property
    def failure(self) -> Exception | None:
        """What pigeon failed with; None while nothing is known, and for a command that ended, however it did."""
        if self._failed is not None:
            return failure_of(self._failed, self.session, self._program)
        if self._exit is not None:
            why = self._exit.get("hung_up")
            if why is None or self._is_ordered:
                return None
            return HungUp(f"the command was hung up: {why}", kind="hung_up", session=self.session)
        if not self._has_ended or self.is_in_place:
            return None
        return SessionFailed(
            "pigeon's client has ended without a word",
            kind="client",
            session=self.session,
            may_have_run=self.session is not None,
        )
