"""What pigeon asks an NFS server for: RPCs by kind, told apart by host, from the kernel's own count.

Runs beside a lab of tools/nfs-lab (`tools/bench/nfs rpcs`): the client in machine `a`, the worker in `b`, each with a
mount of its own whose /proc/self/mountstats counts. Which of a client's calls are looks, their kind tells (version 4),
or the files that it opened, by strace. Emulated machines are slow, and counts do not care; rates of looking do a
little, since a look that takes long is followed by a pause as long.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from tools.nfs_lab.lab import CLIENTS, Lab

CACHE = "/share/rpcs"
ROUNDS = 5
LOOKS = 100
IDLE_WINDOW_S = 20.0

LOOKED_AT = "stream.jsonl"
"""What a client opens to see whether something has happened."""

_LOOK = """
import os, sys
from pigeon.wire.looks import question_for
path, how, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
ask = question_for(path)
for _ in range(times):
    if how == "statx":
        ask(path)
    else:
        fd = os.open(path, os.O_RDONLY)
        os.fstat(fd)
        os.pread(fd, 4096, 4)
        os.close(fd)
"""


class Counted(Counter[str]):
    """RPCs by kind."""

    def __str__(self) -> str:
        return f"{self.total()} ({', '.join(f'{kind} {n}' for kind, n in self.most_common() if n)})"


def count(lab: Lab, machine: str) -> Counted:
    """How many RPCs of each kind the mount in `machine` has made since it was mounted."""
    said = lab.exec(machine, ["cat", "/proc/self/mountstats"], check=True).stdout.decode()
    ours = said.partition(" mounted on /share ")[2].partition("\ndevice ")[0]
    found = re.findall(r"^\s+([A-Z_]+): (\d+) ", ours.partition("per-op statistics")[2], re.MULTILINE)
    return Counted({kind: int(number) for kind, number in found})


def count_both(lab: Lab) -> dict[str, Counted]:
    """The same of both clients."""
    return {machine: count(lab, machine) for machine in CLIENTS}


def since(lab: Lab, before: dict[str, Counted]) -> dict[str, Counted]:
    """RPCs of each machine since `before`."""
    return {machine: Counted(now - before[machine]) for machine, now in count_both(lab).items()}


class Bench:
    """One namespace in one lab."""

    def __init__(self, lab: Lab, pigeon: str) -> None:
        self.lab = lab
        self.pigeon = pigeon
        self.env = {
            "HOME": "/local",
            "PATH": os.environ["PATH"],
            "PIGEON_CACHE": CACHE,
            "PIGEON_NAMESPACE": "rpcs",
            "PIGEON_JOURNAL": "/local/rpcs/journal.db",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TERM": "xterm",
        }
        lab.exec("a", ["sh", "-c", f"rm -rf {CACHE}; mkdir -m 700 {CACHE} {CACHE}/work"], check=True)
        lab.exec("b", ["mkdir", "-p", "-m", "700", "/local/rpcs"], check=True)

    def client(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """`words` in the client's machine, in a directory of the share."""
        done = self.lab.exec("a", words, env=self.env, cwd=f"{CACHE}/work", timeout_s=120)
        assert done.returncode == 0, done
        return done

    def worker(self) -> subprocess.Popen[bytes]:
        """A worker that has served one command."""
        began = self.lab.popen("b", [self.pigeon, "worker"], env=self.env, stdin=subprocess.DEVNULL)
        self.client(self.pigeon, "--claim-timeout", "300", "true")
        return began

    def true(self) -> tuple[Counted, Counted, Counted]:
        """RPCs of one `true`: the client's but its looks, its looks, and the worker's host's."""
        before = count_both(self.lab)
        self.client("strace", "-f", "-qq", "-e", "trace=openat", "-o", "/local/trace", self.pigeon, "true")
        made = since(self.lab, before)
        trace = self.lab.exec("a", ["cat", "/local/trace"], check=True).stdout.decode()
        opened = sum("O_RDONLY" in line and f'"{LOOKED_AT}"' in line for line in trace.splitlines())
        client = made["a"]
        # Version 4 has a kind of its own for what is opened to be read; where a delegation is held, none is made.
        asked = client["OPEN_NOATTR"] if client["CLOSE"] else min(opened, client["GETATTR"])
        looks = Counted(OPEN_NOATTR=asked, CLOSE=asked) if client["CLOSE"] else Counted(GETATTR=asked)
        return Counted(client - looks), looks, made["b"]

    def look(self, how: str) -> Counted:
        """RPCs of LOOKS looks of a kind, one after the other, at a file that the other host has just appended to.

        So the server gives no delegation for it, as it gives none for the files of a session.
        """
        path = f"{CACHE}/look"
        words = [f"{os.path.dirname(self.pigeon)}/python3", "-c", _LOOK, path, how]
        self.client("sh", "-c", f"echo abc >> {path}")
        self.lab.exec("b", ["sh", "-c", f"echo abc >> {path}"], check=True)
        self.client(*words, "1")
        self.lab.exec("b", ["sh", "-c", f"echo abc >> {path}"], check=True)
        none = count(self.lab, "a")
        self.client(*words, "0")
        before = count(self.lab, "a")
        self.client(*words, str(LOOKS))
        return Counted(count(self.lab, "a") - before - Counted(before - none))

    def idle(self, silences_s: list[float]) -> list[tuple[float, dict[str, Counted], float]]:
        """RPCs during a window of an interactive session that has been silent for each of these seconds."""
        session = self.lab.popen(
            "a",
            [self.pigeon, "cat"],
            env=self.env,
            cwd=f"{CACHE}/work",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pty=True,
        )
        assert session.stdin and session.stdout
        try:
            session.stdin.write(b"hello\n")
            session.stdin.flush()
            seen = b""
            while seen.count(b"hello") < 2:
                seen += os.read(session.stdout.fileno(), 4096)
            quiet = time.monotonic()
            found = []
            for silence_s in silences_s:
                time.sleep(max(0.0, quiet + silence_s - time.monotonic()))
                began, before = time.monotonic(), count_both(self.lab)
                time.sleep(IDLE_WINDOW_S)
                made, took = since(self.lab, before), time.monotonic() - began
                found.append((silence_s, made, took))
            return found
        finally:
            session.stdin.write(b"\x04")
            session.stdin.close()
            session.wait(60)
            session.stdout.close()


