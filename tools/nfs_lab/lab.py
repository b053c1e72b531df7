"""The lab as Python sees it: start it, mount, run things in it, hurt it, and be sure that nothing stays.

    with Lab.start(nfs="4.2", options=["noac"], lease_s=15) as lab:
        lab.exec("a", ["touch", "/share/x"])
        lab.exec("b", ["ls", "/share"]).stdout

The machines end with this process, whatever ends it: the keeper watches a pipe that only this process holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal

from . import nfs
from .caller import ask
from .errors import LabError
from .kernel import CHECKOUT, missing_packages

COMMAND = CHECKOUT / "tools" / "nfs-lab"
CLIENTS = ("a", "b")
BOOT_S = 240.0
"""How long the machines may take to start together. Emulated on a busy host it was 20 to 60 s."""
SETUP_S = 180.0

Stream = int | IO[Any] | None


class Lab:
    """One running lab, by name. `start` makes one; `Lab(name)` joins one that somebody else runs."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self.lease_s = 90
        self.timings: dict[str, float] = {}
        """Seconds that the steps of starting took."""
        self._keeper: subprocess.Popen[bytes] | None = None

    # Life

    @classmethod
    def start(
        cls,
        name: str | None = None,
        *,
        nfs: str = "4.2",
        options: Sequence[str] = (),
        lease_s: int = 90,
        accel: str = "auto",
        memory_mb: int = 1536,
        disk_mb: int = 4096,
        hours: float = 8.0,
        detach: bool = False,
    ) -> Lab:
        """Boot three machines, export and mount. Raises `LabError` when anything of that fails; nothing is left then.

        `detach` leaves the lab running after this process, for `hours` at most or until `stop`.
        """
        if missing := missing_packages():
            raise LabError(f"not installed: {', '.join(missing)}", "run `tools/nfs-lab setup` as root")
        lab = cls(name or f"pid-{os.getpid()}")
        lab.lease_s = lease_s
        words = ["--lab", lab.name, "--accel", accel]
        words += ["--memory-mb", str(memory_mb), "--disk-mb", str(disk_mb)]
        words += ["--hours", str(hours), *([] if detach else ["--lifeline"])]
        try:
            lab._start_keeper(words, detach)
            lab._boot(nfs, tuple(options))
        except BaseException:
            lab.stop()
            raise
        return lab

    def _start_keeper(self, words: list[str], detach: bool) -> None:
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tools.nfs_lab.keeper", *words],
            stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Detached, it would keep a pipe open that the caller's reader waits to see the end of.
            stderr=subprocess.DEVNULL if detach else None,
            env=environment,
            start_new_session=True,  # a Ctrl-C here is for us; we then stop it in order
        )
        assert self._keeper.stdout
        first = json.loads(self._keeper.stdout.readline() or b'{"error": "the keeper died", "hint": null}')
        if "error" in first:
            raise LabError(first["error"], first["hint"])

    def _boot(self, version: str, options: tuple[str, ...]) -> None:
        started = time.monotonic()
        for machine in ("server", *CLIENTS):
            ask(self.name, do="await", machine=machine, timeout_s=BOOT_S)
        self.timings["boot_s"] = time.monotonic() - started
        started = time.monotonic()
        self._script("server", nfs.SERVER_UP, str(self.lease_s), "1")
        for machine in CLIENTS:
            self._script(machine, nfs.CLIENT_UP)
        self.timings["services_s"] = time.monotonic() - started
        self.mount(version, options)

    def stop(self) -> None:
        """End all machines and wait until they are gone. Safe to call again."""
        if self._keeper is None:
            ask(self.name, do="stop")
            return
        if self._keeper.stdin:
            self._keeper.stdin.close()
        self._keeper.terminate()
        try:
            self._keeper.wait(15)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # its machines die with it
            self._keeper.wait()
        assert self._keeper.stdout
        self._keeper.stdout.close()

    def wait(self) -> None:
        """Until the keeper ends (its time is up, or somebody stopped it)."""
        assert self._keeper
        self._keeper.wait()

    def let_go(self) -> None:
        """Leave a detached lab to itself."""
        assert self._keeper and self._keeper.stdout
        self._keeper.stdout.close()
        self._keeper.returncode = 0  # it lives on; Popen must not warn about that

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Commands

    def command(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        user: int = 0,
        pty: bool = False,
    ) -> list[str]:
        """The words that run `argv` in `machine` from any shell or `Popen` of the host."""
        words = [sys.executable, str(COMMAND), "run", "--lab", self.name, "--user", str(user)]
        if pty:
            words.append("--tty")
        if cwd is not None:
            words += ["--cwd", cwd]
        for key, value in (env or {}).items():
            words += ["--env", f"{key}={value}"]
        return [*words, machine, "--", *argv]

    def exec(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        timeout_s: float | None = 120.0,
        check: bool = False,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        user: int = 0,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end; output and exit code as `subprocess.run` gives them, 128 + n after signal n."""
        stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        words = self.command(machine, argv, env=env, cwd=cwd, user=user)
        return subprocess.run(words, capture_output=True, timeout=timeout_s, check=check, **stdin)

    def popen(
        self,
        machine: str,
        argv: Sequence[str],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: dict[str, str] | None = None,
        cwd: str | None = None,
        user: int = 0,
        pty: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start it. Signals sent to the process returned reach the command; killing it hangs the command up.

        `pty` gives the command a terminal over there, whatever its streams are here.
        """
        words = self.command(machine, argv, env=env, cwd=cwd, user=user, pty=pty)
        return subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=stderr)

    def _script(self, machine: str, text: str, *arguments: str) -> str:
        """Run a shell text. Raises `LabError` with what it said when it fails."""
        done = self.exec(machine, ["bash", "-c", text, "lab", *arguments], timeout_s=SETUP_S)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise LabError(f"in machine `{machine}`, exit code {done.returncode}: {said}")
        return done.stdout.decode(errors="replace")

    # The share

    def mount(
        self, version: str = "4.2", options: Sequence[str] = (), machines: Sequence[str] = CLIENTS
    ) -> None:
        """Mount the export in `machines` (again, if it is mounted), with exactly these options."""
        words = nfs.mount_options(version, tuple(options))
        started = time.monotonic()
        mounted = {machine: self._script(machine, nfs.MOUNT, words).strip() for machine in machines}
        self.timings["mount_s"] = time.monotonic() - started
        asked = dict.fromkeys(machines, words)
        note = self.status()["note"]
        ask(
            self.name,
            do="note",
            mounted=note.get("mounted", {}) | mounted,
            asked=note.get("asked", {}) | asked,
            lease_s=self.lease_s,
        )

    def status(self) -> dict[str, Any]:
        """Machines and mounts, as `nfs-lab status --json` prints them."""
        return ask(self.name, do="status")

    # Misfortune

    def restart_server(self, crash: bool = False) -> None:
        """Restart the NFS server: its service, or, with `crash`, the machine by pulling its plug.

        Returns when it serves again; its grace period, as long as the lease, has then only begun.
        """
        if not crash:
            self._script("server", nfs.SERVER_RESTART)
            return
        self.power_off("server")
        self.power_on("server")
        self._script("server", nfs.SERVER_UP, str(self.lease_s), "0")

    def cut(self, machine: Literal["a", "b"]) -> None:
        """Unplug a client's wire at the server's end: the client sees silence, as behind a dead switch."""
        ask(self.name, do="wire", machine="server", number=CLIENTS.index(machine), connected=False)

    def mend(self, machine: Literal["a", "b"]) -> None:
        """Plug it in again."""
        ask(self.name, do="wire", machine="server", number=CLIENTS.index(machine), connected=True)

    def freeze(self, machine: str) -> None:
        """Stop a machine where it stands, clock and all."""
        ask(self.name, do="freeze", machine=machine, frozen=True)

    def thaw(self, machine: str) -> None:
        """Let it go on."""
        ask(self.name, do="freeze", machine=machine, frozen=False)

    def power_off(self, machine: str) -> None:
        """Pull the plug. Commands that run there end with 255 here."""
        ask(self.name, do="kill", machine=machine)

    def power_on(self, machine: str) -> None:
        """Boot it again, from nothing; a client is not mounted yet (`rejoin`)."""
        deadline = time.monotonic() + 10
        while self.status()["machines"][machine]["state"] != "off" and time.monotonic() < deadline:
            time.sleep(0.05)
        ask(self.name, do="switch-on", machine=machine)
        ask(self.name, do="await", machine=machine, timeout_s=BOOT_S)

    def rejoin(self, machine: str) -> None:
        """Boot a client that was powered off and mount as before."""
        self.power_on(machine)
        self._script(machine, nfs.CLIENT_UP)
        self._script(machine, nfs.MOUNT, self.status()["note"]["asked"][machine])

    def skew(self, machine: str, seconds: float) -> None:
        """Move a machine's clock, forwards or back."""
        self._script(machine, 'date -s "@$(($(date +%s) + $1))" >/dev/null', str(int(seconds)))

    @contextlib.contextmanager
    def skewed(self, machine: str, seconds: float) -> Iterator[None]:
        """`skew`, and back afterwards."""
        self.skew(machine, seconds)
        try:
            yield
        finally:
            self.skew(machine, -seconds)

    def console(self, machine: str) -> str:
        """What the machine's kernel printed."""
        return str(ask(self.name, do="console", machine=machine)["text"])
