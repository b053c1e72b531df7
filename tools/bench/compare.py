"""Whether this checkout costs more than another commit: `pigeon true` in turns with each, and what the worker pays.

    python -m tools.bench.compare COMMIT [--rounds N]

Both have a share, a worker and a journal of their own on the local disk, and the same Python. A pair of runs is one of
each, in changing order, so that whatever else the machine does meets both. What is printed is the median over the
pairs, and the median of the pairs' ratios. The exit code is 1 if one of these is above LIMIT.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LIMIT = 1.03
WARM_UP = 5
START_S = 20.0
SETTLED_S = 1.0
"""After the last session a worker forks its standby, with which it shares most of its memory from then on."""


class Side:
    """One checkout at work: its worker, and how its client is run."""

    def __init__(self, source: Path, base: Path) -> None:
        self.base = base
        share = base / "share"
        share.mkdir(parents=True, mode=0o700)
        self.argv = [sys.executable, "-I", "-c", START, str(source)]
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(base),
            "USER": "bench",
            "LOGNAME": "bench",
            "LANG": "C.UTF-8",
            "TMPDIR": str(base),
            "PIGEON_CACHE": str(share),
            "PIGEON_NAMESPACE": "bench",
            "PIGEON_JOURNAL": str(base / "journal.db"),
        }
        self.worker = subprocess.Popen(
            [*self.argv, "worker"],
            env=self.env,
            cwd=base,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_S
        while not list(share.glob("namespaces/bench/workers/*.json")):
            if self.worker.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the worker of {source} does not start")
            time.sleep(0.05)

    def client(self) -> tuple[float, float]:
        """`pigeon true` once: seconds, and seconds of processor time with all its children."""
        began = time.monotonic()
        child = subprocess.Popen([*self.argv, "true"], env=self.env, cwd=self.base, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise RuntimeError(f"`pigeon true` ended with {child.returncode}")
        return took, usage.ru_utime + usage.ru_stime

    def worker_cpu(self) -> float:
        """Seconds of processor time that the worker and its ended runners have used (proc(5))."""
        text = Path(f"/proc/{self.worker.pid}/stat").read_text()
        return sum(map(int, text.rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")

    def worker_kib(self) -> int:
        """Memory of the worker that is its own: not shared with another process (proc(5), smaps_rollup)."""
        lines = Path(f"/proc/{self.worker.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))

    def stop(self) -> None:
        """End the worker."""
        self.worker.send_signal(signal.SIGTERM)
        self.worker.wait(30)


START = "import os, sys; sys.path.insert(0, sys.argv.pop(1)); from pigeon.cli import main; os._exit(main())"
"""Leaves as the installed command does (tools/launcher); what else it needs of a login stands in `Side.env`."""


@contextlib.contextmanager
def checkouts(commit: str) -> Iterator[tuple[Path, Path]]:
    """(A tree of the commit, one of this checkout as it stands); both compiled, on the same disk."""
    with tempfile.TemporaryDirectory(prefix="pigeon-compare-") as made:
        base = Path(made)
        old, new = base / "old", base / "new"
        for place in (old, new):
            place.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", old], input=archive, check=True)
        for name in ("pigeon", "migrations"):
            shutil.copytree(ROOT / name, new / name, ignore=shutil.ignore_patterns("__pycache__"))
        for place in (old, new):
            subprocess.run([sys.executable, "-m", "compileall", "-q", place / "pigeon"], check=True)
        yield old, new


def measure(old: Side, new: Side, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """What is measured -> (values of the old one, values of the new one), pair by pair."""
    found: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in ("client, s", "client, processor s", "worker, processor s a session")
    }
    for number in range(-WARM_UP, rounds):
        pair = ((0, old), (1, new)) if number % 2 else ((1, new), (0, old))
        for index, side in pair:
            before = side.worker_cpu()
            took, cpu = side.client()
            if number >= 0:
                found["client, s"][index].append(took)
                found["client, processor s"][index].append(cpu)
                found["worker, processor s a session"][index].append(side.worker_cpu() - before)
    return found


def report(found: dict[str, tuple[list[float], list[float]]], memory: tuple[int, int]) -> float:
    """Print a line for each; the worst ratio of those that count."""
    worst = 0.0
    print(f"{'':32}{'old':>12}{'new':>12}{'ratio':>9}")
    for name, (before, after) in found.items():
        # One session's processor time is a few ticks of the clock: only the sum of many says something.
        middle: Callable[[list[float]], float] = statistics.mean if "session" in name else statistics.median
        ratios = [b / a for a, b in zip(before, after, strict=True) if a]
        ratio = middle(after) / middle(before) if "session" in name else statistics.median(ratios)
        print(f"{name:32}{middle(before):12.5f}{middle(after):12.5f}{ratio:9.3f}")
        worst = max(worst, ratio)
    ratio = memory[1] / memory[0]
    print(f"{'worker, KiB of its own':32}{memory[0]:12}{memory[1]:12}{ratio:9.3f}")
    return max(worst, ratio)


def main() -> int:
    """1 if this checkout is above LIMIT."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.compare", description=__doc__.splitlines()[0]
    )
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    with checkouts(arguments.commit) as (source_old, source_new):
        base = source_old.parent
        with contextlib.ExitStack() as stack:
            sides = []
            for name, source in (("a", source_old), ("b", source_new)):
                side = Side(source, base / name)
                stack.callback(side.stop)
                sides.append(side)
            old, new = sides
            found = measure(old, new, arguments.rounds)
            time.sleep(SETTLED_S)
            memory = old.worker_kib(), new.worker_kib()
        worst = report(found, memory)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {arguments.rounds} pairs")
    return 1 if worst > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
