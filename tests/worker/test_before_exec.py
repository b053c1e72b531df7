"""Between fork and exec nothing tells the command from its runner: until then it keeps the runner's proof of life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.worker import identity, proof
from pigeon.worker.relay.process_context import ProcessContext
from pigeon.worker.relay.spawn import start as start_command
from tests.helpers.processes import children_of, name_of
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

SLOW_PROGRAM = """
import os, stat, sys, time, mfusepy
TEXT = b"#!/bin/sh\\nexec sleep 600\\n"
class Slow(mfusepy.Operations):
    def getattr(self, path, fh=None):
        if path == "/":
            return {"st_mode": 0o040700, "st_nlink": 2, "st_uid": os.getuid()}
        if path == "/program":
            return {"st_mode": stat.S_IFREG | 0o700, "st_nlink": 1, "st_uid": os.getuid(), "st_size": len(TEXT)}
        raise mfusepy.FuseOSError(2)
    def open(self, path, flags):
        open(sys.argv[2] + "/opened", "w").close()
        until = time.monotonic() + 60
        while not os.path.exists(sys.argv[2] + "/go") and time.monotonic() < until:
            time.sleep(0.01)
        return 0
    def read(self, path, size, offset, fh):
        return TEXT[offset : offset + size]
mfusepy.FUSE(Slow(), sys.argv[1], foreground=True)
"""
"""One program, whose execution waits in the kernel, before it has begun, for a file `go`."""

RUNNER = """
import os, sys
from pigeon.worker import identity
from pigeon.worker.proof import ProofOfLife
from pigeon.worker.relay.spawn import start as start_command
from pigeon.worker.relay.process_context import ProcessContext
shape = (True, True, True) if sys.argv[3] == "pty" else None
proof = ProofOfLife(sys.argv[1], "runner")
print(proof.path, flush=True)
env = {"PATH": os.environ["PATH"], identity.SESSION_VARIABLE: sys.argv[4]}
start_command(
    [sys.argv[2]], env, window=None, inherit=(), until_exec=(proof.descriptor,), context=ProcessContext(shape=shape)
)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    """A program that takes as long to be executed as the test wants."""
    point = tmp_path / "fuse"
    point.mkdir()
    code = textwrap.dedent(SLOW_PROGRAM)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(point), str(tmp_path)], stderr=subprocess.PIPE
    ) as server:
        try:
            wait_until(lambda: os.path.ismount(point) or server.poll() is not None, 20, "the mount")
            if server.poll() is not None:
                assert server.stderr is not None
                pytest.skip(f"FUSE does not work here: {server.stderr.read().decode()[-200:]}")
            yield point / "program"
        finally:
            (tmp_path / "go").touch()
            if server.poll() is None:
                subprocess.run(["fusermount", "-uz", str(point)], check=False)
                server.wait(20)


@pytest.mark.parametrize("kind", ["pty", "pipes"])
def test_a_runner_is_not_dead_before_its_child_has_executed(tmp_path: Path, program: Path, kind: str) -> None:
    session = f"1700000000000-{os.urandom(6).hex()}"
    words = [sys.executable, "-c", RUNNER, str(tmp_path / "proofs"), str(program), kind, session]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as runner:
        assert runner.stdout is not None
        path = runner.stdout.readline().decode().rstrip("\n")
        started = identity.start_ticks(runner.pid)
        wait_until((tmp_path / "opened").exists, 20, "the child on its way into the command")
        runner.kill()
        runner.wait()

    def is_dead() -> bool:
        return proof.is_proven_dead(path, identity.boot_id(), runner.pid, started)

    assert identity.processes_of(session, None) == []
    assert not is_dead()
    (tmp_path / "go").touch()
    wait_until(is_dead, 20, "the command")
    if kind == "pipes":  # on a terminal it has just lost that, and its life
        wait_until(lambda: identity.processes_of(session, None), 5, "the command, by its environment")
    identity.send(identity.processes_of(session, None), signal.SIGKILL)


@pytest.mark.parametrize("pty", [True, False])
def test_the_command_has_the_lock_and_nothing_else(tmp_path: Path, pty: bool) -> None:
    lock, proof, other = (
        os.open(tmp_path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for name in ("lock", "proof", "other")
    )
    os.set_inheritable(other, True)  # as what a worker was started with
    command = start_command(
        ["sh", "-c", "read line"],
        dict(os.environ),
        window=None,
        inherit=(lock,),
        until_exec=(proof,),
        context=ProcessContext(shape=(True, True, True) if pty else None),
    )
    pid = command.pid
    if pty:
        (pid,) = wait_until(lambda: children_of(command.pid), 15, "the leader's child")

    def held() -> list[str]:
        # A library that is being loaded is open only for a moment.
        with contextlib.suppress(FileNotFoundError):
            links = Path(f"/proc/{pid}/fd")
            return [os.readlink(link) for link in links.iterdir() if int(link.name) > 2]
        return []

    try:
        wait_until(lambda: name_of(pid) == "sh", 15, "the command")
        wait_until(lambda: held() == [str(tmp_path / "lock")], 15, lambda: f"only the lock, not {held()}")
    finally:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: command.try_wait() is not None, 10, "its end")
        for fd in (
            lock,
            proof,
            other,
            command.pidfd,
            *command.outputs,
            *({command.stdin} - {None, *command.outputs}),
        ):
            assert fd is not None
            os.close(fd)
