"""`pigeon net` on a node that has nothing but loopback, as an ordinary user: who ignores proxies is caught, too."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.helpers.processes import marked
from tests.helpers.waiting import wait_until
from tests.net.world import OUTSIDE, PYTHON, SIX, World, a_world

CONNECTS = (
    "import socket, sys\n"
    "try:\n"
    "    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:\n"
    "        print(s.recv(7).decode())\n"
    "except OSError as error:\n"
    "    print(type(error).__name__, error.errno)\n"
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_world() as made:
        yield made


def test_the_node_itself_has_no_network(world: World) -> None:
    assert world.on_node("curl", "-sS", "-m", "5", f"http://{OUTSIDE}/page").code == 7
    assert world.on_node("curl", "-sS", "-m", "9", "http://www.example/page").code in (6, 28)


@pytest.mark.parametrize("options", [(), ("--no-env",), ("--no-catch",)], ids=["both", "catch", "variables"])
@pytest.mark.parametrize(
    "url", ["http://www.example/page", "https://www.example/page", "http://six.example/page"]
)
def test_curl(world: World, options: tuple[str, ...], url: str) -> None:
    done = world.net(*options, "curl", "-sS", url)
    assert (done.code, done.stdout) == (0, (world.served / "page").read_bytes()), done.words


@pytest.mark.parametrize("host", ["www.example", OUTSIDE, SIX, f"::ffff:{OUTSIDE}"])
def test_a_plain_socket(world: World, host: str) -> None:
    port = "22" if host != SIX else "80"
    done = world.net("--no-env", PYTHON, "-c", CONNECTS, host, port, timeout_s=30) if host != SIX else None
    if done is None:
        done = world.net(
            "--no-env", "curl", "-sS", "-o", "/dev/null", "-w", "SSH-2.0", f"http://[{SIX}]/page"
        )
    assert done.stdout.decode().strip() == "SSH-2.0", done.words


def test_who_waits_gets_the_very_error(world: World) -> None:
    script = CONNECTS + "\n"
    for host, port, said in (
        ("www.example", "81", "ConnectionRefusedError 111"),
        (OUTSIDE, "81", "ConnectionRefusedError 111"),
        ("nope.invalid", "80", "gaierror -2"),
        ("rebind.example", "80", "PermissionError 13"),
    ):
        done = world.net("--no-env", PYTHON, "-c", script, host, port)
        assert done.stdout.decode().strip() == said, (host, port, done.words)


def test_who_does_not_wait_sees_a_reset(world: World) -> None:
    done = world.net("--no-env", "curl", "-sS", "-m", "20", "http://www.example:81/")
    assert done.code in (52, 56), done.words  # sent and nothing came, or reset


def test_what_the_host_has_itself_stays_its_own(world: World) -> None:
    server = world.start_on_node(PYTHON, "-uc", SERVER)
    wait_until(lambda: server.out, 10, "a server of the node's own")
    port = server.out.decode().split()[0]
    for host in ("127.0.0.1", "localhost"):
        done = world.net(PYTHON, "-c", CONNECTS, host, port)
        assert done.stdout == b"of node\n", done.words
    done = world.net(PYTHON, "-c", CONNECTS, "127.0.0.1", "1")
    assert done.stdout == b"ConnectionRefusedError 111\n"
    server.kill()


SERVER = (
    "import socket\n"
    "s = socket.create_server(('127.0.0.1', 0))\n"
    "print(s.getsockname()[1])\n"
    "while True:\n"
    "    c, _ = s.accept()\n"
    "    c.sendall(b'of node')\n"
    "    c.close()\n"
)

GOES_ON = (
    "import os, socket, sys, time\n"
    "def outside():\n"
    "    try:\n"
    "        with socket.create_connection((sys.argv[2], 22), 20) as s:\n"
    "            return s.recv(3)\n"
    "    except OSError as error:\n"
    "        return error\n"
    "print(os.getppid(), outside(), flush=True)\n"
    "while not os.path.exists('go'): time.sleep(0.05)\n"
    "print(socket.create_connection(('127.0.0.1', int(sys.argv[1]))).recv(7), outside(), flush=True)\n"
)


@pytest.mark.parametrize("victim", ["keeper", "front", "client"])
def test_whichever_process_dies_the_host_stays_within_reach(world: World, victim: str) -> None:
    (world.work / "go").unlink(missing_ok=True)
    server = world.start_on_node(PYTHON, "-uc", SERVER)
    wait_until(lambda: server.out, 10, "a server of the node's own")
    child = world.start_net("--no-env", PYTHON, "-c", GOES_ON, server.out.decode().split()[0], OUTSIDE)
    wait_until(lambda: b"b'SSH'" in child.out, 20, lambda: f"a first connection\n{child.tell()}")
    front = int(child.out.split()[0])
    clients = [int(pid) for pid in _children(front) if "--carry" in _words(int(pid))]
    pid = {"keeper": child.pid, "front": front, "client": clients[0]}[victim]
    os.kill(pid, signal.SIGKILL)
    if victim == "keeper":
        child.wait()
    (world.work / "go").touch()
    wait_until(lambda: b"b'of node'" in child.out, 20, lambda: f"the node's own server\n{child.tell()}")
    expected = b"b'SSH'" if victim != "front" else b"unreachable"
    wait_until(lambda: expected in child.out.splitlines()[-1], 30, lambda: f"outside\n{child.tell()}")
    if victim != "keeper":
        assert child.wait(10).code == 0
    server.kill()


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return children.read().split()


def _words(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as words:
        return words.read().replace("\0", " ")


def test_what_the_command_leaves_behind_keeps_its_network(world: World) -> None:
    late = world.work / "late"
    late.unlink(missing_ok=True)
    script = "(sleep 1; curl -sS http://www.example/page -o late.part && mv late.part late) &"
    assert world.net("--no-env", "sh", "-c", script).code == 0
    wait_until(late.exists, 20, "the orphan's download")
    assert late.read_bytes() == (world.served / "page").read_bytes()


def test_many_at_once(world: World) -> None:
    script = (
        "import concurrent.futures as f, urllib.request as u\n"
        "with f.ThreadPoolExecutor(50) as pool:\n"
        "    pages = list(pool.map(lambda _: len(u.urlopen('http://www.example/page').read()), range(200)))\n"
        "print(set(pages), len(pages))\n"
    )
    done = world.net("--no-env", PYTHON, "-c", script, timeout_s=90)
    assert done.stdout == b"{1024000} 200\n", done.words


def test_io_uring_is_not_there_and_nothing_else_is_missing(world: World) -> None:
    script = "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(425, 1, 0), ctypes.get_errno())"
    assert world.net(PYTHON, "-c", script).stdout == b"-1 38\n"


def test_a_connection_that_is_made_by_sending_is_made_by_connecting(world: World) -> None:
    """MSG_FASTOPEN: the kernel would connect by itself, unseen. Programs fall back, as on a kernel without it."""
    script = (
        "import errno, socket\n"
        f"s = socket.socket(); place = ('{OUTSIDE}', 80); words = b'GET /page HTTP/1.0\\r\\n\\r\\n'\n"
        "try:\n"
        "    s.sendto(words, socket.MSG_FASTOPEN, place)\n"
        "except OSError as error:\n"
        "    print(error.errno == errno.EOPNOTSUPP)\n"
        "    s.connect(place); s.sendall(words)\n"
        "print(s.recv(12).split()[1].decode())\n"
    )
    done = world.net("--no-env", PYTHON, "-c", script)
    assert done.stdout == b"True\n200\n", done.words


MUSL = (
    "import ctypes, socket, struct, sys\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "server = bytearray(struct.pack('=H', 2) + struct.pack('!H', 53) + socket.inet_aton('203.0.113.99') + bytes(8))\n"
    "place = (ctypes.c_char * 16).from_buffer(server)\n"
    "labels = b''.join(bytes([len(l)]) + l for l in sys.argv[1].encode().split(b'.'))\n"
    "query = b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0' + labels + b'\\0\\0\\1\\0\\1'\n"
    "with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n"
    "    s.bind(('0.0.0.0', 0)); s.settimeout(20)\n"
    "    libc.sendto(s.fileno(), query, len(query), socket.MSG_NOSIGNAL, place, 16)\n"
    "    answer, (host, port) = s.recvfrom(512)\n"
    "print(server[4:8] == socket.inet_aton(host), server[2:4] == port.to_bytes(2, 'big'), answer[3] & 15, answer[7])\n"
)
"""As musl's getaddrinfo(3) asks: it sends without a connection, and takes an answer from the address that it holds."""


