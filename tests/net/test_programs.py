"""Many programs with nothing set but `pigeon net`, on a node without a network: languages, libraries, clients.

Some ignore proxies altogether (static Go, Java, urllib3, aiohttp, Node 20, sockets), some break on SOCKS variables
(httpx, websockets, restic). Each runs as `pigeon net` runs it; what is not installed is skipped.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.net.world import OUTSIDE, PYTHON, World, a_world

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

PACKAGES = "requests httpx aiohttp urllib3 websockets websocket-client huggingface_hub fsspec uv aiodns"
URL = "https://www.example/hello"

LIBRARIES = {
    "requests": f"import requests; print(requests.get('{URL}').text)",
    "httpx": f"import httpx, ssl; print(httpx.get('{URL}', verify=ssl.create_default_context()).text)",
    "urllib3": f"import urllib3, ssl; p = urllib3.PoolManager(ssl_context=ssl.create_default_context());"
    f" print(p.request('GET', '{URL}').data.decode())",
    "aiohttp": "import aiohttp, asyncio\nasync def main():\n async with aiohttp.ClientSession() as s:\n"
    f"  async with s.get('{URL}') as r: print(await r.text())\nasyncio.run(main())",
    "aiohttp, getaddrinfo": "import aiohttp, asyncio\nasync def main():\n"
    " c = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())\n"
    " async with aiohttp.ClientSession(connector=c) as s:\n"
    f"  async with s.get('{URL}') as r: print(await r.text())\nasyncio.run(main())",
    "aiohttp, trust_env": "import aiohttp, asyncio\nasync def main():\n"
    " async with aiohttp.ClientSession(trust_env=True) as s:\n"
    f"  async with s.get('{URL}') as r: print(await r.text())\n"
    "asyncio.run(main())",
    "fsspec": f"import fsspec; print(fsspec.open('{URL}').open().read().decode())",
    "websockets": "import websockets, asyncio, ssl\nasync def main():\n"
    " async with websockets.connect('wss://www.example/socket', ssl=ssl.create_default_context()) as s:\n"
    "  await s.send('hello from outside'); print(await s.recv())\nasyncio.run(main())",
    "websocket-client": "import websocket, ssl, os; s = websocket.create_connection('wss://www.example/socket',"
    " sslopt={'ca_certs': os.environ['SSL_CERT_FILE']}); s.send('hello from outside'); print(s.recv())",
    "huggingface_hub": "from huggingface_hub.utils import get_session; r = get_session().get('http://www.example/hello');"
    " print(r.text)",
    "ftplib's sockets": "import socket; s = socket.create_connection(('www.example', 80));"
    " s.sendall(b'GET /hello HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())",
}

GO = """package main
import ("fmt"; "io"; "net/http")
func main() {
    r, err := http.Get("http://www.example/hello")
    if err != nil { fmt.Println(err); return }
    b, _ := io.ReadAll(r.Body); fmt.Println(string(b))
}
"""
GO_SOCKET = """package main
import ("fmt"; "net"; "bufio")
func main() {
    c, err := net.Dial("tcp", "www.example:22")
    if err != nil { fmt.Println(err); return }
    s, _ := bufio.NewReader(c).ReadString('\\n'); fmt.Println(s)
}
"""
MUSL = r"""#include <netdb.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/socket.h>
int main(int count, char **words) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int failure = getaddrinfo(words[1], "22", &hints, &found), fd;
    char said[32] = "";
    if (failure) return puts(gai_strerror(failure)), 1;
    fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (connect(fd, found->ai_addr, found->ai_addrlen)) return perror("connect"), 2;
    read(fd, said, 15);
    puts(said);
}
"""
JAVA = """import java.net.*; import java.io.*;
public class Get { public static void main(String[] a) throws Exception {
    try (Socket s = new Socket("www.example", 22)) {
        System.out.println(new BufferedReader(new InputStreamReader(s.getInputStream())).readLine()); } } }
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_world() as made:
        (made.served / "hello").write_text("hello from outside\n")
        yield made


@pytest.fixture(scope="module")
def libraries() -> Iterator[Path]:
    """A virtual environment with the libraries, which the ordinary user may read."""
    given = os.environ.get("PIGEON_TEST_LIBRARIES")
    if given:
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="pgl", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        for words in ([PYTHON, "-m", "venv", name], [f"{name}/bin/pip", "install", "-q", *PACKAGES.split()]):
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"no libraries: {done.stderr[-300:]}")
        yield path


@pytest.mark.parametrize("options", [(), ("--no-env",)], ids=["as it is", "catch alone"])
@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_libraries(world: World, libraries: Path, name: str, options: tuple[str, ...]) -> None:
    env = {"PYTHONPATH": world.env()["PYTHONPATH"], "HF_HUB_DISABLE_TELEMETRY": "1"}
    words = ["env", "-u", "PYTHONPATH", str(libraries / "bin" / "python"), "-c", LIBRARIES[name]]
    done = world.net(*options, *words, env=env, timeout_s=120)
    assert b"hello from outside" in done.stdout, done.words[-3000:]


def built(world: World, words: list[str], name: str, text: str) -> None:
    """Compile a source file where there is a network, in the world's work directory."""
    (world.work / name).write_text(text)
    env = world.env({"GOCACHE": "/tmp/pgw-go-cache", "GO111MODULE": "off", "CGO_ENABLED": "0"})
    done = subprocess.run(words, cwd=world.work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def needs(world: World, name: str) -> None:
    if world.on_node("sh", "-c", f"command -v {name}").code:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize(("source", "said"), [(GO, "hello from outside"), (GO_SOCKET, "SSH-2.0-outside")])
@pytest.mark.parametrize("options", [(), ("--no-env",)], ids=["as it is", "catch alone"])
def test_static_go(world: World, source: str, said: str, options: tuple[str, ...]) -> None:
    needs(world, "go")
    built(world, ["go", "build", "-o", "get", "get.go"], "get.go", source)
    done = world.net(*options, "./get")
    assert said in done.stdout.decode(), (done.stdout, done.words)


@pytest.mark.parametrize("options", [(), ("--no-env",)], ids=["as it is", "catch alone"])
def test_static_musl(world: World, options: tuple[str, ...]) -> None:
    """It asks name servers by itself, without a connection (the default tests have an imitation of this)."""
    needs(world, "musl-gcc")
    built(world, ["musl-gcc", "-static", "-o", "musl", "musl.c"], "musl.c", MUSL)
    assert world.net(*options, "./musl", "www.example").stdout == b"SSH-2.0-outside\n"
    assert world.net(*options, "./musl", "nope.invalid").stdout == b"Name does not resolve\n"


def test_java(world: World) -> None:
    needs(world, "javac")
    (world.work / "Get.java").write_text(JAVA)
    done = world.net("java", "Get.java", timeout_s=120)
    assert b"SSH-2.0-outside" in done.stdout, done.words


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "restic",
            f"restic -r rest:http://{OUTSIDE}/repository --password-command 'echo x' cat config",
            "<config/> does not exist",
        ),
        ("gh", "GH_TOKEN=x GH_HOST=www.example gh api hello", "gh: HTTP 404"),
        ("uv", "{bin}/uv pip install --dry-run --target x --index-url http://www.example/simple nothing", "nothing"),
    ],
)  # fmt: skip
def test_other_clients(world: World, libraries: Path, name: str, text: str, said: str) -> None:
    if name != "uv":
        needs(world, name)
    done = world.net("sh", "-c", text.format(bin=libraries / "bin") + " 2>&1", timeout_s=120)
    assert said in done.stdout.decode(), done.stdout
