"""Input that waits for a command: what is kept of it, however long."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.wire import files
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from pigeon.wire.records import SUSPENDED, client_line, heartbeat_line, stdin_line
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.control import AWAKE_BEATS
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.liveness import ClientWatch
from pigeon.worker.relay.spawn import start as start_command


@pytest.fixture
def session(tmp_path: Path) -> SessionFiles:
    """A session whose files are still to be made."""
    session = Namespace(str(tmp_path), "test").session(new_session_id())
    os.makedirs(session.directory, mode=0o700)
    return session


@pytest.fixture
def command() -> Iterator[Command]:
    """One that reads nothing."""
    command = start_command(["sleep", "1000"], dict(os.environ), window=None, inherit=(), until_exec=())
    yield command
    os.kill(command.pid, 9)
    os.waitpid(command.pid, 0)
    assert isinstance(command._keep, subprocess.Popen)


def test_looking_while_nobody_reads_keeps_nothing(session: SessionFiles, command: Command) -> None:
    """A program that prints all day and never reads must not make its runner grow."""
    files.create(session.stdin(), b"".join(stdin_line(n, bytes(100_000)) for n in range(30)))
    files.create(session.control())
    inbound = Inbound(session, command)
    for _ in range(1000):
        inbound.file.poll()
        inbound.write()
    assert inbound.queue.has_input
    assert len(inbound.file._ends) <= 30


@pytest.mark.parametrize(("beats", "is_lost"), [(0, False), (AWAKE_BEATS - 1, False), (AWAKE_BEATS, True)])
def test_a_suspended_client_is_lost_if_it_was_still_awake(
    session: SessionFiles, command: Command, beats: int, is_lost: bool
) -> None:
    """One that is stopped with all its processes says nothing more; one that only left the foreground goes on to."""
    said = [client_line(SUSPENDED), *[heartbeat_line()] * beats]
    files.create(session.control(), b"".join(said))
    inbound = Inbound(session, command)
    for second in range(12):
        inbound.control.poll(float(second))
    watch = ClientWatch(judges=True, keeps=False, timeout_s=10.0)
    assert (watch.found_lost(inbound.control) is not None) == is_lost