def test_a_name_that_is_asked_for_without_a_connection(world: World) -> None:
    assert world.net("--no-env", PYTHON, "-c", MUSL, "www.example").stdout == b"True True 0 1\n"
    assert world.net("--no-env", PYTHON, "-c", MUSL, "nope.invalid").stdout == b"True True 3 0\n"


ASKS = (
    "import select, socket, sys\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)\n"
    "if sys.argv[1] == 'watched': e = select.epoll(); e.register(s.fileno(), select.EPOLLIN)\n"
    "s.connect(('203.0.113.99', 53))\n"
    "s.send(b'\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3www\\7example\\0\\0\\1\\0\\1')\n"
    "if sys.argv[1] == 'watched': e.poll()\n"
    "answer, (host, port) = s.recvfrom(512)\n"
    "print(answer[7], host, s.get_inheritable(), s.gettimeout())\n"
)


@pytest.mark.parametrize("manner", ["plain", "watched"])
def test_an_answer_comes_from_the_name_server_that_was_meant(world: World, manner: str) -> None:
    """c-ares takes no other. Not where an epoll(7) knows the socket already, nor without user namespaces."""
    alone = ("unshare", "--user", "--map-root-user", "--net", "ip", "link", "set", "lo", "up")
    may_be = manner == "plain" and world.on_node(*alone).code == 0
    done = world.net("--no-env", PYTHON, "-c", ASKS, manner)
    host = "203.0.113.99" if may_be else "127.0.0.1"
    assert done.stdout.decode() == f"1 {host} False 20.0\n", done.words
    wait_until(lambda: not any(ASKS in words for words in marked(world.mark).values()), 10, "all to end")


