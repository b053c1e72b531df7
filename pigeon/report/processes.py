"""The processes of a session on this host, as /proc shows them (proc(5))."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pigeon import clock
from pigeon.wire.files import status_of
from pigeon.worker import identity

SAMPLE_S = 0.2


@dataclass
class Process:
    """One process. `cpu_s`: user and system time so far; `is_busy`: it used the CPU while we watched."""

    pid: int
    parent: int
    state: str
    wait_channel: str
    cpu_s: float
    command: str
    is_busy: bool = False


def of_session(session_id: str, leader: int | None) -> list[Process]:
    """The session's processes, parents before children; watched for a moment to see who computes."""
    before = {p.pid: p for p in map(_read, identity.processes_of(session_id, leader)) if p is not None}
    if before:
        clock.sleep(SAMPLE_S)
    found = []
    for pid, old in before.items():
        new = _read(pid)
        if new is not None:
            new.is_busy = new.cpu_s > old.cpu_s
            found.append(new)
    return sorted(found, key=lambda p: p.pid)


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].decode("ascii", "replace").split()
    ticks = os.sysconf("SC_CLK_TCK")
    name = text[text.find(b"(") + 1 : text.rfind(b")")]
    command = " ".join(os.fsdecode(w) for w in words) or f"[{os.fsdecode(name)}]"
    cpu_s = (int(fields[11]) + int(fields[12])) / ticks
    return Process(pid, int(fields[1]), fields[0], _wait_channel(pid), cpu_s, command)


def _wait_channel(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/wchan") as file:
            channel = file.read().strip()
    except OSError:
        return ""
    return "" if channel == "0" else channel


def state_of(pid: int, started: int | None) -> str:
    """Letter of a process that started at `started` ticks; `-` if it is gone."""
    if not identity.is_running(pid, started):
        return "-"
    process = _read(pid)
    return process.state if process is not None else "-"


def flock_holder(path: str) -> int | None:
    """The pid, on this host, that took the flock of a file; it may have ended, and left the lock to its children."""
    try:
        found = status_of(path)
        with open("/proc/locks") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == place and words[4].isdecimal():
            return int(words[4])
    return None


def tree_lines(processes: list[Process]) -> list[str]:
    """One line for each, indented below its parent."""
    pids = {p.pid for p in processes}
    lines: list[str] = []

    def show(parent: int | None, depth: int) -> None:
        for p in processes:
            if (p.parent if p.parent in pids else None) == parent:
                busy = ", busy" if p.is_busy else ""
                waits = f" in {p.wait_channel}" if p.wait_channel and not p.is_busy else ""
                lines.append(
                    f"{'  ' * depth}{p.pid} {p.state}{waits}, {p.cpu_s:.2f} s CPU{busy}: {p.command}"
                )
                show(p.pid, depth + 1)

    show(None, 0)
    return lines
