"""A command that is lent a network: the process that the shell waits for, and the front, whose child the command is.

    shell ── keeper ── front ── command
                         └───── client of pigeon, one for each session

The keeper seems to be the command (mirror.py). The front has listeners, sessions and the catch. Once it has forked the
command it leaves the job's process group, so that what is sent to the job does not reach it, and its session: a parent
in another group of the session would count for job control, and when the command ended the kernel would hang the whole
group up, as one that has lost its shell, if a member of it was stopped (setpgid(2), _exit(2)).

If the front dies, the command becomes the keeper's child (it is a subreaper), and the keeper, which holds the filter's
descriptor, too, lets every connection go on: those within this host and its cluster work as before. If the keeper dies,
the front goes on. Without either, connect(2) would fail (ENOSYS).
"""

from __future__ import annotations

import array
import json
import os
import select
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

from pigeon.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_PIGEON
from pigeon.net.catch import kernel
from pigeon.net.near.mirror import Dispositions, Signals, end_like, passes_on, stop_like
from pigeon.printing import log


class Keeper:
    """The process that the shell waits for. `front(report)` runs in a child, and says by `report` what happens."""

    def __init__(self, front: Callable[[Report], None]) -> None:
        kernel.become_subreaper()
        self._signals = Signals()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._command = 0
        self._status: int | None = None
        self._failed: int | None = None
        self._listener = -1
        self._pending: list[int] = []
        self._front = os.fork()
        if self._front == 0:
            code = EXIT_PIGEON
            try:
                mine.close()
                os.close(self._signals.fd)
                front(Report(theirs))
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        self._link: socket.socket | None = mine

    def run(self) -> int:
        """The command's exit code, or its very end. 255 where the front died before it could start it."""
        poll = select.poll()
        poll.register(self._signals.fd, select.POLLIN)
        assert self._link is not None
        poll.register(self._link, select.POLLIN)
        while self._status is None:
            for fd, events in poll.poll():
                if fd == self._signals.fd:
                    self._signalled()
                elif self._link is not None and fd == self._link.fileno():
                    if not self._hear():
                        poll.unregister(fd)
                        self._link.close()
                        self._link = None
                        if self._listener >= 0:
                            poll.register(self._listener, select.POLLIN)
                        if not self._command:
                            return EXIT_PIGEON if self._failed is None else self._failed
                        self._reap()
                elif not self._let_go_on(events):
                    poll.unregister(fd)
        if self._link is None and self._listener >= 0:
            _let_orphans_go_on(self._listener)
        return end_like(self._status)

    def _hear(self) -> bool:
        """One message of the front's. False: it has gone."""
        assert self._link is not None
        try:
            data, ancillary, _, _ = self._link.recvmsg(4096, socket.CMSG_SPACE(4))
        except OSError:
            return False
        if not data:
            return False
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array.array("i")
                descriptors.frombytes(payload[: descriptors.itemsize])
                self._listener = descriptors[0]
        message = json.loads(data)
        if "command" in message:
            self._command = message["command"]
            for number in self._pending:
                self._send(number)
        if "stopped" in message:
            stop_like(message["stopped"])
        if "failed" in message:
            self._failed = message["failed"]
        if "ended" in message:
            self._status = message["ended"]
        return True

    def _signalled(self) -> None:
        for number, from_kernel in self._signals.take():
            if number == signal.SIGCHLD and self._link is None:
                self._reap()
            elif passes_on(number, from_kernel=from_kernel):
                if self._command:
                    self._send(number)
                else:
                    self._pending.append(number)

    def _send(self, number: int) -> None:
        try:
            os.kill(self._command, number)
        except OSError:
            pass  # it has just ended

    # Without a front

    def _reap(self) -> None:
        """The command is this process's child now."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                if self._status is None:
                    self._status = EXIT_PIGEON << 8  # it ended with the front, and nobody knows how
                return
            if pid == 0:
                return
            if pid != self._command:
                continue
            if os.WIFSTOPPED(status):
                stop_like(os.WSTOPSIG(status))
            else:
                self._status = status

    def _let_go_on(self, events: int) -> bool:
        if events & select.POLLIN:
            question = kernel.receive(self._listener)
            if question is not None:
                kernel.go_on(self._listener, question)
            return True
        return False


def _let_orphans_go_on(listener: int) -> None:
    """What the command has left running may connect as long as it lives, though this process ends."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    if any(events & select.POLLHUP for _, events in poll.poll(0)) or os.fork() != 0:
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        while not any(events & select.POLLHUP for _, events in poll.poll()):
            question = kernel.receive(listener)
            if question is not None:
                kernel.go_on(listener, question)
    finally:
        os._exit(0)


