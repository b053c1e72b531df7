"""What lies below the cache is reached by descriptor and without links: seen in the system calls of real processes."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace(1)"),
]

CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<arguments>.*)$")
RELATIVE = re.compile(r'^\d+, "(?P<path>[^"]+)", (?P<rest>.*)$')

LOOKS = ("newfstatat", "readlink", "readlinkat", "stat", "lstat", "statfs", "access", "faccessat2")
"""Calls that only look: of the way's own directories, for the kind of filesystem that they lie on."""


def traced(log: Path) -> tuple[str, ...]:
    """Words before a command that write down its calls that take paths; its pid stays that of the command."""
    return ("strace", "-D", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", "trace=%file")


def assert_by_descriptor(log: Path, cache: Path, namespace: Path) -> int:
    """How many calls reached something by descriptor; none goes there by a path, and none follows a link there."""
    count = 0
    for line in log.read_text("utf-8", "backslashreplace").splitlines():
        found = CALL.match(line)
        if found is None:
            continue  # the end of a call that another process's interrupted, or of a process
        name, arguments = found["name"], found["arguments"]
        if f'"{cache}/' in arguments:
            is_of_way = any(f'"{path}"' in arguments for path in (namespace, namespace.parent))
            assert name in LOOKS and is_of_way, f"by path: {line}"
        relative = RELATIVE.match(arguments)
        if relative is None:
            continue
        assert "/" not in relative["path"], f"more than one step at once: {line}"
        if name == "openat":
            assert "O_NOFOLLOW" in relative["rest"], f"follows links: {line}"
        elif name == "newfstatat":
            assert "AT_SYMLINK_NOFOLLOW" in relative["rest"], f"follows links: {line}"
        count += 1
    return count


def test_everything_below_the_cache_is_reached_by_descriptor(pigeon: Pigeon) -> None:
    cache, namespace = pigeon.share.client_path, pigeon.namespace.root
    log = pigeon.base / "worker.trace"
    worker = pigeon.worker(prefix=traced(log), host_timeout=1)
    raw.publish(pigeon, data=b"{")
    silent = raw.publish(pigeon)
    raw.claim(silent, "worker_host=gone\nworker_id=gone-1\nclaim_token=t\n")
    running, session = pigeon.begin("echo ready; exec sleep 60", stdin=b"input", options=("--no-lock",))
    wait_until(lambda: running.out, 20, "output")
    silent.wait_final()
    for words in (
        ("true",),
        ("sessions", "--all"),
        ("inspect", session.id, "--here"),
        ("logs", session.id),
        ("clean", "--older-than", "0"),
        ("stop", session.id),
    ):
        of_verb = pigeon.base / f"{words[0]}.trace"
        pigeon.start_process(*traced(of_verb), *pigeon.command(*words)).wait(60)
        assert assert_by_descriptor(of_verb, cache, namespace) > 5, words
    running.wait(30)
    assert not silent.directory.exists()
    worker.signal(signal.SIGTERM)
    worker.wait(30)
    assert assert_by_descriptor(log, cache, namespace) > 100
