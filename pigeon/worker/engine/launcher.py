"""The launcher's process: starting it, hearing it, and asking it to end.

It is never killed (SIGKILL): an engine's client that is asked to end takes its job out of the queue, and one that is
killed leaves it there, to be granted to nobody until the job's time is over.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pigeon import clock
from pigeon.printing import visible
from pigeon.settings import STAYS_BEHIND
from pigeon.worker import identity

JOB_PATTERNS = next(patterns for what, patterns in STAYS_BEHIND if what == "a job of a scheduler").split()
KEPT = ("SLURM_CONF", "PBS_CONF_FILE")
"""By these the engine is found; all the rest would say how this worker's own job is to be."""

JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "OAR_JOB_ID", "FLUX_JOB_ID", "JOB_ID")
"""Where engines say what they call a job."""

FIND_S = 2.0
"""Between two looks for a launcher that another process has started: each goes through all of /proc."""

MOST_JOB = 80
MOST_LINE = 300
READ_BYTES = 65536
WHY_LINES = 3
ASK_AGAIN_S = 5.0
"""Between two requests to end. One that comes before an engine's client is ready for it is lost."""


def environment(own: Mapping[str, str], token: str) -> dict[str, str]:
    """What a launcher is given of this worker's environment: without the job that the worker itself may be part of.

    With `SLURM_NTASKS` of its own job, for one, `srun` would start as many workers.
    """

    def is_of_a_job(name: str) -> bool:
        return name not in KEPT and any(fnmatchcase(name, pattern) for pattern in JOB_PATTERNS)

    kept = {name: value for name, value in own.items() if not is_of_a_job(name)}
    return {**kept, identity.LAUNCH_VARIABLE: token}


def job_of(own: Mapping[str, str]) -> str:
    """What the engine calls the job that this process is part of; "" where it is part of none."""
    found = next((own[name] for name in JOB_IDS if own.get(name)), "")
    return visible(found.strip())[:MOST_JOB]


class CannotLaunch(Exception):
    """It could not be executed; says why."""


class LauncherEnd:
    """What can be asked of a launcher. `descriptors`: what to wait for, which tells that it ends or says something."""

    says = ""
    """Its last line."""
    how = "it has ended"
    """How it has ended, with its last words."""
    is_open = False
    """It, or what it has started, may still say something."""
    _asked_at: float | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        return ()

    @property
    def has_ended(self) -> bool:
        raise NotImplementedError

    def hear(self) -> bool:
        """Take what it has said by now; whether that was something."""
        return False

    def ask_to_end(self, now: float) -> None:
        """SIGTERM, again after ASK_AGAIN_S each."""
        if self._asked_at is None or now - self._asked_at >= ASK_AGAIN_S:
            self._asked_at = now
            self._terminate()

    def _terminate(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Hear it no more."""


class Leftover(LauncherEnd):
    """One that a former process at this launch has started: known by the token that it carries."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._looked_at: float | None = None
        self._pids: list[int] = []

    @property
    def has_ended(self) -> bool:
        """And has left nothing behind."""
        now = clock.monotonic()
        if self._looked_at is None or (self._pids and now - self._looked_at >= FIND_S):
            self._looked_at = now
            self._pids = identity.launchers(self._token)
        return not self._pids

    def _terminate(self) -> None:
        self._looked_at = None
        identity.send(identity.launchers(self._token), signal.SIGTERM)


class Launcher(LauncherEnd):
    """One process, a session (setsid(2)) of its own."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Raises CannotLaunch."""
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=dict(environ),
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            raise CannotLaunch(f"`{argv[0]}`: {getattr(error, 'strerror', None) or error}") from error
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        os.set_blocking(self._fd, False)
        self._pidfd = os.pidfd_open(self._process.pid)
        self.is_open = True
        self._name = argv[0]
        self._rest = b""
        self._lines: deque[str] = deque(maxlen=WHY_LINES)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Of the process, and of what it says."""
        return (self._pidfd, self._fd) if self.is_open else (self._pidfd,)

    @property
    def has_ended(self) -> bool:
        """And is reaped."""
        return self._process.poll() is not None

    @property
    def says(self) -> str:  # type: ignore[override]  # asked, and never set
        """Its last line."""
        return self._lines[-1] if self._lines else ""

    @property
    def how(self) -> str:  # type: ignore[override]  # as `says`
        """How it has ended, with its last words."""
        code = self._process.returncode
        ended = f"`{self._name}` ended " + (f"by signal {-code}" if code < 0 else f"with exit code {code}")
        return f"{ended}: {'; '.join(self._lines)}" if self._lines else ended

    def hear(self) -> bool:
        """Take what it has said by now; whether that was something."""
        heard = False
        while self.is_open:
            try:
                data = os.read(self._fd, READ_BYTES)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.is_open = False
                heard |= self._take([self._rest])
                self._rest = b""
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._rest = self._rest[-READ_BYTES:]
            heard |= self._take(lines)
            if len(data) < READ_BYTES:
                break  # who never stops talking must not keep us from the rest
        return heard

    def _take(self, lines: Sequence[bytes]) -> bool:
        texts = (visible(line[: 4 * MOST_LINE].decode("utf-8", "replace").strip()) for line in lines)
        said = [text[:MOST_LINE] for text in texts if text]
        self._lines.extend(said)
        return bool(said)

    def _terminate(self) -> None:
        self._process.terminate()

    def close(self) -> None:
        """Hear it no more."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        os.close(self._pidfd)
        self.is_open = False
