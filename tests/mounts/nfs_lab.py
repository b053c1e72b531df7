"""Pigeon between two machines: the client in `a`, the worker in `b`, one kernel NFS export between them.

`nfs_lab` boots the lab once for a module; `mounted` mounts as a test's parameter says; `lab_pigeon` gives a
namespace, a journal and a work directory of the test's own. Wherever the lab cannot be, the tests are skipped by
name. Everything that runs in a machine ends with the process that started it here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.helpers.waiting import WITNESSES, wait_until
from tools.nfs_lab.kernel import CHECKOUT, missing_packages
from tools.nfs_lab.lab import Lab

EVERY_MOUNT = ["4.2", "4.2,noac", "4.2,soft", "3", "3,noac", "3,nolock", "3,soft"]
LOCKING_MOUNTS = ["4.2", "4.2,noac", "3"]
LEASE_S = 15
PYTHON = sys.executable
GRACE_S = 60.0
"""After a restart of the server with `LEASE_S`: the grace period and what the clients need to notice."""


def long_test(function: Callable[..., None]) -> Callable[..., None]:
    """Mark a test as one for `tools/test --long`. Emulated on a busy host it may take many minutes."""
    marked: Callable[..., None] = pytest.mark.long(pytest.mark.timeout(1800)(function))
    return marked


def on(*mounts: str) -> pytest.MarkDecorator:
    """Run the test on each of these mounts: a version, then options."""
    return pytest.mark.parametrize("mounted", mounts, indirect=True)


# The functions have names of their own, so that parameters can be named by the fixtures; conftest.py gives them out.
@pytest.fixture(scope="module", name="nfs_lab")
def give_lab() -> Iterator[Lab]:
    """A lab with default mounts. Skips, by name, what cannot run here."""
    if missing := missing_packages():
        pytest.skip(f"the NFS lab needs {', '.join(missing)}")
    with Lab.start(f"pytest-{os.getpid()}", lease_s=LEASE_S) as lab:
        yield lab


@pytest.fixture(name="mounted")
def give_mounted(request: pytest.FixtureRequest, nfs_lab: Lab) -> Lab:
    """The lab, mounted as the indirect parameter says: `4.2`, `3,nolock`, …"""
    version, *options = request.param.split(",")
    asked = nfs_lab.status()["note"]["asked"]
    if set(asked.values()) != {",".join([f"vers={version}", *options])}:
        nfs_lab.mount(version, options)
    return nfs_lab


class LabPigeon:
    """One namespace on the lab's share. `run` is a client in `a`; `worker` starts one in `b`, or elsewhere."""

    def __init__(self, lab: Lab, logs: Path) -> None:
        self.lab = lab
        self.logs = logs
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.work = f"/share/{self.name}/work"
        self.started: list[subprocess.Popen[bytes]] = []
        self._files: list[IO[bytes]] = []
        self.sh("a", f"mkdir -p {self.work} /share/{self.name}/cache")
        for machine in ("a", "b"):
            self.sh(machine, f"mkdir -p /local/{self.name}")

    def sh(self, machine: str, text: str) -> str:
        """Run a shell text in a machine, past pigeon; its output. Fails the test if it fails."""
        done = self.lab.exec(machine, ["bash", "-c", text])
        assert done.returncode == 0, f"`{text}` in {machine}: {done!r}"
        return done.stdout.decode()

    def env(self) -> dict[str, str]:
        """What both sides need to meet; a home without any start-up files."""
        return {
            "PYTHONPATH": str(CHECKOUT),
            "HOME": f"/local/{self.name}",
            "PIGEON_CACHE": f"/share/{self.name}/cache",
            "PIGEON_NAMESPACE": "lab",
            "PIGEON_JOURNAL": f"/local/{self.name}/journal.db",
        }

    def popen(
        self,
        machine: str,
        argv: list[str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        cwd: str | None = None,
        pty: bool = False,
    ) -> subprocess.Popen[bytes]:
        """A process in a machine, which ends at the latest with the test."""
        process = self.lab.popen(
            machine,
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self.env(),
            cwd=cwd or self.work,
            pty=pty,
        )
        self.started.append(process)
        return process

    def start(
        self, *words: str, cwd: str | None = None, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """`pigeon words…` in `a`."""
        return self.popen("a", [PYTHON, "-m", "pigeon", *words], cwd=cwd, stdin=stdin)

    def run(
        self, *words: str, stdin: bytes | None = None, cwd: str | None = None, timeout_s: float = 90.0
    ) -> subprocess.CompletedProcess[bytes]:
        """`pigeon words…` in `a`, to its end."""
        process = self.start(*words, cwd=cwd, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        return finish(process, stdin, timeout_s)

    def worker(self, machine: str = "b", *options: str) -> subprocess.Popen[bytes]:
        """A worker that has begun to show its heartbeat."""
        before = self._workers(machine)
        log = (self.logs / f"worker-{machine}-{len(self._files)}").open("wb")
        self._files.append(log)
        argv = [PYTHON, "-m", "pigeon", "worker", *options]
        process = self.popen(machine, argv, stdout=log, stderr=log, cwd="/")

        def up() -> bool:
            assert process.poll() is None, f"the worker ended: {self.tell()}"
            return self._workers(machine) > before

        wait_until(up, 40, "a worker's heartbeat file", interval_s=0.3)
        return process

    def _workers(self, machine: str) -> int:
        text = f"ls /share/{self.name}/cache/namespaces/lab/workers 2>/dev/null | grep -c json || true"
        return int(self.sh(machine, text))

    def tell(self) -> str:
        """For a failure: logs of the workers, and what the machines' kernels said."""
        parts = [
            f"--- {path}\n{path.read_text(errors='replace')[-4000:]}" for path in self.logs.glob("worker-*")
        ]
        parts += [f"--- console of {name}\n{self.lab.console(name)[-1500:]}" for name in ("server", "a", "b")]
        return "\n".join(parts)

    def close(self) -> None:
        """End everything that was started."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for file in self._files:
            file.close()


@pytest.fixture(name="lab_pigeon")
def give_lab_pigeon(mounted: Lab, tmp_path: Path) -> Iterator[LabPigeon]:
    """A namespace of this test's own on the mount that the test asked for."""
    pigeon = LabPigeon(mounted, tmp_path)
    WITNESSES.append(pigeon.tell)
    try:
        yield pigeon
    finally:
        WITNESSES.remove(pigeon.tell)
        pigeon.close()


def finish(
    process: subprocess.Popen[bytes], stdin: bytes | None = None, timeout_s: float = 90.0
) -> subprocess.CompletedProcess[bytes]:
    """The outcome of a process that should end by itself within `timeout_s`."""
    out, err = process.communicate(stdin, timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def assert_one_at_a_time(lab_pigeon: LabPigeon) -> None:
    """Eight sessions of one directory, none of which meets another; prints which host ran how many."""
    # `mkdir` is exclusive on NFS whatever locks are worth: something other than pigeon's lock sees an overlap.
    alone = "mkdir busy || echo overlap >> overlaps; sleep 1; rmdir busy; hostname >> hosts"
    sessions = [lab_pigeon.start(alone) for _ in range(8)]
    for session in sessions:
        done = finish(session, timeout_s=1200)
        assert done.returncode == 0, done
    left = lab_pigeon.sh("b", f"cd {lab_pigeon.work}; ls; sort hosts | uniq -c")
    print(f"\n{left}")
    assert "overlaps" not in left and "busy" not in left


class Screen:
    """What a program on a terminal has printed so far, and keys for it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self.process = process
        self.text = b""
        os.set_blocking(process.stdout.fileno(), False)

    def type(self, keys: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(keys)
        self.process.stdin.flush()

    def wait_for(self, wanted: bytes, timeout_s: float = 30.0) -> float:
        """Until `wanted` stands in what came since the last find; seconds that took. Forgets up to there."""
        assert self.process.stdout
        started = time.monotonic()

        def there() -> bool:
            assert self.process.stdout
            self.text += self.process.stdout.read() or b""
            return wanted in self.text

        wait_until(there, timeout_s, lambda: f"{wanted!r} on the screen, which has {self.text[-2000:]!r}")
        self.text = self.text.partition(wanted)[2]
        return time.monotonic() - started
