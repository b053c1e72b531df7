"""Three hosts made of network namespaces: a node with loopback only, a worker's host, and the world outside it.

Everything of pigeon runs as an ordinary user (nobody), with Debian's Python, whose directory that user may read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.processes import MARK, Child, Result, kill_marked, marked, run_to_end
from tests.helpers.surroundings import ROOT
from tests.helpers.waiting import wait_until

UID = 65534
"""nobody: ssh wants a user whom passwd(5) knows."""
WORKER, OUTSIDE, SIX = "203.0.113.1", "203.0.113.34", "2001:db8:113::34"
"""Documentation's addresses (RFC 5737, RFC 3849): nobody's, and not private."""

PYTHON = "/usr/bin/python3"


class Host:
    """A network namespace with a resolv.conf of its own, held by a process that sleeps."""

    def __init__(self, base: Path, name: str, name_server: str) -> None:
        self.base = base
        resolv = base / f"resolv-{name}.conf"
        resolv.write_text(f"nameserver {name_server}\noptions timeout:2 attempts:2\n")
        script = (
            f"ip link set lo up && mount --bind {resolv} /etc/resolv.conf && echo up && exec sleep infinity"
        )
        words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"up\n":
            pytest.skip("network namespaces cannot be made here")
        self.process.stdout.close()

    @property
    def enter(self) -> list[str]:
        """Words before a command."""
        return ["nsenter", "-t", str(self.process.pid), "-n", "-m", f"--wd={self.base}/work"]

    def ip(self, words: str) -> None:
        """`ip` in there."""
        subprocess.run([*self.enter, "ip", *words.split()], check=True)

    def close(self) -> None:
        """Let it go."""
        self.process.kill()
        self.process.wait()


class World:
    """The three, a share, and a worker that serves it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.mark = base.name
        self.served = base / "served"
        self.home, self.share, self.work = base / "home", base / "share", base / "work"
        for path in (self.served, self.home, self.share, self.work, base / "logs", base / "run"):
            path.mkdir(mode=0o755)
            os.chown(path, UID, UID)
        for path in (self.home, self.share, base / "run"):
            path.chmod(0o700)
        (self.served / "page").write_bytes(bytes(range(256)) * 4000)
        self._certificate()
        self.node = Host(base, "node", "203.0.113.99")
        self.worker = Host(base, "worker", OUTSIDE)
        self.outside = Host(base, "outside", OUTSIDE)
        self.worker.ip(f"link add w type veth peer name o netns {self.outside.process.pid}")
        for host, device, four, six in (
            (self.worker, "w", WORKER, "2001:db8:113::1"),
            (self.outside, "o", OUTSIDE, SIX),
        ):
            host.ip(f"addr add {four}/24 dev {device}")
            host.ip(f"addr add {six}/64 dev {device} nodad")
            host.ip(f"link set {device} up")
        self.children: list[Child] = []
        script = str(Path(__file__).with_name("outside.py"))
        servers = self._start(self.outside.enter, [PYTHON, script, OUTSIDE, str(self.served)])
        wait_until(lambda: b"ready" in servers.out, 15, lambda: f"the world\n{servers.tell()}")
        worker = self._start([*self.worker.enter, *self.as_user], [*self.pigeon, "worker"])
        wait_until(lambda: b"journal" in worker.out, 15, lambda: f"the worker\n{worker.tell()}")

    def _certificate(self) -> None:
        """An authority that every program here is told of, and the servers' certificate: some take no authority's."""
        (self.base / "openssl.conf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        new = "openssl req -x509 -config openssl.conf -days 2 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256"
        for words in (
            "-subj /CN=authority -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem",
            "-subj /CN=outside -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out certificate.pem"
            " -addext subjectAltName=DNS:*.example,DNS:www.example -CA ca.pem -CAkey ca.key",
        ):
            subprocess.run([*new.split(), *words.split()], cwd=self.base, check=True, capture_output=True)
        texts = [(self.base / name).read_text() for name in ("key.pem", "certificate.pem")]
        (self.served / "server.pem").write_text("".join(texts))
        (self.base / "ca.pem").chmod(0o644)

    @property
    def as_user(self) -> list[str]:
        """Words before a command that is to run as an ordinary user."""
        return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]

    @property
    def pigeon(self) -> list[str]:
        """The words that start pigeon."""
        return [PYTHON, "-m", "pigeon"]

    def env(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Of every process here; nothing of a proxy in it."""
        packages = [path for path in sys.path if path.endswith("site-packages")]
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.home),
            "XDG_RUNTIME_DIR": str(self.base / "run"),
            "PYTHONPATH": ":".join([str(ROOT), *packages]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIGEON_CACHE": str(self.share),
            "PIGEON_NAMESPACE": "net",
            "PIGEON_JOURNAL": str(self.home / "journal.db"),
            "SSL_CERT_FILE": str(self.base / "ca.pem"),
            "CURL_CA_BUNDLE": str(self.base / "ca.pem"),
            "REQUESTS_CA_BUNDLE": str(self.base / "ca.pem"),
            "NODE_EXTRA_CA_CERTS": str(self.base / "ca.pem"),
            "GIT_SSL_CAINFO": str(self.base / "ca.pem"),
            "GIT_CONFIG_NOSYSTEM": "1",
            MARK: self.mark,
            **(extra or {}),
        }

    def _start(self, before: list[str], words: list[str]) -> Child:
        log = self.base / "logs" / f"{len(self.children)}"
        child = Child([*before, *words], env=self.env(), cwd=self.work, log=log, merge=True)
        self.children.append(child)
        return child

    def on_node(self, *words: str, timeout_s: float = 60.0, env: Mapping[str, str] | None = None) -> Result:
        """Run a program on the node, as it is: it has no network."""
        argv = [*self.node.enter, *self.as_user, *words]
        return run_to_end(argv, env=self.env(env), cwd=self.work, timeout_s=timeout_s)

    def net(self, *words: str, timeout_s: float = 60.0, env: Mapping[str, str] | None = None) -> Result:
        """`pigeon net words…` on the node."""
        return self.on_node(*self.pigeon, "net", *words, timeout_s=timeout_s, env=env)

    def start_net(self, *words: str) -> Child:
        """The same in the background."""
        return self._start([*self.node.enter, *self.as_user], [*self.pigeon, "net", *words])

    def start_on_node(self, *words: str) -> Child:
        """Any program there, in the background."""
        return self._start([*self.node.enter, *self.as_user], list(words))

    def start_outside(self, *words: str) -> Child:
        """One more server of the world outside, as root."""
        return self._start(self.outside.enter, list(words))

    def close(self) -> None:
        """End everything."""
        for child in reversed(self.children):
            if child.running:
                child.signal(15)
                with contextlib.suppress(AssertionError):
                    child.wait(5)
                child.kill()
        left = marked(self.mark)
        kill_marked(self.mark, left)
        for host in (self.node, self.worker, self.outside):
            host.close()
        shutil.rmtree(self.base, ignore_errors=True)


def can_be_made() -> str:
    """Why there can be no such world here; "" if there can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    done = subprocess.run(
        [PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, text=True
    )
    if done.stdout != "True\n":
        return f"needs {PYTHON} of version 3.11 or newer"
    missing = [
        name
        for name in ("unshare", "nsenter", "setpriv", "ip", "openssl", "curl")
        if shutil.which(name) is None
    ]
    return f"needs {', '.join(missing)}" if missing else ""


@contextlib.contextmanager
def a_world() -> Iterator[World]:
    """For the length of a module; skips where it cannot be made."""
    why = can_be_made()
    if why:
        pytest.skip(why)
    base = Path(tempfile.mkdtemp(prefix="pgw", dir="/tmp"))
    base.chmod(0o755)
    world = World(base)
    try:
        yield world
    finally:
        world.close()
