"""Killing or stopping a runner at a chosen step: an audit hook in the process itself, set by `sitecustomize`.

The hook sees what CPython announces (sys.audit): `open` with its flags, `os.link`, `os.rename`, `os.chdir`,
`subprocess.Popen`. At the n-th event that fits it kills the process by SIGKILL (or another signal), once among all that
share the `once` file. The worker's first process, its scheduler, is spared.
"""

from __future__ import annotations

import signal
from pathlib import Path

from tests.helpers.surroundings import ROOT

HOOK = """
import os, signal, sys

def arm():
    event, part, nth, flag, number, once = os.environ["CRASH_AT"].split("|")
    scheduler, seen = os.getpid(), 0
    def hook(name, args):
        nonlocal seen
        if name != event or os.getpid() == scheduler:
            return
        if part not in " ".join(str(a) for a in args):
            return
        if flag and not (len(args) > 2 and args[2] & int(flag)):
            return
        seen += 1
        if seen != int(nth):
            return
        try:
            with open(once, "x") as file:
                file.write(str(os.getpid()))
        except FileExistsError:
            return
        os.kill(os.getpid(), int(number))
    sys.addaudithook(hook)

if os.environ.get("CRASH_AT"):
    arm()
"""


class CrashPoint:
    """Where a worker's runner dies: the environment for `pigeon.worker(env=…)`, and whether it has happened."""

    def __init__(
        self,
        directory: Path,
        event: str,
        part: str,
        *,
        nth: int = 1,
        flag: int = 0,
        number: int = signal.SIGKILL,
    ) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "sitecustomize.py").write_text(HOOK)
        self._once = directory / "crashed"
        self.env = {
            "CRASH_AT": f"{event}|{part}|{nth}|{flag or ''}|{int(number)}|{self._once}",
            "PYTHONPATH": f"{directory}:{ROOT}",
        }

    @property
    def has_happened(self) -> bool:
        """The process has been killed, or got its signal."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The process that was hit."""
        text = self._once.read_text() if self._once.exists() else ""
        return int(text) if text else None
