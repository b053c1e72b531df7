"""What pigeon is for: commands that need the worker's network, here a server on loopback."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until

GIT_ENV = {
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@localhost",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@localhost",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def make_repository(place: Path, pigeon: Pigeon) -> str:
    """A bare repository that any file server can serve; returns the id of its only commit."""
    script = """
    git init -q -b main tree && cd tree && head -c 200000 /dev/urandom > blob && echo hello > greeting
    git add . && git commit -q -m first && cd .. && git clone -q --bare tree repo.git
    cd repo.git && git update-server-info && git rev-parse HEAD
    """
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=place,
        env=pigeon.env(GIT_ENV),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def server(pigeon: Pigeon) -> Iterator[tuple[str, Path]]:
    """A web server for a directory: its address and the directory."""
    place = pigeon.base / "served"
    place.mkdir()
    words = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(place)]
    child = pigeon.start_process(*words)
    found = wait_until(lambda: re.search(rb"port (\d+)", child.out), 15, "the web server's port")
    assert found is not None
    yield f"http://127.0.0.1:{int(found[1])}", place
    child.kill()


def test_git_clone(pigeon: Pigeon, server: tuple[str, Path]) -> None:
    address, place = server
    commit = make_repository(place, pigeon)
    pigeon.worker()
    result = pigeon.run("git", "clone", f"{address}/repo.git", "copy", env=GIT_ENV)
    assert result.code == 0, result.words
    assert b"Cloning into 'copy'..." in result.stderr
    head = pigeon.run("git", "-C", "copy", "rev-parse", "HEAD")
    assert head.stdout.decode().strip() == commit
    assert (pigeon.work / "copy" / "blob").read_bytes() == (place / "tree" / "blob").read_bytes()
    again = pigeon.run("git", "clone", f"{address}/repo.git", "copy", env=GIT_ENV)
    assert again.code == 128
    assert b"already exists" in again.stderr


def test_curl(pigeon: Pigeon, server: tuple[str, Path]) -> None:
    address, place = server
    (place / "page").write_bytes(bytes(range(256)) * 100)
    pigeon.worker()
    head = pigeon.run("curl", "-sS", "-I", f"{address}/page")
    assert head.code == 0
    assert head.stdout.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Content-Length: 25600" in head.stdout
    body = pigeon.run("curl", "-sS", f"{address}/page")
    assert body.stdout == (place / "page").read_bytes()
    missing = pigeon.run("curl", "-sS", "--fail", f"{address}/missing")
    assert missing.code == 22
