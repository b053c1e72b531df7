"""The host's side of a conversation with the keeper: questions, and `nfs-lab run`, which is a process like any other.

`run_here` passes this process's stdin, stdout, stderr and signals to a command in a machine and ends as that command
does. Where stdin is a terminal and a PTY is wanted, the terminal is raw meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import tty
from typing import Any

from . import frames
from .errors import LabError
from .keeper import address_of

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
EXIT_LAB = 255


def connect(lab: str) -> socket.socket:
    """A connection to the keeper of `lab`. Raises `LabError` when there is none."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end.connect(address_of(lab))
    except OSError as error:
        end.close()
        raise LabError(f"no lab named `{lab}` is running", "start one with `tools/nfs-lab start`") from error
    return end


def ask(lab: str, **request: Any) -> dict[str, Any]:
    """One question to the keeper. Raises `LabError` with its refusal."""
    try:
        with connect(lab) as end:
            end.sendall(frames.pack(frames.REQUEST, 0, json.dumps(request).encode()))
            splitter = frames.Splitter()
            while data := end.recv(65536):
                for _, _, payload in splitter.feed(data):
                    reply: dict[str, Any] = json.loads(payload)
                    if "error" in reply:
                        raise LabError(reply["error"], reply["hint"])
                    return reply
    except ConnectionError:
        pass  # it was killed while we waited: the same as a connection that it closed
    raise LabError(f"the keeper of lab `{lab}` is gone, and its machines with it")


def terminal_size() -> list[int]:
    """Columns and rows of the terminal on stdin, or a usual size."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return [80, 24]
    return [columns or 80, rows or 24]


def run_here(lab: str, machine: str, request: dict[str, Any]) -> int:
    """Run `request` in `machine` as if here; returns its exit code (128 + n after signal n, 255 if the lab failed)."""
    end = connect(lab)
    end.sendall(frames.pack(frames.REQUEST, 0, json.dumps({"do": "run", "machine": machine}).encode()))
    end.sendall(frames.pack(frames.SPAWN, 0, json.dumps(request).encode()))
    saved = None
    if request["pty"] is not None and os.isatty(0):
        saved = termios.tcgetattr(0)
        tty.setraw(0)
    try:
        return Call(end, request["pty"] is not None).run()
    finally:
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Call:
    """The loop of one `nfs-lab run`: stdin, the connection and the signals that came in."""

    def __init__(self, end: socket.socket, has_pty: bool) -> None:
        self.end = end
        self.has_pty = has_pty
        self.input_window = frames.WINDOW_BYTES
        self.input_open = True
        self.splitter = frames.Splitter()
        self.signals: list[int] = []
        self.wakeup, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (*FORWARDED, signal.SIGWINCH):
            signal.signal(number, lambda n, _: self.signals.append(n))
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        try:
            self.end.sendall(frames.pack(kind, 0, payload))
        except ConnectionError as error:  # not to be taken for a closed stdout
            raise LabError("the lab's keeper is gone") from error

    def run(self) -> int:
        """Until the command ended; returns the exit code."""
        try:
            while True:
                wanted = [self.end.fileno(), self.wakeup]
                if self.input_open and self.input_window > 0:
                    wanted.append(0)
                readable, _, _ = select.select(wanted, [], [])
                if self.wakeup in readable:
                    self._pass_signals()
                if 0 in readable:
                    self._pass_input()
                if self.end.fileno() in readable:
                    code = self._receive()
                    if code is not None:
                        return code
        except BrokenPipeError:
            return (
                128 + signal.SIGPIPE
            )  # nobody reads our output; closing the connection hangs the command up

    def _pass_signals(self) -> None:
        os.read(self.wakeup, 4096)
        while self.signals:
            number = self.signals.pop(0)
            if number != signal.SIGWINCH:
                self.send(frames.SIGNAL, str(int(number)).encode())
            elif self.has_pty:
                self.send(frames.RESIZE, json.dumps(terminal_size()).encode())

    def _pass_input(self) -> None:
        data = os.read(0, min(self.input_window, frames.CHUNK_BYTES))
        if data:
            self.input_window -= len(data)
            self.send(frames.INPUT, data)
        else:
            self.input_open = False
            self.send(frames.INPUT_END)

    def _receive(self) -> int | None:
        try:
            data = self.end.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            return fail("the lab's keeper is gone")
        for kind, _, payload in self.splitter.feed(data):
            if kind in (frames.OUTPUT, frames.ERRORS):
                write_all(1 if kind == frames.OUTPUT else 2, payload)
                self.send(frames.GRANT_OUTPUT, str(len(payload)).encode())
            elif kind == frames.GRANT_INPUT:
                self.input_window += int(payload)
            elif kind == frames.ENDED:
                code = int(payload)
                return code if code >= 0 else 128 - code
            elif kind == frames.NOT_STARTED:
                code, why = json.loads(payload)
                fail(why)
                return int(code)
            elif kind == frames.LOST:
                return fail(payload.decode())
        return None


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fail(why: str) -> int:
    """Say that the lab, not the command, failed."""
    print(f"nfs-lab: {why}", file=sys.stderr)
    return EXIT_LAB