class Report:
    """What the front tells its keeper, which may have died."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def _send(self, message: Mapping[str, int], descriptor: int | None = None) -> None:
        data = json.dumps(message).encode()
        try:
            if descriptor is None:
                self._link.send(data)
            else:
                socket.send_fds(self._link, [data], [descriptor])
        except OSError:
            pass

    def started(self, pid: int, listener: int | None) -> None:
        """The command is there, and so is its filter."""
        self._send({"command": pid}, listener)

    def failed(self, code: int) -> None:
        """No command will be started; this process's exit code."""
        self._send({"failed": code})

    def stopped(self, number: int) -> None:
        """The command has been stopped by this signal."""
        self._send({"stopped": number})

    def ended(self, status: int) -> None:
        """The command has ended with this wait status."""
        self._send({"ended": status})


class Start:
    """A command, forked and not yet executed: it waits to be told whether to install the filter.

    The front looks meanwhile whether the kernel lets it look into the child.
    """

    def __init__(
        self, argv: Sequence[str], envs: Sequence[Mapping[str, str]], dispositions: Dispositions
    ) -> None:
        """`envs`: without and with the filter. It stays in the process group that this process leaves."""
        mine, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                mine.close()
                self._child(theirs, argv, envs, dispositions)
            finally:
                os._exit(EXIT_PIGEON)
        os.setsid()
        theirs.close()
        self._link = mine

    @staticmethod
    def _child(
        link: socket.socket,
        argv: Sequence[str],
        envs: Sequence[Mapping[str, str]],
        dispositions: Dispositions,
    ) -> None:
        is_filtered = False
        if link.recv(1) == b"f":
            numbers = kernel.machine()
            assert numbers is not None
            try:
                listener = kernel.install(numbers)
                socket.send_fds(link, [b"f"], [listener])
                os.close(listener)
                is_filtered = True
            except OSError as error:
                link.send(b"%d" % (error.errno or 0))
            link.recv(1)
        dispositions.restore()
        try:
            os.execvpe(argv[0], list(argv), dict(envs[is_filtered]))
        except OSError as error:
            missing = shutil.which(argv[0], mode=os.F_OK, path=envs[is_filtered].get("PATH")) is None
            why = "no such program" if missing else error.strerror
            log(f"pigeon: `{argv[0]}` cannot be executed: {why}")
            os._exit(EXIT_NOT_FOUND if missing else EXIT_NOT_EXECUTABLE)

    def filtered(self) -> tuple[int, str]:
        """Have it install the filter: (descriptor, ""), or (-1, why not)."""
        numbers = kernel.machine()
        if numbers is None:
            return -1, f"not written for {os.uname().machine}"
        if not kernel.can_ask(numbers):
            return -1, "this kernel has no seccomp notifications (Linux 5.6 has)"
        try:
            kernel.probe(numbers, self.pid, 0)
        except OSError as error:
            return -1, f"the kernel does not let one look into one's own child: {error.strerror}"
        self._link.send(b"f")
        data, descriptors, _, _ = socket.recv_fds(self._link, 16, 1)
        if descriptors:
            return descriptors[0], ""
        return -1, os.strerror(int(data or b"0"))

    def execute(self) -> None:
        """Now."""
        try:
            self._link.send(b"x")
        except OSError:
            pass  # somebody has killed it
        self._link.close()
