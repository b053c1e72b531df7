"""An sshd on loopback with keys, port and configuration of its own, and a ControlMaster.

Needs no root; as root it makes /run/sshd where that is missing, since sshd refuses to start without it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from types import TracebackType

from .drive import last_words
from .lab import Child, Failed, Lab, await_condition

_SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/user_key.pub
PidFile none
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 1000
LogLevel ERROR
SetEnv HOME={home}
"""
_CLIENT = """\
Host plain mux
  HostName 127.0.0.1
  Port {port}
  IdentityFile {root}/user_key
  IdentitiesOnly yes
  PreferredAuthentications publickey
  UserKnownHostsFile {root}/known_hosts
  GlobalKnownHostsFile /dev/null
  LogLevel QUIET
Host mux
  ControlPath {root}/master
"""


class Sshd:
    """A running sshd. `client_config` knows the hosts `plain` and `mux`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._root = lab.fresh("ssh")
        self.client_config = f"{self._root}/client_config"
        self._log = f"{self._root}/log"
        self._server: Child | None = None
        self._master: Child | None = None

    def __enter__(self) -> Sshd:
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
        if program is None or shutil.which("ssh") is None:
            raise Failed("ssh and sshd are not installed")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self._root}/{name}"], check=True
            )
        port = _free_port()
        values = {"port": port, "root": self._root, "home": self._lab.home}
        self._write("server_config", _SERVER.format(**values))
        self._write("client_config", _CLIENT.format(**values))
        with open(f"{self._root}/host_key.pub", encoding="ascii") as file:
            self._write("known_hosts", f"[127.0.0.1]:{port} {file.read()}")
        self._server = self._spawn([program, "-D", "-e", "-f", f"{self._root}/server_config"])
        await_condition(lambda: _answers(port) or self._dead(self._server), 10, "sshd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in (self._master, self._server):
            if child is not None:
                child.end()

    def ensure_master(self) -> None:
        """A ControlMaster that is ready, started where it is missing."""
        if self._master is None or self._master.ended():
            self._master = self._spawn(["ssh", "-F", self.client_config, "-M", "-N", "mux"])
            await_condition(lambda: self._checked() or self._dead(self._master), 15, "ssh ControlMaster")

    def _checked(self) -> bool:
        check = ["ssh", "-q", "-F", self.client_config, "-O", "check", "mux"]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def _dead(self, child: Child | None) -> bool:
        if child is not None and child.ended():
            raise Failed(f"sshd or its master ended: {last_words(self._log)}")
        return False

    def _spawn(self, argv: list[str]) -> Child:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return Child(
            argv,
            self._lab.environment(),
            self._root,
            [
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self._log, flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            own_session=True,
        )

    def _write(self, name: str, text: str) -> None:
        with open(f"{self._root}/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
