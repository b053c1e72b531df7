"""What a process costs while it goes about its business: operations on the share, processor time, memory.

Operations are counted with strace, in a window of their own, since strace makes everything slower; processor time and
memory come from /proc, without touching the process.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time

from .drive import Env
from .lab import Child, Failed, await_condition

_OPENS = ("open", "openat", "openat2", "creat")
_CHANGES = (
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "symlink",
    "symlinkat",
)
_LOOKS = (
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "access",
    "faccessat",
    "faccessat2",
    "statfs",
    "readlink",
    "readlinkat",
    "utimensat",
)
_DATA = (
    "read",
    "pread64",
    "readv",
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "flock",
    "ftruncate",
)
_TRACED = ",".join("?" + call for call in (*_OPENS, *_CHANGES, *_LOOKS, *_DATA, "getdents64"))
_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)\)\s+=\s+(-?\d+)")
_RESUMED = re.compile(r"^(\d+)\s+<\.\.\. \w+ resumed>(.*)$")
_UNFINISHED = re.compile(r"^(\d+)\s+(\w+\(.*)<unfinished \.\.\.>$")


class Tally:
    """Operations on paths below a share. A visit: open…close, a listing, a rename, link, unlink or mkdir."""

    def __init__(self) -> None:
        self.opens = self.listings = self.changes = self.looks = self.data = self.fsyncs = 0
        self.by_pid: dict[int, int] = {}

    @property
    def visits(self) -> int:
        """What the issue's table counts."""
        return self.opens + self.listings + self.changes


def tally_of(trace: str, roots: tuple[str, ...]) -> Tally:
    """Count a trace written by `strace -f -y -o`.

    A listing counts apart from the open only if it is a repeated one of a directory that was kept open.
    """
    tally = Tally()
    listed: dict[
        tuple[str, str], bool
    ] = {}  # descriptor -> whether it was listed to its end since it was opened
    for pid, call, args, result in _calls(trace):
        if not any(root in args for root in roots):
            continue
        visit = False
        if call in _OPENS:
            tally.opens += 1
            visit = True
            listed.pop((pid, str(result)), None)
        elif call == "getdents64":
            descriptor = (pid, args.partition("<")[0])
            if listed.get(descriptor):
                tally.listings += 1
                visit = True
            listed[descriptor] = result == 0
        elif call in _CHANGES:
            tally.changes += 1
            visit = True
        elif call in _LOOKS:
            tally.looks += "AT_EMPTY_PATH" not in args  # fstat of an open file asks nobody
        else:
            tally.data += 1
            tally.fsyncs += call in ("fsync", "fdatasync")
        if visit:
            tally.by_pid[int(pid)] = tally.by_pid.get(int(pid), 0) + 1
    return tally


def _calls(trace: str) -> list[tuple[str, str, str, int]]:
    calls: list[tuple[str, str, str, int]] = []
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = unfinished[2]
            continue
        if resumed := _RESUMED.match(line):
            line = f"{resumed[1]} {begun.pop(resumed[1], '')}{resumed[2]}"
        if match := _LINE.match(line):
            calls.append((match[1], match[2], match[3], int(match[4])))
    return calls


class Strace:
    """strace attached to running processes, or around a command line; `stop()` gives the tally."""

    def __init__(self, env: Env, log: str, roots: tuple[str, ...], pids: list[int]) -> None:
        if shutil.which("strace") is None:
            raise Failed("strace is not installed")
        self._roots = roots
        self._trace, self._log = log + ".trace", log + ".strace"
        for path in (self._trace, self._log):
            open(path, "w").close()
        attach = [word for pid in pids for word in ("-p", str(pid))]
        argv = [*strace_prefix(self._trace), *attach]
        self.child = Child(
            argv,
            env,
            "/",
            [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, self._log, os.O_WRONLY | os.O_APPEND, 0o600),
            ],
            own_session=True,
        )
        await_condition(lambda: self._attached(len(pids)), 10, "strace attached")

    def _attached(self, count: int) -> bool:
        with open(self._log, encoding="utf-8", errors="replace") as file:
            said = file.read()
        if self.child.ended():
            raise Failed(f"strace: {said.strip()[-200:]}")
        return said.count(" attached") >= count

    def stop(self) -> Tally:
        """Let the processes go."""
        self.child.signal(signal.SIGINT)
        try:
            self.child.wait(10)
        except Failed:
            pass
        return read_trace(self._trace, self._roots)


def strace_prefix(trace: str) -> list[str]:
    """The words before the command or the `-p` of a counting strace."""
    return ["strace", "-f", "-y", "-s", "1024", "-e", f"trace={_TRACED}", "-o", trace]


def read_trace(path: str, roots: tuple[str, ...]) -> Tally:
    """The tally of a finished trace."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return tally_of(file.read(), roots)


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                    found.extend(int(word) for word in file.read().split())
        except OSError:
            continue
    return found


def own_processes(pid: int) -> list[int]:
    """Those of the family that run the program of `pid` itself: forks of it, not the commands it started."""
    mine = _command_line(pid)
    return [member for member in family(pid) if _command_line(member) == mine]


def _command_line(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b"?%d" % pid


def cpu_seconds(pids: list[int]) -> float:
    """Processor time so far, from the kernel's nanoseconds where it has them: ticks of 10 ms miss short wake-ups."""
    total = 0.0
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            total += _ticks(pid)
    return total


def _ticks(pid: int, fields: int = 2) -> float:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(word) for word in words[11 : 11 + fields]) / os.sysconf("SC_CLK_TCK")


def cpu_with_ended_children_s(pid: int) -> float:
    """Processor time of a process and of all descendants that were waited for; in ticks of 10 ms."""
    return _ticks(pid, fields=4)


def cpu_percent(pids: list[int], seconds: float) -> float:
    """Percent of one core that the processes use over the next `seconds`."""
    before, start = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / (time.monotonic() - start) * 100


def pss_mb(pid: int) -> float:
    """Proportional set size: shared pages are divided among those that map them."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) / 1024
    except OSError as error:
        raise Failed(f"memory of process {pid} cannot be read: {error.strerror}") from error
    return 0.0
