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
    group: int
    role: str
    words: str


def _read(pid: int | str, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _family(pid: int) -> tuple[int, int]:
    """Parent and process group; 0 if it has ended."""
    text = _read(pid, "stat")
    fields = text[text.rfind(b")") + 2 :].split()
    return (int(fields[1]), int(fields[2])) if fields else (0, 0)


def find(mark: str, schedulers: Collection[int]) -> list[Process]:
    """Everybody with the mark but this process, by pid."""
    words = {}
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid != os.getpid() and _is_marked(pid, mark):
            words[pid] = _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "backslashreplace")
    found = []
    for pid, line in words.items():
        parent, group = _family(pid)
        role = _role(pid, line, schedulers)
        if role == "guardian" and _is_client(words.get(parent, "")):
            role = "pump"
        found.append(Process(pid, parent, group, role, line))
    return found


def _is_marked(pid: int, mark: str) -> bool:
    return f"{MARK}={mark}".encode() in _read(pid, "environ").split(b"\0")


_PIGEON = (" -m pigeon", "/bin/pigeon")
"""How a command line has it, as a module and as it is installed."""


def _is_client(words: str) -> bool:
    """As far as the words tell: an interpreter that runs pigeon, and no worker."""
    program = words.partition(" ")[0].rpartition("/")[2]
    is_pigeon = any(f"{way} " in words for way in _PIGEON)
    return program.startswith("python") and is_pigeon and not any(f"{way} worker" in words for way in _PIGEON)


def _role(pid: int, words: str, schedulers: Collection[int]) -> str:
    if pid in schedulers:
        return "scheduler"
    if any(f"{way} worker" in words for way in _PIGEON):
        if _read(pid, "comm").startswith(b"pigeon leader"):
            return "leader"
        return "standby" if is_standby(pid, schedulers) else "runner"
    if _is_client(words):
        return "guardian"
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
