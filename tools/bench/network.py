"""What a lent network costs: `pigeon proxy` in turns with `ssh -D` over a plain sshd, both to servers on loopback.

    python -m tools.bench.network [--rounds N] [--megabytes N]

Each case is measured through both, one after the other, in changing order; printed are the medians and the median of
the ratios. Processor time is that of all processes of a side (client, worker, runner, far side; or ssh and
sshd), without those that send and receive. Targets stand beside; the exit code is 1 if one was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .lab import Lab
from .sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
START_S = 20.0
PIECE = bytes(1 << 16)
TICKS = os.sysconf("SC_CLK_TCK")

TARGETS = {
    "download": (1.2, ">="),
    "8 downloads": (1.5, ">="),
    "upload": (1.0, ">="),
    "new connection": (3.5, "<="),
    "200 at once": (1.0, "<="),
}
"""Case -> the ratio to ssh, and which way it is meant. Rates are better when larger, times when smaller."""


def _serve(sock: socket.socket) -> None:
    """`G n`: n bytes; `P n`: reads n bytes and says so; `E`: an echo for as long as one likes."""
    with sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        order = sock.recv(64)
        if order[:1] == b"E":
            while order:
                sock.sendall(order)
                order = sock.recv(64)
            return
        left = int(order[1:])
        while left > 0:
            if order[:1] == b"G":
                sock.sendall(PIECE[:left])
                left -= len(PIECE)
            else:
                left -= len(sock.recv(1 << 20))
        if order[:1] == b"P":
            sock.sendall(b"k")


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """A server in a process of its own; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    pid = os.fork()
    if pid == 0:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()
    port = int(listener.getsockname()[1])
    listener.close()
    try:
        yield port
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@dataclass
class Way:
    """A SOCKS port, and the processes behind it."""

    name: str
    port: int
    roots: list[int]
    spent: dict[int, float] = field(default_factory=dict)

    def connect(self, port: int) -> socket.socket:
        """A connection by SOCKS 5."""
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"\x05\x01\x00")
        assert sock.recv(2) == b"\x05\x00"
        sock.sendall(b"\x05\x01\x00\x01" + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big"))
        assert sock.recv(10)[1] == 0
        return sock

    def cpu_s(self) -> float:
        """Processor time of its processes so far; of those that have ended, what was last seen."""
        for pid in _descendants(self.roots):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
                self.spent[pid] = (int(fields[11]) + int(fields[12])) / TICKS
        return sum(self.spent.values())


def _descendants(roots: list[int]) -> set[int]:
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parents.setdefault(int(file.read().rpartition(b")")[2].split()[1]), []).append(int(name))
    found, new = set(roots), list(roots)
    while new:
        new = [child for pid in new for child in parents.get(pid, ())]
        found.update(new)
    return found


def download(way: Way, server: int, size: int) -> float:
    """MB/s."""
    with way.connect(server) as sock:
        began = time.perf_counter()
        sock.sendall(b"G%d" % size)
        left = size
        while left > 0:
            left -= len(sock.recv(1 << 20))
    return size / (time.perf_counter() - began) / 1e6


def eight(way: Way, server: int, size: int) -> float:
    """MB/s of eight at a time."""
    threads = [threading.Thread(target=download, args=(way, server, size // 8)) for _ in range(8)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return size / (time.perf_counter() - began) / 1e6


def upload(way: Way, server: int, size: int) -> float:
    """MB/s."""
    with way.connect(server) as sock:
        began = time.perf_counter()
        sock.sendall(b"P%d" % size)
        time.sleep(0.02)  # so that the order comes by itself
        left = size
        while left > 0:
            sock.sendall(PIECE[:left])
            left -= len(PIECE)
        assert sock.recv(1) == b"k"
    return size / (time.perf_counter() - began) / 1e6


def new_connection(way: Way, server: int, _size: int) -> float:
    """ms of a connection with a small answer; the median of twenty."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        with way.connect(server) as sock:
            sock.sendall(b"G100")
            while sock.recv(4096):
                pass
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def kept(way: Way, server: int, _size: int) -> float:
    """ms of an answer on a connection that is there; the median of a hundred."""
    times = []
    with way.connect(server) as sock:
        sock.sendall(b"E")
        sock.recv(1)
        for _ in range(100):
            began = time.perf_counter()
            sock.sendall(b"x")
            sock.recv(1)
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def at_once(way: Way, server: int, _size: int) -> float:
    """s for two hundred connections at a time."""
    threads = [threading.Thread(target=lambda: _small(way, server)) for _ in range(200)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _small(way: Way, server: int) -> None:
    with way.connect(server) as sock:
        sock.sendall(b"G100")
        while sock.recv(4096):
            pass


CASES: dict[str, tuple[str, Callable[[Way, int, int], float]]] = {
    "download": ("MB/s", download),
    "8 downloads": ("MB/s", eight),
    "upload": ("MB/s", upload),
    "new connection": ("ms", new_connection),
    "kept connection": ("ms", kept),
    "200 at once": ("s", at_once),
}


@contextlib.contextmanager
def pigeon_way(lab: Lab) -> Iterator[Way]:
    """A worker that lends its loopback, and a proxy."""
    base = Path(lab.fresh("pigeon"))
    share = base / "share"
    share.mkdir(mode=0o700)
    env = lab.environment() | {
        "PYTHONPATH": str(ROOT),
        "PIGEON_CACHE": str(share),
        "PIGEON_NAMESPACE": "bench",
        "PIGEON_JOURNAL": str(base / "journal.db"),
    }
    config = base / "worker.toml"
    config.write_text('[worker]\nnet_deny = ["metadata"]\n')
    argv = [sys.executable, "-m", "pigeon"]
    null = subprocess.DEVNULL
    worker = subprocess.Popen([*argv, "--config", str(config), "worker"], env=env, stdout=null, stderr=null)
    _await(lambda: any(share.glob("namespaces/bench/workers/*.json")), "the worker")
    log = base / "proxy.log"
    with log.open("wb") as file:
        proxy = subprocess.Popen([*argv, "proxy"], env=env, stdout=null, stderr=file)
    _await(lambda: b"http://" in log.read_bytes(), "the proxy")
    found = re.search(rb"127\.0\.0\.1:(\d+)", log.read_bytes())
    assert found is not None
    try:
        yield Way("pigeon", int(found[1]), [worker.pid, proxy.pid])
    finally:
        for process in (proxy, worker):
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextlib.contextmanager
def ssh_way(lab: Lab) -> Iterator[Way]:
    """`ssh -D` over an sshd of its own."""
    with Sshd(lab) as sshd:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        ssh = subprocess.Popen(["ssh", "-F", sshd.client_config, "-N", "-D", str(port), "plain"])
        _await(lambda: _answers(port), "ssh")
        assert sshd._server is not None
        try:
            yield Way("ssh -D", port, [ssh.pid, sshd._server.pid])
        finally:
            ssh.terminate()
            ssh.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + START_S
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"waited in vain for {what}")
        time.sleep(0.05)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    options = parser.parse_args()
    size, missed = options.megabytes * 1_000_000, 0
    with _server() as server, Lab() as lab, ssh_way(lab) as ssh, pigeon_way(lab) as pigeon:
        for way in (ssh, pigeon):
            download(way, server, 1_000_000)
        print(f"{'case':<16} {'ssh -D':>9} {'pigeon':>9} unit   ratio  target")
        for name, (unit, measure) in CASES.items():
            pairs = []
            spent = {way.name: 0.0 for way in (ssh, pigeon)}
            for number in range(options.rounds):
                took = {}
                for way in (ssh, pigeon) if number % 2 else (pigeon, ssh):
                    before = way.cpu_s()
                    took[way.name] = measure(way, server, size)
                    spent[way.name] += way.cpu_s() - before
                pairs.append((took["ssh -D"], took["pigeon"]))
            ratio = statistics.median(mine / theirs for theirs, mine in pairs)
            target, way_meant = TARGETS.get(name, (0.0, ""))
            fits = not way_meant or (ratio >= target if way_meant == ">=" else ratio <= target)
            missed += not fits
            said = f"{way_meant} {target:g}{'' if fits else '  MISSED'}" if way_meant else ""
            medians = [statistics.median(one) for one in zip(*pairs, strict=True)]
            print(f"{name:<16} {medians[0]:>9.4g} {medians[1]:>9.4g} {unit:<5} {ratio:>6.2f}  {said}")
            if unit == "MB/s":
                costs = [spent[way.name] / options.rounds / size * 1e9 for way in (ssh, pigeon)]
                print(f"{'  processor':<16} {costs[0]:>9.3g} {costs[1]:>9.3g} s/GB")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
