"""`Lab`: the processes of one cluster, which live as long as it does."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tools.slurm_lab import conf
from tools.slurm_lab.conf import Shape

PROGRAMS = ("slurmctld", "slurmd", "srun", "squeue", "munged", "unshare", "setpriv")
MOST_BYTES = 60
"""Of the directory's path: sockets lie below it, and a socket's name has 107 bytes (unix(7))."""
UP_S = 20.0
END_S = 3.0
_SEARCHED = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

_NODE = """
hostname "$1" && mount --bind "$2/var-tmp/$1" /var/tmp && mount --bind "$2/hosts/$1" /etc/hosts &&
exec slurmd -D -f "$2/slurm.conf" -N "$1"
"""


class LabError(Exception):
    """The cluster cannot be had, and why."""


class Job(NamedTuple):
    """A line of squeue(1)."""

    id: str
    state: str
    name: str
    node: str


def missing() -> str:
    """Why there can be no cluster on this machine; empty if there can."""
    lacks = [name for name in PROGRAMS if shutil.which(name, path=_SEARCHED) is None]
    if lacks:
        return f"no {', '.join(lacks)}: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "nodes in namespaces of their own take root"


class Lab:
    """`directory` is made, and removed by `down`; it has to lie on a local disk, with a short path."""

    def __init__(self, directory: Path, shape: Shape | None = None) -> None:
        self.directory = directory
        self.shape = shape or Shape()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def variables(self) -> dict[str, str]:
        """By which Slurm's commands find the cluster."""
        return {"SLURM_CONF": f"{self.directory}/slurm.conf"}

    def up(self) -> None:
        """Raises LabError: it does not come up, or cannot here."""
        why = missing()
        if why:
            raise LabError(why)
        if len(os.fsencode(self.directory)) > MOST_BYTES:
            raise LabError(f"`{self.directory}` is too long a path for sockets below it")
        self._lay_out()
        munge = f"{self.directory}/munge"
        self._start(
            "munged",
            *("munged", "--foreground", f"--socket={munge}/socket", f"--key-file={munge}/key"),
            *(f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"),
        )
        self._wait(lambda: os.path.exists(f"{munge}/socket"), "munged's socket")
        self._start("slurmctld", "slurmctld", "-D", "-c", "-i", "-f", f"{self.directory}/slurm.conf")
        for name in self.shape.nodes:
            self.restore(name)
        self.wait_idle()

    def _lay_out(self) -> None:
        for name in ("state", "spool", "log", "munge", "hosts", "var-tmp"):
            (self.directory / name).mkdir(parents=True)
        # Whoever asks munged must reach its socket; munged itself wants nobody else to write here.
        self.directory.chmod(0o755)
        key = self.directory / "munge" / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(1024))
        known = Path("/etc/hosts").read_text()
        for name in self.shape.nodes:
            (self.directory / "var-tmp" / name).mkdir()
            (self.directory / "var-tmp" / name).chmod(0o1777)
            (self.directory / "hosts" / name).write_text(f"{known}\n127.0.0.1 {name}\n")
        text = conf.text(
            self.shape,
            str(self.directory),
            host=socket.gethostname(),
            user=getpass.getuser(),
            ports=_free_ports(1 + len(self.shape.nodes)),
        )
        (self.directory / "slurm.conf").write_text(text)

    def _start(self, name: str, *argv: str) -> None:
        with (self.directory / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": _SEARCHED, **self.variables},
                start_new_session=True,
            )

    def restore(self, node: str) -> None:
        """The node has power (again)."""
        self._start(
            node,
            *("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", _NODE, "node", node, str(self.directory)),
        )

    def cut(self, node: str) -> None:
        """The node's power is cut: all that runs there is gone at once, and nobody is told."""
        self._end(node)

    def _end(self, name: str) -> None:
        """Through whatever stands before the daemon, which then reaps it: process 1 of a container may not do so."""
        daemon = self._daemons.pop(name)
        if name in self.shape.nodes:
            for child in Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
        else:
            daemon.terminate()
        try:
            daemon.wait(END_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def down(self) -> None:
        """End everything, and remove the directory."""
        for name in reversed(list(self._daemons)):
            self._end(name)
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait_idle(self) -> None:
        """Until each node waits for a job. Raises LabError."""
        self._wait(self._is_idle, "idle nodes")

    def _is_idle(self) -> bool:
        found = self.ask("sinfo", "-h", "-N", "-o", "%t").split()
        return found == ["idle"] * len(self.shape.nodes)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + UP_S
        while not condition():
            dead = [name for name, one in self._daemons.items() if one.poll() is not None]
            if dead or time.monotonic() > until:
                raise LabError(f"no {what} within {UP_S:g} s (ended: {dead})\n{self.tell()}")
            time.sleep(0.02)

    def ask(self, *argv: str) -> str:
        """What a command of Slurm's prints; empty if it fails."""
        done = subprocess.run(argv, env={**os.environ, **self.variables}, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def jobs(self) -> list[Job]:
        """Those that wait, run or are just ending."""
        lines = self.ask("squeue", "-h", "-a", "-o", "%i|%T|%j|%N").splitlines()
        return [Job(*line.split("|")) for line in lines]

    def calm_down(self) -> None:
        """Take every job away, and wait until the nodes are idle. Raises LabError."""
        if self.jobs():
            self.ask("scancel", f"--user={getpass.getuser()}")
            self._wait(lambda: not self.jobs(), "empty queue")
        self.wait_idle()

    def tell(self) -> str:
        """The ends of the daemons' logs."""
        logs = sorted((self.directory / "log").glob("*"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


@contextmanager
def lab_in(directory: Path, shape: Shape | None = None) -> Iterator[Lab]:
    """A cluster that is gone afterwards, however that is reached."""
    made = Lab(directory, shape)
    try:
        made.up()
        yield made
    finally:
        made.down()


def environment(lab: Lab, own: Mapping[str, str]) -> dict[str, str]:
    """`own` without an allocation that this process may run in, and with the lab."""
    return {name: value for name, value in own.items() if not name.startswith("SLURM_")} | lab.variables
