"""Who is there: the processes of a run, by their part in it, found in /proc by the mark in their environment."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import NamedTuple

from tests.helpers.processes import MARK, is_standby


class Process(NamedTuple):
    """One living process. `role`: scheduler, its standby, runner, leader (of a terminal's session, above the command),
    guardian, pump, command, other."""

    pid: int
    parent: int
    role: str
    words: str


def _read(pid: int | str, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    text = _read(pid, "stat")
    fields = text[text.rfind(b")") + 2 :].split()
    return int(fields[1]) if fields else 0


def find(mark: str, schedulers: Collection[int], guardians: Collection[int]) -> list[Process]:
    """Everybody with the mark but this process, by pid."""
    found = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid != os.getpid() and _is_marked(pid, mark):
            words = _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "backslashreplace")
            found.append(Process(pid, _parent(pid), _role(pid, words, schedulers, guardians), words))
    return found


def _is_marked(pid: int, mark: str) -> bool:
    return f"{MARK}={mark}".encode() in _read(pid, "environ").split(b"\0")


_PIGEON = (" -m pigeon", "/bin/pigeon")
"""How a command line has it, as a module and as it is installed."""


def _role(pid: int, words: str, schedulers: Collection[int], guardians: Collection[int]) -> str:
    if pid in schedulers:
        return "scheduler"
    if pid in guardians:
        return "guardian"
    if any(f"{way} worker" in words for way in _PIGEON):
        if _read(pid, "comm").startswith(b"pigeon leader"):
            return "leader"
        return "standby" if is_standby(pid, schedulers) else "runner"
    if any(f"{way} " in words for way in _PIGEON):
        return "pump"
    return "command" if "/bin/job " in words and "bash -lc" not in words else "other"


def send(pid: int, mark: str, number: int) -> bool:
    """A signal to a process after making sure that it is one of ours. False if it has ended meanwhile."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not _is_marked(pid, mark):
            return False
        signal.pidfd_send_signal(fd, number)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    text = _read(pid, "stat")
    return text[text.rfind(b")") + 2 :][:1] == b"T"
