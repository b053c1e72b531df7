"""Dying at a named step: an audit hook (sys.addaudithook) in pigeon's own processes, put there by `sitecustomize`.

The hook sees what CPython announces (`open` with its flags, `os.link`, `os.fork`, `fcntl.flock`, …). What has happened
stands in a file of its own for each point, made exclusively, so that each happens once for each life of a worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.helpers.surroundings import ROOT
from tools.torture.plan import Point

HOOK = """
import os, signal, sys

def arm(text):
    main = os.getpid()
    points = [entry.split("|") for entry in text.split(chr(10))]
    seen = [0] * len(points)
    wanted = {point[0] for point in points}
    def hook(name, args):
        if name not in wanted:
            return
        role = "main" if os.getpid() == main else "child"
        for number, (event, part, flag, whose, nth, act, seconds, done) in enumerate(points):
            if name != event or role != whose:
                continue
            if part and part not in " ".join(map(told, args)):
                continue
            if flag != "0" and not (len(args) > 2 and args[2] & int(flag)):
                continue
            seen[number] += 1
            if seen[number] == int(nth):
                happen(act, seconds, done, main)
    sys.addaudithook(hook)

def told(argument):
    # What is below the share is named by its directory's descriptor and its last part.
    if type(argument) is int and argument > 2:
        try:
            return os.readlink(f"/proc/self/fd/{argument}") + "/"
        except OSError:
            pass
    return repr(argument)

def happen(act, seconds, done, main):
    try:
        fd = os.open(done, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(fd, f"{os.getpid()} {act} {seconds}\\n".encode())
    os.close(fd)
    if act == "both" and os.getpid() != main and os.getppid() == main:
        os.kill(main, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGSTOP if act == "stop" else signal.SIGKILL)

if os.environ.get("TORTURE_POINTS"):
    arm(os.environ["TORTURE_POINTS"])
"""


class Points:
    """The directory with the hook, and what has happened at the points so far."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._happened = directory / "happened"
        self._happened.mkdir()
        self._told: set[str] = set()
        self._directory = directory
        (directory / "sitecustomize.py").write_text(HOOK)

    def env(self, whose: str, points: Iterable[Point]) -> dict[str, str]:
        """The environment in which a process (and what it forks) meets its points."""
        lines = [
            f"{p.event}|{p.part}|{p.flag}|{p.role}|{p.nth}|{p.act}|{p.seconds}|{self._happened}/{whose}.{n}"
            for n, p in enumerate(points)
        ]
        if not lines:
            return {}
        return {"TORTURE_POINTS": "\n".join(lines), "PYTHONPATH": f"{self._directory}:{ROOT}"}

    def news(self) -> list[tuple[str, int, str, float]]:
        """What has happened since the last call: whose point, pid, act, seconds."""
        found = []
        for path in self._happened.iterdir():
            words = path.read_text().split()
            if path.name in self._told or len(words) != 3:
                continue
            self._told.add(path.name)
            found.append((path.name.rpartition(".")[0], int(words[0]), words[1], float(words[2])))
        return found
