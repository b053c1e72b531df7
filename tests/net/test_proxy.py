"""`pigeon proxy` and `pigeon connect` over real sessions: manners of TCP, who may, and what happens when a part dies.

Worker, client and servers are on this host, so the worker's loopback is lent here, which it is not by default.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_root
from tests.helpers.processes import Child
from tests.helpers.waiting import patient, wait_until
from tests.net.servers import (
    digest,
    echo,
    empty_page,
    ends_first,
    never_reads,
    read_all,
    reset,
    says_and_resets,
    served,
)

LENDS_LOOPBACK: dict[str, Any] = {"net_deny": ["metadata"]}


class Proxy:
    """A running `pigeon proxy`."""

    def __init__(
        self, pigeon: Pigeon, *args: str, options: tuple[str, ...] = (), words: Sequence[str] = ()
    ) -> None:
        """`words`: in place of those that start `pigeon proxy`."""
        self.pigeon = pigeon
        argv = words or pigeon.command("proxy", *args, options=options)
        self.child: Child = pigeon.start_process(*argv, env=runtime(pigeon))
        found = wait_until(
            lambda: re.search(r"http://127\.0\.0\.1:(\d+)", self.child.err), 15, "the proxy's port"
        )
        self.port = int(found[1]) if found else 0

    def connect(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A connection by CONNECT. Raises AssertionError with the status line where it is refused."""
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", self.port)))
            sock.settimeout(30)
            sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1) or b"\r\n\r\n"
            if not head.startswith(b"HTTP/1.1 200 "):
                raise AssertionError(head.decode())
            stack.pop_all()
        return sock

    def ready(self) -> None:
        """Once there is a session."""
        wait_until(lambda: self.status()["sessions"][0]["state"] == "ready", 15, "a session")

    def status(self) -> dict[str, Any]:
        """What `pigeon net --status` says of it."""
        done = self.pigeon.run("net", "--status", "--json", env=runtime(self.pigeon))
        (one,) = (s for s in json.loads(done.stdout) if s["pid"] == self.child.pid)
        return dict(one)

    def stop(self) -> None:
        """As Ctrl-C would."""
        self.child.signal(signal.SIGINT)
        assert self.child.wait().code == 0


def runtime(pigeon: Pigeon) -> dict[str, str | None]:
    """A place for sockets of this test's own, with a name that is short enough for them."""
    place = Path(f"/tmp/pgn-{pigeon.mark[:12]}")
    place.mkdir(mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": str(place)}


@pytest.fixture(autouse=True)
def _no_places_left(pigeon: Pigeon) -> Iterator[None]:
    yield
    shutil.rmtree(f"/tmp/pgn-{pigeon.mark[:12]}", ignore_errors=True)


@pytest.fixture
def proxy(pigeon: Pigeon) -> Iterator[Proxy]:
    """A worker that lends its loopback, too, and a proxy."""
    pigeon.worker(**LENDS_LOOPBACK)
    made = Proxy(pigeon)
    yield made
    if made.child.running:
        made.stop()


def session_processes(pigeon: Pigeon, words: str) -> list[int]:
    """Pids of this test's processes whose command line has these words."""
    return [pid for pid, line in pigeon.commands_left().items() if words in line]


def test_bytes_and_ends_both_ways(proxy: Proxy) -> None:
    data = os.urandom(3_000_000)
    with served(digest) as server, proxy.connect(server.port) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).decode() == hashlib.sha256(data).hexdigest()
    with served(ends_first) as server, proxy.connect(server.port) as sock:
        assert read_all(sock) == b""
        sock.sendall(b"still heard")
        sock.shutdown(socket.SHUT_WR)


def test_a_reset_stays_one_either_way(proxy: Proxy) -> None:
    with served(says_and_resets) as server, proxy.connect(server.port) as sock:
        sock.sendall(b"a large body")
        with pytest.raises(ConnectionResetError):
            assert read_all(sock) == b"413"
    with served(echo) as server:
        sock = proxy.connect(server.port)
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        reset(sock)
        wait_until(lambda: server.broken == 1, 15, "the server to see the reset")


def test_what_was_said_before_a_reset_arrives(proxy: Proxy) -> None:
    with served(says_and_resets) as server, proxy.connect(server.port) as sock:
        sock.sendall(b"ab")
        assert sock.recv(3) == b"413"


