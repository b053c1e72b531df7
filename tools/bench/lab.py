"""The place where a run happens: one private directory, a clean environment, test data, and spawning into them.

Everything that the run writes lies below `Lab.root`, which is removed at the end; only processes that the run itself
started are ever signalled. Nothing here knows what is measured.
"""

from __future__ import annotations

import hashlib
import os
import random
import select
import shlex
import shutil
import signal
import sys
import tempfile
import time
from types import TracebackType

FileAction = tuple[int, int, int] | tuple[int, int, str, int, int]


class Failed(Exception):
    """A measurement that could not be taken, with the reason as the report prints it."""


class Lab:
    """Private directory, HOME with empty start-up files, environment and data files of one run."""

    def __init__(self, shares: tuple[str, str] | None = None, served: str | None = None) -> None:
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="pigeon-bench-", dir=served))
        self.served = served  # a share with a worker that somebody else has started, maybe on another machine
        self.shares = shares  # (as the client sees it, as the worker sees it), or None: below root
        self.home = self.directory("home")
        for name in (".profile", ".bash_profile", ".bashrc"):
            open(f"{self.home}/{name}", "w").close()
        self.python = os.path.realpath(sys.executable)
        self._inside = shutil.copy(os.path.join(os.path.dirname(__file__), "inside.py"), self.root)
        self._counter = 0
        self._files: dict[str, tuple[str, bytes]] = {}
        self._buffer = bytearray()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.chdir("/")
        shutil.rmtree(self.root, ignore_errors=True)

    def directory(self, name: str) -> str:
        """A directory below the root, made where it is missing."""
        path = f"{self.root}/{name}"
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    def fresh(self, name: str) -> str:
        """A directory that nobody has used yet."""
        self._counter += 1
        return self.directory(f"{name}-{self._counter}")

    def environment(self) -> dict[str, str]:
        """What every contender starts with: nothing of the caller's but the search path's system part."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": self.home,
            "XDG_CONFIG_HOME": f"{self.home}/.config",
            "USER": os.environ.get("USER", "bench"),
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }

    def inside(self, *words: str) -> str:
        """Shell text that runs a verb of inside.py."""
        return shlex.join([self.python, "-I", "-S", self._inside, *words])

    def data(self, kind: str, size_bytes: int) -> tuple[str, bytes]:
        """A file of `size_bytes` and its sha256: `binary` holds every byte value, `text` lines of 63 letters."""
        key = f"{kind}-{size_bytes}"
        if key not in self._files:
            rng = random.Random(7)
            block = rng.randbytes(1 << 20) if kind == "binary" else (_text_block(rng))
            body = (block * (size_bytes // len(block) + 1))[:size_bytes]
            path = f"{self.root}/data-{key}"
            with open(path, "wb") as file:
                file.write(body)
            self._files[key] = (path, hashlib.sha256(body).digest())
        return self._files[key]

    def buffer(self, size_bytes: int) -> memoryview:
        """Memory for a reader, touched before, so that no measurement pays its page faults."""
        if len(self._buffer) < size_bytes:
            self._buffer = bytearray(b"\1") * size_bytes
        return memoryview(self._buffer)[:size_bytes]


def _text_block(rng: random.Random) -> bytes:
    letters = b"abcdefghijklmnopqrstuvwxyz 0123456789"
    return b"".join(bytes(rng.choices(letters, k=63)) + b"\n" for _ in range(16384))


class Child:
    """A process that we started: waited for by its own handle, killed by it when it takes too long."""

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        actions: list[FileAction],
        own_session: bool = False,
    ) -> None:
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            raise Failed(f"`{argv[0]}` was not found")
        os.chdir(
            cwd
        )  # posix_spawn has no directory of its own, and it starts a process in half of fork's time
        self.pid = os.posix_spawn(
            program,
            argv,
            {**env, "PWD": cwd},
            file_actions=actions,
            setsid=own_session,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
        self.handle = os.pidfd_open(self.pid)
        self.status: int | None = None
        self.cpu_s = 0.0  # of the process and of those that it waited for, once it has ended

    def wait(self, timeout_s: float = 60.0) -> int:
        """Its exit code, or minus its signal.

        Raises:
            Failed: it was still running after `timeout_s`; it has been killed.
        """
        if self.status is None and not select.select([self.handle], [], [], timeout_s)[0]:
            self.kill()
            raise Failed(f"still running after {timeout_s:.0f} s")
        return self._reap()

    def ended(self) -> bool:
        """Whether it has ended, without waiting."""
        if self.status is None and select.select([self.handle], [], [], 0)[0]:
            self._reap()
        return self.status is not None

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended():
            signal.pidfd_send_signal(self.handle, number)

    def end(self, patience_s: float = 5.0) -> None:
        """TERM, then KILL; returns when it is gone."""
        self.signal(signal.SIGTERM)
        if self.status is None and not select.select([self.handle], [], [], patience_s)[0]:
            self.kill()
        self._reap()

    def kill(self) -> None:
        """KILL it and wait."""
        self.signal(signal.SIGKILL)
        self._reap()

    def _reap(self) -> int:
        if self.status is None:
            _, status, used = os.wait4(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            self.cpu_s = used.ru_utime + used.ru_stime
            os.close(self.handle)
        return self.status


def await_condition(condition: object, timeout_s: float, what: str) -> None:
    """Poll `condition` (a callable) until it is true.

    Raises:
        Failed: it was not within `timeout_s`.
    """
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)
