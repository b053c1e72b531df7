"""A real filesystem without room: a small one, filled by the very command whose bytes it is to carry."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon, pigeon_in
from tests.helpers.share import Share
from tests.helpers.waiting import wait_until

Small = Callable[..., Pigeon]


@contextmanager
def tmpfs(place: Path, kilobytes: int) -> Iterator[None]:
    """A filesystem in memory."""
    options = f"size={kilobytes}k,mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False).returncode:
        pytest.skip("mounting a tmpfs takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def ext4(place: Path, kilobytes: int) -> Iterator[None]:
    """A filesystem in a file, without a journal and without blocks that are root's."""
    image = place.with_suffix(".img")
    make: list[str | Path] = ["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image, f"{kilobytes}k"]
    if (
        subprocess.run(make, check=False).returncode
        or subprocess.run(["mount", "-o", "loop", image, place], check=False, capture_output=True).returncode
    ):
        pytest.skip("a filesystem in a file takes mkfs.ext4, root and a loop device")
    try:
        place.chmod(0o700)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


FILESYSTEMS = {"tmpfs": tmpfs, "ext4": ext4}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """Makes a pigeon on a share of so many kilobytes."""
    with ExitStack() as stack:

        def make(kilobytes: int, kind: str = "tmpfs") -> Pigeon:
            share = tmp_path / "small"
            share.mkdir(mode=0o700)
            stack.enter_context(FILESYSTEMS[kind](share, kilobytes))
            return stack.enter_context(pigeon_in(tmp_path, lambda: False, Share(share, share)))

        yield make


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_session_that_has_filled_the_share_can_end(small: Small, number: signal.Signals) -> None:
    """Nobody makes room: its own end must find some, or it would hold the share and the directory for ever."""
    pigeon = small(900)  # before anything goes into segments
    pigeon.worker(client_timeout=10)
    has_spoken = f"until test -s {pigeon.share.client_path}/*/*/sessions/*/control.jsonl; do sleep 0.1; done"
    client, session = pigeon.begin(f"{has_spoken}; head -c 3000000 /dev/zero", options=("-v",))
    wait_until(lambda: "the shared directory is full" in client.err, 30, "what the user is told")
    client.signal(number)
    assert client.wait(20).code == 128 + number
    assert session.wait_final(40)["state"] == "cancelled"
    assert len(client.out) > 300_000
    pigeon.wait_quiet()


MUCH = 30_000_000
"""More than the share has room for, and than any window."""


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("out", "tmpfs"),
        ("both", "ext4"),
        *(
            pytest.param(way, kind, marks=pytest.mark.long)
            for way, kind in (("in", "tmpfs"), ("both", "tmpfs"), ("out", "ext4"), ("in", "ext4"))
        ),
    ],
)
def test_more_than_the_share_holds_passes_exactly(small: Small, way: str, kind: str) -> None:
    """What fills the share are segments, which go once they have been read: each ends early, and the next begins."""
    pigeon = small(9000, kind)
    pigeon.worker()
    data = os.urandom(MUCH)
    source = pigeon.work / "source"
    source.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    if way == "out":
        result = pigeon.run(f"cat {source}; exit 3", timeout_s=60)
    elif way == "in":
        result = pigeon.run("sha256sum; exit 3", stdin=data, timeout_s=60)
    else:
        result = pigeon.run("cat; exit 3", stdin=data, timeout_s=60)
    assert result.code == 3, result
    got = result.stdout.split()[0].decode() if way == "in" else hashlib.sha256(result.stdout).hexdigest()
    assert got == digest
    (session,) = pigeon.sessions()
    assert session.wait_final(20)["exit_code"] == 3
    assert not list(session.directory.glob(".tmp-*"))
    assert not list(session.directory.glob("stdin*.bulk"))
