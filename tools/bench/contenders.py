"""Who is measured: bash, ssh in four ways, pigeon and its variants, and peers with pigeon's command line.

A contender is opened for one case and gives a `Standing`: how to write a command line for it, and the worker that
stands behind it. Each standing has a share, a journal and a worker of its own, so no case sees what another one left.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .crowd import multiply_finished_session
from .drive import Argv, Env, Piped, last_words
from .lab import Child, Failed, FileAction, Lab, await_condition
from .sshd import Sshd

NAMESPACE = "bench"


class Standing:
    """One contender, ready for one case."""

    def __init__(self, lab: Lab, name: str, env: Env) -> None:
        self.lab = lab
        self.name = name
        self.env = env
        self.cwd = lab.fresh("cwd")
        self.log = f"{lab.fresh('log')}/stderr"
        self.worker: Child | None = None
        self.trace = ""  # where both sides write their steps; empty where they don't
        self.share = ""  # the worker's name of it; empty where there is none
        self.client_share = ""

    def argv(self, text: str, terminal: bool = False) -> Argv:
        """The command line that runs shell text `text`."""
        return ["bash", "-lc", text]

    def start(
        self, text: str, cwd: str | None = None, with_input: bool = False, before: Argv | None = None
    ) -> Piped:
        """Start `text` on pipes; `before` stands before the command line (a tracer)."""
        return Piped([*(before or []), *self.argv(text)], self.env, cwd or self.cwd, self.log, with_input)

    def sessions(self) -> list[str]:
        """Directories of the sessions on the share, oldest first."""
        path = f"{self.share}/namespaces/{NAMESPACE}/sessions"
        try:
            names = sorted(os.listdir(path))
        except OSError as error:
            raise Failed(f"no sessions on its share: {error.strerror}") from error
        return [f"{path}/{name}" for name in names if not name.startswith(".")]


class Contender:
    """`bash -lc`, and the base of the others."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        """Ready for one case."""
        yield Standing(lab, self.name, lab.environment())


class _SshStanding(Standing):
    prefix: Argv = []

    def argv(self, text: str, terminal: bool = False) -> Argv:
        return [*self.prefix, f"cd {self.cwd} && {text}" if text != "true" else text]


class Ssh(Contender):
    """ssh to the loopback sshd: `-T` or `-tt`, over a ready ControlMaster or with a connection of its own."""

    def __init__(self, name: str, sshd: Sshd, flag: str, mux: bool) -> None:
        super().__init__(name)
        self._sshd, self._flag, self._mux = sshd, flag, mux

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        standing = _SshStanding(lab, self.name, lab.environment())
        standing.prefix = [
            "ssh",
            "-q",
            "-F",
            self._sshd.client_config,
            self._flag,
            "mux" if self._mux else "plain",
        ]
        if self._mux:
            self._sshd.ensure_master()
        yield standing


BARE_CLIENT = """
import os
from pigeon import cli, startup
startup.preload(startup.COMMAND)
import pigeon.commands.run
if os.fork() == 0:
    command = os.posix_spawnp("bash", ["bash", "-lc", "true"], os.environ)
    startup.preload(startup.SESSION)
    import pigeon.client.session.conversation, pigeon.client.session.guardian_front
    os._exit(os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]))
startup.preload(startup.GUARDIAN)
import pigeon.client.terminal.foreground
os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
"""pigeon's two client processes with what they import, and the command run at once: no share, worker or journal."""


class _PythonStanding(Standing):
    prefix: Argv = []

    def argv(self, text: str, terminal: bool = False) -> Argv:
        return self.prefix


class Python(Contender):
    """The interpreter that pigeon is installed with, running `code`, whatever it is asked to run."""

    def __init__(self, name: str, python: str, code: str = "pass") -> None:
        super().__init__(name)
        self._python, self._code = python, code

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        standing = _PythonStanding(lab, self.name, lab.environment())
        standing.prefix = [self._python, "-c", self._code]
        yield standing


class _PigeonStanding(Standing):
    prefix: Argv = []

    def argv(self, text: str, terminal: bool = False) -> Argv:
        return [*self.prefix, text]


