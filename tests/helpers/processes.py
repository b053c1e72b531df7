"""Real processes with an owner: each is reaped by its own handle, and what a test leaves running is found.

Every process of a test carries a mark in its environment, which children inherit, also through pigeon. So
leftovers are found without knowing their names, and nothing else on the machine is ever touched.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tests.helpers.waiting import patient, testimony, wait_until

MARK = "E2E_MARK"
"""Not a `PIGEON_…` name: pigeon may well keep those from the command."""

Word = str | bytes


class Result(NamedTuple):
    """How a process ended and what it wrote."""

    stdout: bytes
    stderr: bytes
    returncode: int
    """As Python gives it: negative after a fatal signal."""

    @property
    def code(self) -> int:
        """The exit code as a shell sees it: 128 + n after signal n."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode

    @property
    def words(self) -> str:
        """stderr as text."""
        return self.stderr.decode("utf-8", "backslashreplace")


class Child:
    """One process in the background; stdout and stderr go to files, so nobody has to read them in time."""

    def __init__(
        self,
        argv: Sequence[Word],
        *,
        env: Mapping[str, str],
        cwd: Path | str | bytes,
        log: Path,
        stdin: bytes | int | IO[bytes] | None = None,
        umask: int = -1,
        merge: bool = False,
    ) -> None:
        """`stdin`: bytes (put into a file), a descriptor, a file, None for /dev/null. `merge`: one log."""
        self.argv = list(argv)
        self.out_path = log.with_suffix(".out")
        self.err_path = self.out_path if merge else log.with_suffix(".err")
        source: int | IO[bytes] = subprocess.DEVNULL
        if isinstance(stdin, bytes):
            path = log.with_suffix(".in")
            path.write_bytes(stdin)
            source = path.open("rb")
        elif stdin is not None:
            source = stdin
        with self.out_path.open("wb") as out, self.err_path.open("ab") as err:
            self.process = subprocess.Popen(
                self.argv,
                env=dict(env),
                cwd=cwd,
                stdin=source,
                stdout=out,
                stderr=subprocess.STDOUT if merge else err,
                umask=umask,
                bufsize=0,
            )
        if isinstance(stdin, bytes) and not isinstance(source, int):
            source.close()

    @property
    def pid(self) -> int:
        """The process id; only for messages and for /proc."""
        return self.process.pid

    @property
    def out(self) -> bytes:
        """What it has written to stdout so far."""
        return self.out_path.read_bytes()

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return self.err_path.read_text("utf-8", "backslashreplace")

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def type(self, data: bytes) -> None:
        """Write to its stdin, which must be a pipe."""
        assert self.process.stdin is not None, "started without stdin=PIPE"
        self.process.stdin.write(data)

    def close_stdin(self) -> None:
        """End its input."""
        assert self.process.stdin is not None, "started without stdin=PIPE"
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send it a signal, through the handle."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> Result:
        """Its result. Raises AssertionError, with everything known, when it does not end in time."""
        wait_until(lambda: not self.running, timeout_s, lambda: f"the end of {self.argv!r}\n{self.tell()}")
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        return Result(self.out, self.err_path.read_bytes(), self.process.returncode)

    def kill(self) -> None:
        """SIGKILL, and reap it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.running:
            self.process.kill()
        self.process.wait()

    def tell(self) -> str:
        """Its state and the ends of what it wrote."""
        state = "running" if self.running else f"ended with {self.process.returncode}"
        text = f"--- {self.argv!r} pid {self.pid}: {state}\n"
        for path in dict.fromkeys((self.out_path, self.err_path)):
            if path.exists() and path.stat().st_size:
                text += f"--- {path}\n{path.read_bytes()[-4000:].decode('utf-8', 'backslashreplace')}\n"
        return text


def run_to_end(
    argv: Sequence[Word],
    *,
    env: Mapping[str, str],
    cwd: Path | str | bytes,
    stdin: bytes | int | IO[bytes] | None = None,
    timeout_s: float = 30.0,
    umask: int = -1,
) -> Result:
    """Run a process with pipes on stdout and stderr and wait for its end; one that does not end is killed."""
    given = stdin if isinstance(stdin, bytes) else None
    source: int | IO[bytes] | None = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    if stdin is not None and not isinstance(stdin, bytes):
        source = stdin
    with subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=umask,
    ) as process:
        try:
            out, err = process.communicate(given, timeout=patient(timeout_s))
        except subprocess.TimeoutExpired as expired:
            evidence = testimony()
            process.kill()
            raise AssertionError(
                f"{argv!r} did not end within {patient(timeout_s):g} s\n"
                f"stdout so far: {(expired.stdout or b'')[-2000:]!r}\n"
                f"stderr so far: {expired.stderr!r}\n{evidence}"
            ) from None
        except BaseException:
            process.kill()
            raise
    return Result(out, err, process.returncode)


def children_of(pid: int) -> list[int]:
    """The children of a process (proc(5), `task/[tid]/children`)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state_of(pid: int) -> str:
    """The letter of proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def name_of(pid: int) -> str:
    """What ps(1) shows; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used: user and system (proc(5), stat)."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_standby(pid: int, schedulers: Collection[int]) -> bool:
    """Whether it is the runner without a session that a living worker keeps ready."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    name, _, fields = stat.partition("(")[2].rpartition(")")
    return name == "pigeon-standby" and int(fields.split()[1]) in schedulers


def marked(mark: str) -> dict[int, str]:
    """Living processes with this mark in their environment: pid -> command line."""
    needle = f"{MARK}={mark}".encode()
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if needle not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                found[int(name)] = file.read().replace(b"\0", b" ").decode("utf-8", "backslashreplace")
        except OSError:  # it ended meanwhile
            continue
    found.pop(os.getpid(), None)
    return found


def kill_marked(mark: str, pids: Iterable[int]) -> None:
    """SIGKILL those of `pids` that carry the mark, each through a pidfd that is checked after it was opened."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            if pid in marked(mark):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
                select.select([fd], [], [], 5)  # readable once it has ended
        except OSError:  # ended between the look and the signal
            pass
        finally:
            os.close(fd)