def rate(made: Counted, took_s: float) -> str:
    """RPCs a second, by kind."""
    kinds = ", ".join(f"{kind} {n / took_s:.1f}" for kind, n in made.most_common() if n / took_s >= 0.05)
    return f"{made.total() / took_s:.1f} ({kinds})"


def main() -> int:
    """Print everything for the lab's mount as it is, or as each of the words says."""
    parser = argparse.ArgumentParser(prog="tools/bench/nfs rpcs", description=__doc__)
    parser.add_argument("pigeon", help="the executable, as the machines see it")
    parser.add_argument("mounts", nargs="*", help="such as 4.2 or 4.2,noac; default: as it is")
    parser.add_argument(
        "--idle", default="120", help="seconds of silence after which to count (default: 120)"
    )
    options = parser.parse_intermixed_args()
    lab = Lab(os.environ.get("NFS_LAB", "default"))
    for mount in options.mounts or [""]:
        if mount:
            version, *rest = mount.split(",")
            lab.lease_s = lab.status()["note"]["lease_s"]
            lab.mount(version, rest)
        print(f"== {lab.status()['note']['asked']['a']}", flush=True)
        bench = Bench(lab, options.pigeon)
        for how in ("open, read, close", "statx"):
            made = bench.look(how)
            print(f"one look by {how}: {made.total() / LOOKS:.2f}; {LOOKS}: {made}", flush=True)
        worker = bench.worker()
        try:
            before, began = count_both(lab), time.monotonic()
            time.sleep(IDLE_WINDOW_S)
            print(
                f"idle worker: {rate(since(lab, before)['b'], time.monotonic() - began)} a second", flush=True
            )
            bench.client(options.pigeon, "true")
            trues = [bench.true() for _ in range(ROUNDS)]
            for client, looks, far in trues:
                print(f"true: client {client}, looks {looks}; worker {far}", flush=True)
            print(f"true, client but looks: median {median(c.total() for c, _, _ in trues):g}", flush=True)
            for silence_s, sides, took in bench.idle([float(s) for s in options.idle.split(",")]):
                both = Counted(sides["a"] + sides["b"])
                print(f"idle session after {silence_s:g} s: {rate(both, took)} a second", flush=True)
                for side, machine in (("client", "a"), ("worker", "b")):
                    print(f"    {side}: {rate(sides[machine], took)}", flush=True)
        finally:
            worker.terminate()
            worker.wait(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