def test_a_refusal_says_why_in_the_status_line(proxy: Proxy) -> None:
    with pytest.raises(
        AssertionError, match=r"502 pigeon: cannot connect to 127.0.0.1:1: .*Connection refused"
    ):
        proxy.connect(1)
    with pytest.raises(AssertionError, match=r"502 pigeon: cannot resolve nope\.invalid"):
        proxy.connect(80, "nope.invalid")
    for host in ("169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"):
        with pytest.raises(AssertionError, match="403 pigeon: the worker does not lend"):
            proxy.connect(80, host)


def test_readers_that_do_not_read_hold_up_nobody(proxy: Proxy) -> None:
    with served(never_reads) as stuck, served(echo) as server:
        held = [proxy.connect(stuck.port) for _ in range(4)]
        for sock in held:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    sock.send(bytes(65536))
        with proxy.connect(server.port) as sock:
            sock.sendall(b"lively")
            assert sock.recv(6) == b"lively"
        for sock in held:
            sock.close()


def test_many_at_once(proxy: Proxy) -> None:
    proxy.ready()
    with served(echo) as server:
        socks = []
        for number in range(200):
            sock = socket.create_connection(("127.0.0.1", proxy.port))
            sock.settimeout(30)
            sock.sendall(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n\r\n{number}".encode())
            sock.shutdown(socket.SHUT_WR)
            socks.append(sock)
        for number, sock in enumerate(socks):
            assert read_all(sock).partition(b"\r\n\r\n")[2] == str(number).encode()
            sock.close()
    wait_until(lambda: not proxy.status()["open"], 15, "all connections to be forgotten")


@needs_root
def test_another_user_of_this_host_is_turned_away(proxy: Proxy) -> None:
    with served(echo) as server:
        script = (
            "import socket, sys\n"
            "lost = 0\n"
            "for _ in range(1000):\n"
            "    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "    try:\n"
            "        s.sendall(b'CONNECT 127.0.0.1:%d HTTP/1.1\\r\\n\\r\\n' % int(sys.argv[2]))\n"
            "        lost += not s.recv(100)\n"
            "    except ConnectionError:\n"
            "        lost += 1\n"
            "print(lost)\n"
        )
        words = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "/usr/bin/python3", "-c", script]
        done = subprocess.run(
            [*words, str(proxy.port), str(server.port)], capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "1000\n", done.stderr
        assert server.accepted == 0
    assert proxy.status()["turned_away"] == 1000


def test_a_password_is_asked_for_besides(pigeon: Pigeon) -> None:
    pigeon.worker(**LENDS_LOOPBACK)
    child = pigeon.start("proxy", "--auth", env=runtime(pigeon))
    found = wait_until(
        lambda: re.search(r"http://(pigeon:\S+)@127\.0\.0\.1:(\d+)", child.err), 15, "the port"
    )
    assert found is not None
    with served(empty_page) as server:
        target = f"http://127.0.0.1:{server.port}/"
        for credentials, code in ((found[1], "200"), ("pigeon:no", "407")):
            words = [
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_connect}",
                "-m",
                "30",
                "-p",
                "-x",
            ]
            address = f"http://{credentials}@127.0.0.1:{found[2]}"
            done = subprocess.run([*words, address, target], capture_output=True, text=True)
            assert done.stdout == code, done
    child.signal(signal.SIGTERM)
    assert child.wait().code == 0


def test_forwards_as_in_ssh(pigeon: Pigeon) -> None:
    pigeon.worker()  # the worker's loopback is lent to who names it himself
    with served(echo) as server:
        proxy = Proxy(pigeon, "-L", f"0:localhost:{server.port}", "-R", f"0:127.0.0.1:{server.port}", "-v")
        local = proxy.status()["ports"][1]
        with socket.create_connection(("127.0.0.1", local)) as sock:
            sock.settimeout(30)
            sock.sendall(b"there and back")
            assert sock.recv(100) == b"there and back"
        found = wait_until(lambda: re.search(r"listens on port (\d+)", proxy.child.err), 10, "the far port")
        assert found is not None
        with socket.create_connection(("127.0.0.1", int(found[1]))) as sock:
            sock.settimeout(30)
            sock.sendall(b"here and back")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == b"here and back"
        with pytest.raises(AssertionError, match="403 pigeon: the worker does not lend"):
            proxy.connect(server.port)
        proxy.stop()


def test_connect_goes_through_a_running_proxy_or_by_itself(proxy: Proxy) -> None:
    pigeon = proxy.pigeon
    data = os.urandom(300_000)
    with served(digest) as server:
        for _ in range(2):
            done = pigeon.run("connect", "127.0.0.1", str(server.port), stdin=data, env=runtime(pigeon))
            assert (done.code, done.stdout.decode()) == (0, hashlib.sha256(data).hexdigest()), done.words
            assert server.accepted
            if proxy.child.running:
                assert proxy.status()["ended"]["connections"] == 1
                proxy.stop()
    done = pigeon.run("connect", "127.0.0.1", "1", env=runtime(pigeon))
    assert done.code == 255 and "Connection refused" in done.words


