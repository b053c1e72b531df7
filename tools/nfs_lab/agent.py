"""The first and only service of a machine in the lab: runs commands that the host asks for.

It is process 1 there, so it also collects every orphan. It speaks frames over one virtio serial port and trusts
whoever is at the other end. It promises exact bytes, exact return codes and back-pressure both ways; it refuses to
outlive the port: without it the machine switches itself off.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from typing import Any

from . import frames

PORT = "/dev/vport0p1"
KILL_AFTER_S = 2.0
"""How long a command that was hung up may take to end by itself."""


class Command:
    """One running command: its process, its descriptors and what still waits to be moved."""

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: int | None, outputs: dict[int, bytes]
    ) -> None:
        self.process = process
        self.stdin = stdin
        self.outputs = outputs
        """Descriptor -> kind of the frames that carry what is read from it."""
        self.input: deque[bytes] = deque()
        self.input_ended = False
        self.output_window = frames.WINDOW_BYTES
        self.return_code: int | None = None
        self.kill_at: float | None = None
        self.has_pty = stdin is not None and stdin in outputs

    def send_signal(self, number: int) -> None:
        """To the command's process group; it leads one."""
        if self.return_code is None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass


def set_size(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def spawn(request: dict[str, Any]) -> Command:
    """Start what `request` says. Raises `OSError` when that cannot be."""
    uid = request["uid"]
    options: dict[str, Any] = {
        "env": request["env"],
        "cwd": request["cwd"],
        "start_new_session": True,
        "umask": 0o022,
    }
    if uid:
        options |= {"user": uid, "group": uid, "extra_groups": []}
    if request["pty"] is None:
        process = subprocess.Popen(
            request["argv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        assert process.stdin and process.stdout and process.stderr
        stdin, out, err = (os.dup(f.fileno()) for f in (process.stdin, process.stdout, process.stderr))
        for f in (process.stdin, process.stdout, process.stderr):
            f.close()
        command = Command(process, stdin, {out: frames.OUTPUT, err: frames.ERRORS})
    else:
        command = spawn_on_pty(request["argv"], request["pty"], options)
    for fd in {command.stdin, *command.outputs}:
        assert fd is not None
        os.set_blocking(fd, False)
    return command


def spawn_on_pty(argv: list[str], size: list[int], options: dict[str, Any]) -> Command:
    master, slave = os.openpty()
    try:
        set_size(master, *size)
        if options.get("user"):
            os.fchown(slave, options["user"], -1)
        process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # Runs after setsid, with the terminal as descriptor 0.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            **options,
        )
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    return Command(process, master, {master: frames.OUTPUT})


class Agent:
    """The loop. No threads: everything is a descriptor, a child that ended, or a deadline."""

    def __init__(self, port: int, wakeup: int) -> None:
        self.port = port
        self.wakeup = wakeup
        self.splitter = frames.Splitter()
        self.outgoing: deque[bytes] = deque()
        self.commands: dict[int, Command] = {}

    def send(self, kind: bytes, channel: int, payload: bytes = b"") -> None:
        self.outgoing.append(frames.pack(kind, channel, payload))

    def run(self) -> None:
        """Serve until the port is gone."""
        about = {"release": os.uname().release, "python": sys.version.split()[0]}
        self.send(frames.HELLO, 0, json.dumps(about).encode())
        while True:
            for fd, events in self.wait():
                if fd == self.port:
                    if not self.serve_port(events):
                        return
                elif fd == self.wakeup:
                    os.read(fd, 4096)
            self.collect_children()
            self.kill_overdue()
            for channel in list(self.commands):
                self.move(channel)
            self.flush()

    def wait(self) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(self.wakeup, select.POLLIN)
        poll.register(self.port, select.POLLIN | (select.POLLOUT if self.outgoing else 0))
        deadlines = []
        for command in self.commands.values():
            if command.kill_at is not None:
                deadlines.append(command.kill_at)
            masks: dict[int, int] = {}
            if command.output_window > 0:
                masks = dict.fromkeys(command.outputs, select.POLLIN)
            if command.stdin is not None and command.input:
                masks[command.stdin] = masks.get(command.stdin, 0) | select.POLLOUT
            for other, mask in masks.items():
                poll.register(other, mask)
        timeout_ms = None if not deadlines else max(0.0, (min(deadlines) - time.monotonic()) * 1000 + 1)
        return poll.poll(timeout_ms)

    def serve_port(self, events: int) -> bool:
        if events & select.POLLIN:
            data = os.read(self.port, 65536)
            if not data:
                return False
            for kind, channel, payload in self.splitter.feed(data):
                self.handle(kind, channel, payload)
            return True
        return not events & (select.POLLHUP | select.POLLERR | select.POLLNVAL)

    def flush(self) -> None:
        while self.outgoing:
            try:
                written = os.write(self.port, self.outgoing[0][: frames.CHUNK_BYTES])
            except BlockingIOError:
                return
            if written < len(self.outgoing[0]):
                self.outgoing[0] = self.outgoing[0][written:]
            else:
                self.outgoing.popleft()

    def handle(self, kind: bytes, channel: int, payload: bytes) -> None:
        if kind == frames.SPAWN:
            self.start(channel, json.loads(payload))
            return
        command = self.commands.get(channel)
        if command is None:
            return  # it has just ended; the host does not know yet
        if kind == frames.INPUT:
            command.input.append(payload)
        elif kind == frames.INPUT_END:
            command.input_ended = True
        elif kind == frames.SIGNAL:
            command.send_signal(int(payload))
        elif kind == frames.RESIZE:
            if command.has_pty and command.stdin is not None:
                set_size(command.stdin, *json.loads(payload))
        elif kind == frames.GRANT_OUTPUT:
            command.output_window += int(payload)
        elif kind == frames.HANG_UP:
            command.output_window = 1 << 62  # what it still writes goes nowhere and must not hold it up
            command.send_signal(signal.SIGHUP)
            command.send_signal(signal.SIGCONT)
            command.kill_at = time.monotonic() + KILL_AFTER_S

    def start(self, channel: int, request: dict[str, Any]) -> None:
        try:
            self.commands[channel] = spawn(request)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            where = getattr(error, "filename", None) or request["argv"][0]
            why = f"could not start `{where}`: {getattr(error, 'strerror', None) or error}"
            self.send(frames.NOT_STARTED, channel, json.dumps([code, why]).encode())

    def collect_children(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for command in self.commands.values():
                if command.process.pid == pid and command.return_code is None:
                    command.return_code = os.waitstatus_to_exitcode(status)
                    command.process.returncode = command.return_code

    def kill_overdue(self) -> None:
        now = time.monotonic()
        for command in self.commands.values():
            if command.kill_at is not None and command.kill_at <= now:
                command.send_signal(signal.SIGKILL)
                command.kill_at = None

    def move(self, channel: int) -> None:
        command = self.commands[channel]
        # Looked at before the reading: what a command wrote before it ended is there to be read now.
        ended = command.return_code is not None
        self.feed_input(channel, command)
        quiet = True
        for fd in list(command.outputs):
            quiet = self.drain(channel, command, fd) and quiet
        # A background process may keep the pipe open for ever, so the end does not wait for end-of-file.
        if ended and quiet:
            for open_fd in {command.stdin, *command.outputs}:
                if open_fd is not None:
                    os.close(open_fd)
            self.send(frames.ENDED, channel, str(command.return_code).encode())
            del self.commands[channel]

    def feed_input(self, channel: int, command: Command) -> None:
        while command.stdin is not None and command.input:
            try:
                written = os.write(command.stdin, command.input[0])
            except BlockingIOError:
                return
            except OSError:  # the command reads no more: swallow, as its shell would see EPIPE
                written = len(command.input[0])
            rest = command.input[0][written:]
            if rest:
                command.input[0] = rest
            else:
                command.input.popleft()
            self.send(frames.GRANT_INPUT, channel, str(written).encode())
        if command.stdin is not None and command.input_ended and not command.has_pty:
            os.close(command.stdin)
            command.stdin = None

    def drain(self, channel: int, command: Command, fd: int) -> bool:
        """Read what there is, within the window; true when nothing more is there now."""
        while command.output_window > 0:
            try:
                data = os.read(fd, min(command.output_window, frames.CHUNK_BYTES))
            except BlockingIOError:
                return True
            except OSError:  # a PTY whose last writer is gone
                data = b""
            if not data:
                del command.outputs[fd]
                if fd != command.stdin:  # a PTY's one descriptor is closed with the command
                    os.close(fd)
                return True
            command.output_window -= len(data)
            self.send(command.outputs[fd], channel, data)
        return False


def main() -> None:
    """Process 1: open the port, serve it, switch off."""
    port = os.open(PORT, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Agent(port, reader).run()
    with open("/proc/sysrq-trigger", "w") as trigger:
        trigger.write("o")
    time.sleep(60)


if __name__ == "__main__":
    main()