def test_where_the_kernel_does_not_allow_it_one_line_says_so_and_variables_serve(world: World) -> None:
    """A second listener in one process tree is what the kernel refuses: as within some containers."""
    script = 'exec env -u PIGEON_PROXY "$@"'
    inner = [*world.pigeon, "net", "curl", "-sS", "http://www.example/page"]
    done = world.net("--no-env", "sh", "-c", script, "x", *inner)
    assert done.stdout == (world.served / "page").read_bytes()
    assert done.words.count("pigeon net: only programs that obey proxy variables are served") == 1


PROGRAMS = {
    "git": "git ls-remote https://www.example/repo.git",
    "wget": "wget -q -O - --ca-certificate={ca} https://www.example/hello",
    "pip": "{python} -m pip download --disable-pip-version-check --no-deps -q -d {work}/got"
    " --index-url https://www.example/simple --cert {ca} nothing",
    "urllib": "{python} -c \"import urllib.request as u; print(u.urlopen('https://www.example/hello').read().decode())\"",
    "http.client": '{python} -c "import http.client as h, ssl;'
    " c = h.HTTPSConnection('www.example', context=ssl.create_default_context(cafile='{ca}'));"
    " c.request('GET', '/hello'); print(c.getresponse().read().decode())\"",
    "asyncio": '{python} -c "import asyncio\nasync def main():\n'
    " r, w = await asyncio.open_connection('www.example', 22)\n"
    ' print((await r.readline()).decode())\nasyncio.run(main())"',
    "perl": "perl -MIO::Socket::INET -e \"print IO::Socket::INET->new(PeerAddr => 'www.example:22')->getline\"",
    "bash": "bash -c 'exec 3<>/dev/tcp/www.example/22; head -1 <&3'",
    "openssl": "openssl s_client -quiet -verify_quiet -connect www.example:443 -CAfile {ca}",
    "ssh": "ssh -o BatchMode=yes -o ConnectTimeout=20 -v www.example",
    "node": "node -e \"fetch('https://www.example/hello').then(r => r.text()).then(console.log)\"",
    "nc": "nc -w 5 www.example 22",
    "rsync": "rsync rsync://www.example:22/",
    "busybox": "busybox wget -q -O - http://{address}/hello",
}
SAID = {
    "git": b"refs/heads/main",
    "pip": b"",
    "asyncio": b"SSH-2.0-outside",
    "perl": b"SSH-2.0-outside",
    "bash": b"SSH-2.0-outside",
    "openssl": b"HTTP/1",
    "ssh": b"Remote protocol version 2.0, remote software version outside",
    "nc": b"SSH-2.0-outside",
    "rsync": b"SSH-2.0-outside",
}


LONG = {"wget", "node", "nc", "rsync", "busybox"}
"""Those that `tools/test` installs for its long run only."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in sorted(PROGRAMS)]
)
def test_programs_with_nothing_set(world: World, name: str) -> None:
    """Each by the catch alone, and with the variables besides, as `pigeon net` runs them."""
    if world.on_node("sh", "-c", f"command -v {name if name in EXECUTABLES else 'sh'}").code:
        pytest.skip(f"{name} is not installed")
    prepare(world)
    text = PROGRAMS[name].format(ca=world.base / "ca.pem", python=PYTHON, work=world.work, address=OUTSIDE)
    for options in ((), ("--no-env",)):
        done = world.net(
            *options, "sh", "-c", f"{text} 2>&1 </dev/null" if name != "openssl" else TALK.format(text)
        )
        assert SAID.get(name, b"hello from outside") in done.stdout, (
            options,
            done.stdout[-2000:],
            done.words,
        )


TALK = "(printf 'GET /hello HTTP/1.0\\r\\n\\r\\n'; sleep 2) | {} 2>&1"
EXECUTABLES = {"git", "wget", "perl", "bash", "openssl", "ssh", "node", "nc", "rsync", "busybox"}


def prepare(world: World) -> None:
    """What the programs fetch: a page, a repository over plain HTTP, a package index with one package."""
    if (world.served / "hello").exists():
        return
    script = """set -e
    git init -q -b main tree; cd tree; echo x > x; git add x
    git -c user.name=t -c user.email=t@t commit -q -m x; cd ..
    git clone -q --bare tree repo.git; git -C repo.git update-server-info
    mkdir -p simple/nothing
    echo '<a href="/nothing-1.0-py3-none-any.whl">nothing-1.0-py3-none-any.whl</a>' > simple/nothing/index.html
    python3 - <<END
import zipfile
with zipfile.ZipFile("nothing-1.0-py3-none-any.whl", "w") as z:
    z.writestr("nothing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: nothing\\nVersion: 1.0\\n")
    z.writestr("nothing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr("nothing-1.0.dist-info/RECORD", "")
END
    echo hello from outside > hello
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=world.served, env=world.env(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
