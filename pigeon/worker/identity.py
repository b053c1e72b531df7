"""Which process is it, does it live, and which processes belong to a session. Reads /proc (proc(5))."""

from __future__ import annotations

import os
import signal

SESSION_VARIABLE = "PIGEON_SESSION"

QUESTION_VARIABLE = "PIGEON_QUESTION"
"""Set for the worker's own pigeon that answers a client: the question's session, which is no part of the answer."""


def boot_id() -> str:
    """Names this boot of this host together with the pid namespace in which pids are meant."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown"


def call_oneself(name: str) -> None:
    """The name that ps(1) and top(1) show for this process: at most 15 bytes (proc_pid_comm(5))."""
    try:
        with open("/proc/self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass  # for people only


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (field 22 of stat); None if there is none."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat behind the command's name, which may itself hold spaces and brackets."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rfind(b")") + 2 :].decode("ascii", "replace").split()


def session_of(pid: int) -> int | None:
    """The session id (setsid(2)) of a process that is not a zombie."""
    fields = _stat_fields(pid)
    return int(fields[3]) if fields and fields[0] not in "ZX" else None


def parent_of(pid: int) -> int | None:
    """The process whose child it is now; None if there is none such."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def is_running(pid: int, started: int | None) -> bool:
    """Whether `pid` is still the process that started at `started` ticks, and not a zombie."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] not in "ZX" and (started is None or int(fields[19]) == started)


def processes_of(session_id: str, leader: int | None) -> list[int]:
    """Processes of a command: those in its leader's session and those that carry its PIGEON_SESSION."""
    mark = f"{SESSION_VARIABLE}={session_id}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        pid = int(name)
        if pid == os.getpid():
            continue
        session = session_of(pid)
        if session is None:
            continue
        if (leader is not None and session == leader) or _carries(pid, mark):
            found.append(pid)
    return found


def session_members(leader: int) -> list[int]:
    """Processes in the session that `leader` leads, as a lost terminal would reach them."""
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and session_of(int(n)) == leader]


def carries(pid: int, session_id: str) -> bool:
    """Whether the process was given the session's mark."""
    return _carries(pid, f"{SESSION_VARIABLE}={session_id}".encode())


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def has_open(pid: int, path: str) -> bool:
    """Whether the process has the lock file `path` open; its last part is name enough, and links may lead to it."""
    name = f"/{os.path.basename(path)}"
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{fd}").endswith(name):
                return True
    except OSError:
        pass  # it ended meanwhile
    return False


def send(pids: list[int], number: int) -> None:
    """A signal to each; one that has gone meanwhile is no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def reset_signals() -> None:
    """Default dispositions and an empty mask, as a program expects them; Python ignores SIGPIPE and SIGXFSZ."""
    for number in signal.Signals:
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            try:
                signal.signal(number, signal.SIG_DFL)
            except (OSError, ValueError):
                pass
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
