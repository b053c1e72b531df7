"""Input that waits for a command: what is kept of it, however long."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pigeon.wire import files
from pigeon.wire.names import Namespace, new_session_id
from pigeon.wire.records import stdin_line
from pigeon.worker import process
from pigeon.worker.inbound import Inbound


def test_looking_while_nobody_reads_keeps_nothing(tmp_path: Path) -> None:
    """A program that prints all day and never reads must not make its runner grow."""
    session = Namespace(str(tmp_path), "test").session(new_session_id())
    os.makedirs(session.directory, mode=0o700)
    files.create(session.stdin(), b"".join(stdin_line(n, bytes(100_000)) for n in range(30)))
    files.create(session.control())
    command = process.start(
        ["sleep", "1000"], dict(os.environ), size=None, pty=False, inherit=(), until_exec=()
    )
    try:
        inbound = Inbound(session)
        for _ in range(1000):
            inbound.poll_input(command)
            inbound.write(command)
        assert inbound.has_input
        assert len(inbound._ends) <= 30
    finally:
        os.kill(command.pid, 9)
        os.waitpid(command.pid, 0)
        assert isinstance(command._keep, subprocess.Popen)
