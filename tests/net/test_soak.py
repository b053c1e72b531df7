"""A lent network for a long time: connections of every size and manner, while parts of it are killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until
from tests.net.servers import digest, echo, served
from tests.net.test_proxy import LENDS_LOOPBACK, Proxy, session_processes

SOAK_S = float(os.environ.get("PIGEON_SOAK_S", "600"))
USERS = 6
LARGEST_BYTES = 3_000_000


class User:
    """Makes one connection after the other until `until`, and counts how they ended; `wrong` must stay empty."""

    def __init__(self, proxy: Proxy, echo_port: int, digest_port: int, seed: int, until: float) -> None:
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._proxy, self._ports = proxy, (echo_port, digest_port)
        self._chance, self._until = random.Random(seed), until
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while time.monotonic() < self._until:
            try:
                self.ends[self._one()] += 1
            except OSError:
                self.ends["broken"] += 1
            except AssertionError as refusal:
                self.ends["refused"] += 1
                if not str(refusal).startswith("HTTP/1.1 5"):
                    self.wrong.append(str(refusal))

    def _one(self) -> str:
        data = self._chance.randbytes(int(LARGEST_BYTES ** self._chance.random()))
        manner = self._chance.choice(("echo", "half-close", "reset"))
        with self._proxy.connect(self._ports[manner == "half-close"]) as sock:
            if manner == "reset":
                sock.sendall(data[:100_000])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return "whole"
            failures: list[OSError] = []
            sender = threading.Thread(target=self._send, args=(sock, data, failures))
            sender.start()
            got = b""
            try:
                while piece := sock.recv(1 << 16):
                    got += piece
            finally:
                sender.join()
        expected = hashlib.sha256(data).hexdigest().encode() if manner == "half-close" else data
        if failures:  # a reset is told once: to the sender, and the reader then sees an end
            raise failures[0]
        if got != expected:  # an end, and not a reset, says that it is whole
            self.wrong.append(f"{manner} of {len(data)} bytes: {len(got)} came, and an end")
        return "whole"

    @staticmethod
    def _send(sock: socket.socket, data: bytes, failures: list[OSError]) -> None:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            failures.append(error)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.long
@pytest.mark.timeout(SOAK_S + 300)
def test_nothing_is_wrong_and_nothing_is_left(pigeon: Pigeon) -> None:
    """Schedulers killed lose nothing; a far side or a runner killed breaks what is open, which is never cut short."""
    pigeon.worker(**LENDS_LOOPBACK)
    proxy = Proxy(pigeon)
    proxy.ready()
    chance, kills = random.Random(1), Counter[str]()
    with served(echo) as echoing, served(digest) as digesting:
        before = descriptors(proxy.child.pid)
        until = time.monotonic() + SOAK_S
        users = [User(proxy, echoing.port, digesting.port, seed, until) for seed in range(USERS)]
        while time.monotonic() < until:
            time.sleep(chance.uniform(3, 8))
            victim = chance.choice(("scheduler", "scheduler", "far side", "runner"))
            found = session_processes(pigeon, "net --far")
            if victim == "scheduler":
                pigeon.workers[-1].kill()
                pigeon.workers[-1].wait()
                pigeon.worker(**LENDS_LOOPBACK)
            elif found:
                with contextlib.suppress(OSError):
                    with open(f"/proc/{found[0]}/status") as status:
                        parent = int(next(line.split()[1] for line in status if line.startswith("PPid:")))
                    os.kill(found[0] if victim == "far side" or parent == 1 else parent, signal.SIGKILL)
            kills[victim] += 1
        for user in users:
            user.thread.join(90)
            assert not user.thread.is_alive()
        ends = sum((user.ends for user in users), Counter())
        print(ends, kills)
        assert [wrong for user in users for wrong in user.wrong] == []
        assert ends["whole"] > 10 * SOAK_S / 60
        wait_until(lambda: not proxy.status()["open"], 30, "all connections to be forgotten")
        wait_until(lambda: descriptors(proxy.child.pid) <= before + 3, 30, "the descriptors to be closed")
    proxy.stop()