class Pigeon(Contender):
    """pigeon, or a peer with its command line.

    `with_config`: the client's settings come from a file; `crowd`: finished sessions on the share; `traced`: both sides
    write down when they come to each step.
    """

    def __init__(
        self, name: str, command: Argv, with_config: bool = False, crowd: int = 0, traced: bool = False
    ) -> None:
        super().__init__(name)
        self._command, self._with_config, self._crowd, self._traced = command, with_config, crowd, traced

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        with self._open(lab, worker_args, lab.shares) as standing:
            yield standing

    @contextmanager
    def _open(
        self, lab: Lab, worker_args: tuple[str, ...], shares: tuple[str, str] | None
    ) -> Iterator[Standing]:
        standing = _PigeonStanding(lab, self.name, lab.environment())
        standing.prefix = list(self._command)
        private = lab.fresh("pigeon")
        bases = shares or (private, private)
        leaf = f"{os.path.basename(private)}-{os.getpid()}-share"
        standing.client_share, standing.share = (f"{base}/{leaf}" for base in bases)
        os.mkdir(standing.share, 0o700)
        worker_env = self._environment(standing, private)
        try:
            self._serve(standing, worker_env, worker_args)
            if self._crowd:
                # the copies are made while no worker runs: it must meet them as a worker does that starts late
                _stop(standing)
                multiply_finished_session(standing.sessions()[0], self._crowd)
                self._serve(standing, worker_env, worker_args)
            yield standing
        finally:
            _stop(standing)
            shutil.rmtree(standing.share, ignore_errors=True)

    def crowded(self, crowd: int) -> Pigeon:
        """The same with that many finished sessions."""
        return Pigeon(self.name, self._command, self._with_config, crowd)

    def _environment(self, standing: Standing, private: str) -> Env:
        """Sets the client's environment; returns the worker's, which differs in the path of the share only."""
        common = {"PIGEON_NAMESPACE": NAMESPACE, "PIGEON_JOURNAL": f"{private}/journal.db"}
        if self._traced:
            standing.trace = common["PIGEON_TRACE"] = f"{private}/steps"
        worker_env = {**standing.env, **common, "PIGEON_CACHE": standing.share}
        if self._with_config:
            directory = f"{private}/config/pigeon"
            os.makedirs(directory)
            with open(f"{directory}/config.toml", "w", encoding="utf-8") as file:
                file.write(_CONFIG.format(cache=standing.client_share, namespace=NAMESPACE))
            standing.env["XDG_CONFIG_HOME"] = f"{private}/config"
        else:
            standing.env |= {**common, "PIGEON_CACHE": standing.client_share}
        return worker_env

    def _serve(self, standing: Standing, env: Env, worker_args: tuple[str, ...]) -> None:
        """Start a worker and see a command through it. What has no verb `worker` is measured without one."""
        log = standing.log + ".worker"
        out = (
            os.POSIX_SPAWN_OPEN,
            1,
            log,
            os.O_WRONLY | os.O_CREAT | os.O_APPEND,
            0o600,
        )
        actions: list[FileAction] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            out,
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        worker = Child([*self._command, "worker", *worker_args], env, standing.cwd, actions, own_session=True)
        standing.worker = worker
        time.sleep(0.3)
        if worker.ended():
            standing.worker = None
        try:
            standing.start("true").finish(standing.lab.buffer(1 << 16), timeout_s=20)
        except Failed as error:
            raise Failed(
                f"no command came through: {error}; worker's last words: {last_words(log)}"
            ) from error


class Served(Pigeon):
    """pigeon with a worker that runs already, maybe on another machine; all directories of the run are on its share."""

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        standing = _PigeonStanding(lab, self.name, lab.environment())
        standing.prefix = list(self._command)
        standing.share = standing.client_share = lab.served or ""
        self._environment(standing, lab.fresh("pigeon"))
        standing.start("true").finish(lab.buffer(1 << 16))
        yield standing


class TwoCaches(Pigeon):
    """pigeon over the filesystem of the tests: client and worker behind caches of 3 s and 30 s, 1 ms an operation."""

    @contextmanager
    def open(self, lab: Lab, worker_args: tuple[str, ...]) -> Iterator[Standing]:
        from tests.mounts import rigs

        if reason := rigs.missing("twocache"):
            raise Failed(f"no two-cache filesystem here: {reason}")
        with (
            rigs.two_mounts(latency_s=0.001) as mounts,
            # its flock holds between the mounts, which pigeon cannot know of a FUSE filesystem
            self._open(lab, (*worker_args, "--lock", "flock"), (str(mounts.a), str(mounts.b))) as standing,
        ):
            yield standing


def _stop(standing: Standing) -> None:
    """TERM, TERM again (ends sessions that are left), KILL."""
    worker, standing.worker = standing.worker, None
    if worker is None:
        return
    for patience_s in (3.0, 5.0):
        worker.signal(signal.SIGTERM)
        try:
            await_condition(worker.ended, patience_s, "end of the worker")
            return
        except Failed:
            continue
    worker.kill()


_CONFIG = """\
cache = "{cache}"
namespace = "{namespace}"

[worker]
max_jobs = 8
poll_interval = 0.2

[client]
env_exclude = ["DISPLAY", "XAUTHORITY"]

[remote_env]
HTTPS_PROXY = "http://127.0.0.1:3128"
NO_PROXY = "localhost,127.0.0.1"
"""
