"""Whether a command waits for what is typed, so that its client takes the keyboard no sooner than a program here would.

Two facts tell: the settings of the command's terminal are not as they were (a password, a pager, an editor), or one of
the threads of its processes sits in a read(2), poll(2), select(2) or epoll_wait(2) of it, which proc(5) shows to an
ancestor. Where that cannot be had (another kernel or machine, or one that shows it to nobody), the command is taken to
wait from the beginning: rather keys taken too early than a command that nobody can answer.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios
from typing import Any

from pigeon import clock

_READS = {
    "x86_64": {
        **{0: "read", 19: "read", 7: "poll", 271: "poll", 23: "select", 270: "select"},
        **{232: "epoll", 281: "epoll", 441: "epoll"},
    },
    "aarch64": {63: "read", 65: "read", 72: "select", 73: "poll", 22: "epoll", 441: "epoll"},
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

_SHARE = 20
"""A look at a command of many threads is followed by a pause of so many times what it took."""


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
        self._pause_s = 0.0
        self._calls = _READS.get(os.uname().machine) if _can_be_told(leader) else None

    def due(self, now: float) -> float | None:
        """Seconds until it should be looked at; None if there is nothing more to learn that output would not tell."""
        if self.is_wanted:
            return None
        spacing = _EAGER_LOOKS_S if now - self._began < 10 else LOOK_S
        return max(0.0, self._looked_at + max(spacing, self._pause_s) - now)

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
                began = clock.monotonic()
                self.is_wanted = self._is_read()
                self._pause_s = (clock.monotonic() - began) * _SHARE
        return self.is_wanted and before != (True, self.raw_output)

    def _is_read(self) -> bool:
        if self._calls is None:
            return True
        pids = _children(self._leader, self._leader)
        while pids:
            pid = pids.pop()
            for thread in _threads(pid):
                if self._waits(pid, thread):
                    return True
                pids += _children(pid, thread)
        return False

    def _waits(self, pid: int, thread: int) -> bool:
        """Whether the thread sits in a system call that waits for the terminal."""
        assert self._calls is not None
        try:
            with open(f"/proc/{pid}/task/{thread}/syscall", "rb", buffering=0) as file:
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
            elif kind == "select":
                waiting = _selected(pid, first, second)
            else:
                waiting = _watched(pid, first)
            return any(self._is_terminal(pid, fd) for fd in waiting)
        except PermissionError:
            return _is_ours(pid)  # else it is another user's now (a password, which changes the settings)
        except (OSError, ValueError):
            return False  # it has ended

    def _is_terminal(self, pid: int, fd: int) -> bool:
        try:
            return os.readlink(f"/proc/{pid}/fd/{fd}") in (self._path, "/dev/tty")
        except OSError:
            return False


def _number_of(master: int) -> int:
    return int.from_bytes(fcntl.ioctl(master, TIOCGPTN, bytes(4)), sys.byteorder)


def _can_be_told(leader: int) -> bool:
    """Whether this kernel tells of children (CONFIG_PROC_CHILDREN) and of system calls at all."""
    return os.access(f"/proc/{leader}/task/{leader}/children", os.R_OK) and os.path.exists(
        "/proc/self/syscall"
    )


def _is_ours(pid: int) -> bool:
    """Whether the kernel hides the process though it is of this very user, as with kernel.yama.ptrace_scope 2 or 3."""
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except OSError:
        return False


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def _children(pid: int, thread: int) -> list[int]:
    """Those that this thread has started."""
    try:
        with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
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


def _watched(pid: int, epoll: int) -> list[int]:
    """What is watched for input by that descriptor (proc_pid_fdinfo(5))."""
    with open(f"/proc/{pid}/fdinfo/{epoll}", "rb", buffering=0) as file:
        lines = [line.split() for line in file.read().splitlines() if line.startswith(b"tfd:")]
    return [int(words[1]) for words in lines if int(words[3], 16) & 1]
