"""Which process is it, does it live, and which processes belong to a session. Reads /proc (proc(5))."""

from __future__ import annotations

import os
import signal

from pigeon.inside import SESSION_VARIABLE as SESSION_VARIABLE
from pigeon.procfs import boot_id as boot_id
from pigeon.procfs import is_running as is_running
from pigeon.procfs import parent_of as parent_of
from pigeon.procfs import start_ticks as start_ticks
from pigeon.procfs import stat_fields

QUESTION_VARIABLE = "PIGEON_QUESTION"
"""Set for the worker's own pigeon that answers a client: the question's session, which is no part of the answer."""

NET_RULES_VARIABLE = "PIGEON_NET_RULES"
"""Set for the same process: `Worker.net_rules`."""


def call_oneself(name: str) -> None:
    """The name that ps(1) and top(1) show for this process: at most 15 bytes (proc_pid_comm(5))."""
    try:
        fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, name.encode())
        finally:
            os.close(fd)
    except OSError:
        pass  # for people only


def session_of(pid: int) -> int | None:
    """The session id (setsid(2)) of a process that is not a zombie."""
    fields = stat_fields(pid)
    return int(fields[3]) if fields and fields[0] not in "ZX" else None


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


LAUNCH_VARIABLE = "PIGEON_LAUNCH"
"""The launch's token in the environment of its launcher, by which another process finds that."""


def launchers(token: str) -> list[int]:
    """Processes of this host, zombies excepted, that were started under a launch and lead a session (setsid(2)).

    What they have started themselves is theirs to end: a shell, for one, may fail while it reports a child's death.
    """
    mark = f"{LAUNCH_VARIABLE}={token}".encode()
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if _carries(pid, mark) and session_of(pid) == pid]


def session_members(leader: int) -> list[int]:
    """Processes in the session that `leader` leads, as a lost terminal would reach them."""
    return [int(n) for n in os.listdir("/proc") if n.isdigit() and session_of(int(n)) == leader]


def has_living_child(pid: int) -> bool:
    """Whether a child of that process runs, or is stopped: it is no zombie."""
    found = (stat_fields(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return any(fields is not None and int(fields[1]) == pid and fields[0] not in "ZX" for fields in found)


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
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False  # it ended meanwhile
    for fd in fds:
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}").endswith(name):
                return True
        except OSError:
            continue  # closed meanwhile
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
