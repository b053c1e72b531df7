"""The command as a process that has been started (spawn.py): its descriptors, its terminal's keys, signals, its end."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios

from pigeon.worker import identity
from pigeon.worker.relay import command_tty
from pigeon.worker.relay.leader_watch import LeaderWatch

TIOCGPTPEER = 0x5441
"""ioctl_tty(2): opens the other side of a PTY, in whatever mount namespace; not in `termios` before Python 3.13."""

STUCK_BYTES = 2048
"""Half of what the line discipline holds: less is surely not in the way of a key."""


class Command:
    """A started command: its leader's pid, a pidfd, and the descriptors of its input and outputs.

    `states`: where the leader of a terminal's session tells what becomes of the command (session_leader.py); None on
    pipes.
    """

    def __init__(
        self,
        pid: int,
        stdin: int | None,
        outputs: dict[int, str],
        *,
        master: int | None,
        keep: object,
        states: int | None = None,
    ) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.stdin = stdin
        self.outputs = outputs
        self.master = master
        self.leader = LeaderWatch(pid, states)
        self._slave = self._open_slave() if master is not None else None
        self._keep = keep
        self._return_code: int | None = None
        for fd in (stdin, states, master, *outputs):
            if fd is not None:
                os.set_blocking(fd, False)

    @property
    def types_input(self) -> bool:
        """Its stdin is its terminal."""
        return self.stdin is not None and self.stdin == self.master

    @property
    def has_pipes(self) -> bool:
        """Some of its output comes by pipes."""
        return any(fd != self.master for fd in self.outputs)

    def try_wait(self) -> int | None:
        """The return code as Python gives it (`-n` for signal n) once the command has ended."""
        if self._return_code is None and self.leader.is_all_over():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if not pid:
                return None
            self._close_slave()
            self._return_code = os.waitstatus_to_exitcode(status)
        return self._return_code

    def resize(self, cols: int, rows: int, xpixel: int = 0, ypixel: int = 0) -> None:
        """Set the window size; the kernel sends SIGWINCH if it changed."""
        if self.master is not None:
            command_tty.set_window(self.master, cols, rows, xpixel, ypixel)

    def foreground(self) -> int:
        """The process group that a key's signal would reach: the terminal's foreground group, or the command's own."""
        if self.master is not None:
            try:
                group = os.tcgetpgrp(self.master)
                if group > 0:
                    return group
            except OSError:
                pass  # nobody has the terminal any more
        return self.pid

    def send_signal(self, number: int) -> None:
        """A signal to the foreground group, as the terminal's keys would send it."""
        try:
            if not self._is_anothers():
                os.killpg(self.foreground(), number)
        except (ProcessLookupError, PermissionError):
            pass

    def hang_up(self, numbers: tuple[signal.Signals, ...]) -> None:
        """Signals to every process of the command's session, as a lost terminal reaches them."""
        for number in numbers:
            if not self._is_anothers():
                identity.send(self.leader.spared(identity.session_members(self.pid)), number)
        if self._return_code is None:
            self.leader.wake()

    def kill_all(self, session_id: str) -> None:
        """SIGKILL for whatever the command has started, in whichever process group or session it is by now."""
        leader = (
            self.pid if self._return_code is None else None
        )  # the number may be another's once it is reaped
        identity.send(self.leader.spared(identity.processes_of(session_id, leader)), signal.SIGKILL)
        if self._return_code is None:
            self.leader.wake()

    def _is_anothers(self) -> bool:
        """The command's number is a stranger's by now: the kernel gives that of a session with members to nobody."""
        return self._return_code is not None and os.path.exists(f"/proc/{self.pid}")

    def interrupt_keys(self) -> dict[int, int]:
        """Key byte -> signal, for the keys that interrupt now; empty unless the terminal has ISIG on."""
        if self.master is None:
            return {}
        attributes = termios.tcgetattr(self.master)
        if not attributes[3] & termios.ISIG:
            return {}
        keys = (
            (termios.VINTR, signal.SIGINT),
            (termios.VQUIT, signal.SIGQUIT),
            (termios.VSUSP, signal.SIGTSTP),
        )
        return {attributes[6][index][0]: number for index, number in keys if attributes[6][index] != b"\0"}

    def holds_input(self) -> bool:
        """Whether the terminal holds so much input that has not been read that a key may be stuck behind it.

        What the line discipline cannot take (4095 bytes) waits before it, and a key behind that does nothing.
        """
        if self._slave is None:
            return False
        try:
            waiting = fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0")
        except OSError:
            return False
        return int.from_bytes(waiting, sys.byteorder) >= STUCK_BYTES

    def flush_terminal_input(self) -> bool:
        """Drop what was typed and not read, as a terminal does for an interrupting key. False with NOFLSH set."""
        if self._slave is None:
            return False
        try:
            if termios.tcgetattr(self._slave)[3] & termios.NOFLSH:
                return False
            termios.tcflush(self._slave, termios.TCIFLUSH)
        except termios.error:
            return False
        return True

    def _open_slave(self) -> int | None:
        """The terminal's other side, held open for as long as the command lives.

        A command that has closed its terminal may open it again (/dev/tty), and most close it a moment before they
        end. Without this, reading would fail then as if it had ended.
        """
        assert self.master is not None
        try:
            return fcntl.ioctl(self.master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return None  # Linux before 4.13

    def _close_slave(self) -> None:
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None

    def end_of_input_keys(self) -> bytes:
        """What to type for the end of the input: nothing in raw mode, VEOF in canonical mode."""
        if self.master is None:
            return b""
        attributes = termios.tcgetattr(self.master)
        if not attributes[3] & termios.ICANON:
            return b""
        return bytes(attributes[6][termios.VEOF])

    def close_stdin(self) -> None:
        """End of file on the command's input pipe."""
        if self.stdin is not None and not self.types_input:
            os.close(self.stdin)
        self.stdin = None

    def close_output(self, fd: int) -> None:
        """Stop reading an output; the command gets SIGPIPE (pipe) or SIGHUP (terminal) if it is still there."""
        del self.outputs[fd]
        if self.stdin == fd:
            self.stdin = None
        if self.master == fd:
            self._close_slave()
            self.master = None  # its number may soon be another file's
        os.close(fd)