def test_it_counts_apart_from_commands_and_leaves_nothing_on_the_share(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1, max_net=1, **LENDS_LOOPBACK)
    proxy = Proxy(pigeon)
    proxy.ready()
    assert pigeon.run("echo", "free").stdout == b"free\n"
    second = Proxy(pigeon)
    assert second.status()["sessions"][0]["state"] == "starting"
    proxy.stop()
    second.ready()
    with served(echo) as server, second.connect(server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    second.stop()
    # Of the command's session nothing is removed yet: it is kept for its retention time.
    wait_until(lambda: len(pigeon.sessions()) == 1, 15, lambda: f"an empty share, not {pigeon.sessions()}")


def test_what_was_connected_to_stands_in_the_journal(proxy: Proxy) -> None:
    with served(echo) as server:
        with proxy.connect(server.port) as sock:
            sock.sendall(b"12345")
            assert sock.recv(5) == b"12345"
        with pytest.raises(AssertionError, match="502"):
            proxy.connect(1)
    proxy.stop()

    def rows() -> list[tuple[object, ...]]:
        with sqlite3.connect(proxy.pigeon.journal) as journal:
            sql = "SELECT port, connections, refused, open, sent, received, waiting_since FROM destinations"
            return journal.execute(sql).fetchall()

    wanted = {(server.port, 1, 0, 0, 5, 5, None), (1, 0, 1, 0, 0, 0, None)}
    wait_until(lambda: set(rows()) == wanted, 10, lambda: f"{wanted}, not {rows()}")


def test_names_can_be_kept_out_of_the_journal(pigeon: Pigeon) -> None:
    pigeon.worker(net_history=False, **LENDS_LOOPBACK)
    proxy = Proxy(pigeon)
    with served(echo) as server, proxy.connect(server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
    proxy.stop()
    with sqlite3.connect(pigeon.journal) as journal:
        assert journal.execute("SELECT count(*) FROM destinations").fetchone() == (0,)


def test_a_worker_may_lend_nothing(pigeon: Pigeon) -> None:
    pigeon.worker(net=False)
    done = pigeon.run("connect", "127.0.0.1", "1", options=("--claim-timeout=2",), env=runtime(pigeon))
    assert done.code == 255 and "lends no network" in done.words
    assert b"no rule" in pigeon.start_worker(net_deny=["a:b"]).wait(10).stdout


def test_without_a_worker_it_says_so_in_time(pigeon: Pigeon) -> None:
    proxy = Proxy(pigeon, options=("--claim-timeout=1",))
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"504 pigeon: no session with a worker: .*no worker"):
        proxy.connect(80, "a.example")
    assert time.monotonic() - began < patient(20)
    proxy.stop()


def test_a_killed_scheduler_loses_nothing(proxy: Proxy) -> None:
    pigeon = proxy.pigeon
    with served(echo) as server, proxy.connect(server.port) as sock:
        for number in range(3):
            pigeon.workers[-1].kill()
            pigeon.workers[-1].wait()
            sock.sendall(b"%d" % number)
            assert sock.recv(1) == b"%d" % number
            with proxy.connect(server.port) as other:
                other.sendall(b"new")
                assert other.recv(3) == b"new"
            pigeon.worker(**LENDS_LOOPBACK)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == b""


@pytest.mark.parametrize("victim", ["the far side", "its runner"])
def test_a_lost_session_resets_what_was_open_and_is_followed_by_another(proxy: Proxy, victim: str) -> None:
    with served(echo) as server, proxy.connect(server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        (far,) = session_processes(proxy.pigeon, "net --far")
        with open(f"/proc/{far}/status") as status:
            parent = int(next(line.split()[1] for line in status if line.startswith("PPid:")))
        os.kill(far if victim == "the far side" else parent, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            read_all(sock)
        assert time.monotonic() - began < patient(15)
        with proxy.connect(server.port) as again:
            again.sendall(b"y")
            assert again.recv(1) == b"y"
        assert time.monotonic() - began < patient(30)
        if victim == "its runner":
            with contextlib.suppress(ProcessLookupError):
                os.kill(far, signal.SIGKILL)  # what recovery does, sooner or later


def test_a_stopping_worker_lets_its_connections_move(proxy: Proxy) -> None:
    pigeon = proxy.pigeon
    first = pigeon.workers[0]
    with served(echo) as server:
        with proxy.connect(server.port) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            pigeon.worker(**LENDS_LOOPBACK)
            first.signal()
            wait_until(lambda: len(proxy.status()["sessions"]) == 2, 15, "a session elsewhere")
            wait_until(lambda: proxy.status()["sessions"][0]["state"] == "ready", 15, "it to be ready")
            with proxy.connect(server.port) as other:
                other.sendall(b"there")
                assert other.recv(5) == b"there"
            sock.sendall(b"goes on")
            assert sock.recv(7) == b"goes on"
            assert first.child.running
        assert first.wait(20) == 0  # with its last connection
        with proxy.connect(server.port) as other:
            other.sendall(b"z")
            assert other.recv(1) == b"z"


LITTLE = (
    "import sys; from pigeon.net.near import network; network.CARRIED_BYTES = 2_000_000;"
    " from pigeon.cli import main; sys.exit(main(sys.argv[1:]))"
)


def test_a_session_that_has_carried_much_is_followed_by_another(pigeon: Pigeon) -> None:
    pigeon.worker(**LENDS_LOOPBACK)
    words = [sys.executable, "-c", LITTLE, "proxy"]
    proxy = Proxy(pigeon, words=words)
    with served(echo) as server:
        with proxy.connect(server.port) as first:
            for _ in range(40):
                first.sendall(bytes(50_000))
                left = 50_000
                while left:
                    left -= len(first.recv(left))
            with proxy.connect(server.port) as second:  # which calls the next session
                second.sendall(b"x")
                assert second.recv(1) == b"x"
            wait_until(lambda: len(proxy.status()["sessions"]) == 2, 15, "another session")
            wait_until(
                lambda: proxy.status()["sessions"][0]["bytes"] < 1_000_000, 15, "it to be the one in use"
            )
            first.sendall(b"still")
            assert first.recv(5) == b"still"
        wait_until(lambda: len(proxy.status()["sessions"]) == 1, 15, "the end of the one before")
        wait_until(lambda: len(pigeon.sessions()) == 1, 20, "its files to be gone")
        with proxy.connect(server.port) as third:
            third.sendall(b"y")
            assert third.recv(1) == b"y"
    proxy.stop()


def test_variables_for_a_shell(proxy: Proxy, tmp_path: Path) -> None:
    pigeon = proxy.pigeon
    page = tmp_path / "served"
    page.mkdir()
    (page / "page").write_text("a page\n")
    words = [
        "/usr/bin/python3",
        "-u",
        "-m",
        "http.server",
        "0",
        "--bind",
        "127.0.0.2",
        "--directory",
        str(page),
    ]
    web = pigeon.start_process(*words)
    found = wait_until(lambda: re.search(rb"port (\d+)", web.out), 15, "the web server's port")
    assert found is not None
    command = " ".join(map(str, pigeon.command("proxy", "--print-env")))
    script = f"""set -e
    eval "$({command})"
    curl -sS http://127.0.0.2:{int(found[1])}/page
    kill $PIGEON_PROXY_PID
    """
    done = pigeon.start_process("bash", "-c", script, env=runtime(pigeon)).wait(60)
    assert (done.code, done.stdout) == (0, b"a page\n"), done.words
    web.kill()


def test_a_port_that_is_taken_is_told(pigeon: Pigeon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = pigeon.run("proxy", "-D", str(port), env=runtime(pigeon))
        assert (
            done.code == 255
            and f"`-D 127.0.0.1:{port}`: cannot listen there: Address already in use" in done.words
        )
    done = pigeon.run("proxy", "-L", "0.0.0.0:1:a:2", env=runtime(pigeon))
    assert done.code == 2 and "add `-g`" in done.words


def test_inspect_says_whom_a_lent_network_waits_for(proxy: Proxy) -> None:
    pigeon = proxy.pigeon
    proxy.ready()
    (session,) = pigeon.sessions()
    wait_until(lambda: b"lends the network" in pigeon.run("inspect", session.id).stdout, 15, "a verdict")
    with served(echo) as server, proxy.connect(server.port) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        wait_until(
            lambda: b"connections open: 1" in pigeon.run("inspect", session.id).stdout,
            15,
            "one that is open",
        )
        line = f"127.0.0.1:{server.port}: 1 connection, 1 open".encode()
        assert line in pigeon.run("history", session.id).stdout
        assert line in pigeon.run("history", "--net").stdout
