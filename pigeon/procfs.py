"""Processes of this host as proc(5) shows them: which boot, who started when, who is whose parent. Light."""

from __future__ import annotations

import os


def content(path: str) -> bytes:
    """The whole of a file of the kernel's. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = os.read(fd, 8192)
        while piece:  # a read may bring less than is left
            piece = os.read(fd, 65536)
            data += piece
        return data
    finally:
        os.close(fd)


def boot_id() -> str:
    """Names this boot of this host together with the pid namespace in which pids are meant; "unknown" without /proc."""
    try:
        boot = content("/proc/sys/kernel/random/boot_id").decode().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown"


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat behind the command's name, which may itself hold spaces and brackets."""
    try:
        text = content(f"/proc/{pid}/stat")
    except OSError:
        return None
    return text[text.rfind(b")") + 2 :].decode("ascii", "replace").split()


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (field 22 of stat); None if there is none."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else None


def parent_of(pid: int) -> int | None:
    """The process whose child it is now; None if there is none such."""
    fields = stat_fields(pid)
    return int(fields[1]) if fields else None


def is_running(pid: int, started: int | None) -> bool:
    """Whether `pid` is still the process that started at `started` ticks, and not a zombie."""
    fields = stat_fields(pid)
    return fields is not None and fields[0] not in "ZX" and (started is None or int(fields[19]) == started)


def are_gone(boot: str, processes: list[tuple[int, int]]) -> bool:
    """Whether all of these (pid, start in ticks) have ended, beyond doubt: they were of this boot and pid namespace.
    There have to be some."""
    if not processes or boot != boot_id():
        return False
    return not any(is_running(pid, start) for pid, start in processes)


def name_of(pid: int) -> str:
    """What the process calls itself (proc_pid_comm(5)); "" if there is none."""
    try:
        return content(f"/proc/{pid}/comm").decode("utf-8", "backslashreplace").rstrip("\n")
    except OSError:
        return ""
