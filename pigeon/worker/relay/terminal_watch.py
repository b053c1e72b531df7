"""Whether a command waits for what is typed, so that its client takes the keyboard no sooner than a program here would.

Two facts tell: the settings of the command's terminal are not as they were (a password, a pager, an editor), or one of
its processes sits in a read(2), poll(2) or select(2) of it, which proc(5) shows to an ancestor. Where neither can be
had (another kernel, or machine), it is taken to wait from the beginning.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from typing import Any

_READS = {
    "x86_64": {0: "read", 7: "poll", 23: "select", 270: "select", 271: "poll"},
    "aarch64": {63: "read", 72: "select", 73: "poll"},
}
"""Machine -> number of a system call -> what kind of waiting it is (syscalls(2))."""

TIOCGPTN = 0x80045430
"""ioctl_tty(2); os.ptsname came with Python 3.13."""

_POLLFD = struct.Struct("ihh")
_MANY = 1024
_EAGER_LOOKS_S = 0.05
"""Between two looks at the processes; each costs a few files of proc(5)."""

LOOK_S = 0.3
"""The same for a command that has run for a while."""


class TerminalWatch:
    """One command's. `leader`: of its session; `master`: our end of its terminal; `now`: monotonic seconds."""

    def __init__(self, leader: int, master: int, now: float) -> None:
        self.is_wanted = False
        """The command waits for what is typed, or has at some time."""
        self.raw_output = False
        """Its terminal passes on what is written to it as it is."""
        self._leader = leader
        self._master = master
        self._path = f"/dev/pts/{_number_of(master)}"
        self._settings: list[Any] | None = None
        self._began = self._looked_at = now
        self._calls = _READS.get(os.uname().machine)

    def due(self, now: float) -> float | None:
        """Seconds until it should be looked at; None if there is nothing more to learn that output would not tell."""
        if self.is_wanted:
            return None
        spacing = _EAGER_LOOKS_S if now - self._began < 10 else LOOK_S
        return max(0.0, self._looked_at + spacing - now)

    def look(self, now: float) -> bool:
        """Whether there is something new to be told."""
        before = self.is_wanted, self.raw_output
        try:
            settings = termios.tcgetattr(self._master)
        except termios.error:
            return False
        self.raw_output = not settings[1] & termios.OPOST
        if self._settings is None:
            self._settings = settings
        if not self.is_wanted:
            self.is_wanted = settings != self._settings
            if not self.is_wanted and self.due(now) == 0.0:
                self._looked_at = now
                self.is_wanted = self._is_read()
        return self.is_wanted and before != (True, self.raw_output)

    def _is_read(self) -> bool:
        if self._calls is None:
            return True
        pids = _children(self._leader)
        while pids:
            pid = pids.pop()
            if self._waits(pid):
                return True
            pids += _children(pid)
        return False

    def _waits(self, pid: int) -> bool:
        """Whether the process sits in a system call that waits for the terminal."""
        assert self._calls is not None
        try:
            with open(f"/proc/{pid}/syscall", "rb", buffering=0) as file:
                words = file.read().split()
            if len(words) < 4:
                return False  # it runs
            kind = self._calls.get(int(words[0]))
            if kind is None:
                return False
            first, second = int(words[1], 16), int(words[2], 16)
            if kind == "read":
                waiting = [first]
            elif kind == "poll":
                waiting = _polled(pid, first, second)
            else:
                waiting = _selected(pid, first, second)
            return any(self._is_terminal(pid, fd) for fd in waiting)
        except (OSError, ValueError):
            return False  # it has ended, or is another user's now (a password, which changes the settings)

    def _is_terminal(self, pid: int, fd: int) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}") in (self._path, "/dev/tty")
        except OSError:
            return False


def _number_of(master: int) -> int:
    return int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), sys.byteorder)


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            return [int(word) for word in file.read().split()][:_MANY]
    except OSError:
        return []


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        file.seek(address)
        return file.read(size)


def _polled(pid: int, address: int, count: int) -> list[int]:
    data = _memory(pid, address, min(count, _MANY) * _POLLFD.size)
    return [fd for fd, events, _ in _POLLFD.iter_unpack(data) if events & 1]


def _selected(pid: int, count: int, address: int) -> list[int]:
    if not address:
        return []
    bits = int.from_bytes(_memory(pid, address, (min(count, _MANY) + 63) // 64 * 8), "little")
    return [fd for fd in range(min(count, _MANY)) if bits >> fd & 1]
