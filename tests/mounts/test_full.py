"""A real filesystem without room: a small tmpfs, filled by the very command whose output it is to carry."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon, pigeon_in
from tests.helpers.share import Share
from tests.helpers.waiting import wait_until


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Pigeon]:
    """Pigeon on a share of 1.2 MB."""
    share = tmp_path / "small"
    share.mkdir(mode=0o700)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k,mode=700", "tmpfs", share], check=False
    ).returncode:
        pytest.skip("mounting a tmpfs takes root")
    try:
        with pigeon_in(tmp_path, lambda: False, Share(share, share)) as pigeon:
            yield pigeon
    finally:
        subprocess.run(["umount", "-l", share], check=True)


def test_a_session_that_has_filled_the_share_can_end(small: Pigeon) -> None:
    """Nobody makes room: its own end must find some, or it would hold the share and the directory for ever."""
    small.worker(client_timeout=10)
    has_spoken = f"until test -s {small.share.client_path}/*/*/sessions/*/control.jsonl; do sleep 0.1; done"
    client, session = small.begin(f"{has_spoken}; head -c 3000000 /dev/zero", options=("-v",))
    wait_until(lambda: "the shared directory is full" in client.err, 30, "what the user is told")
    client.signal(signal.SIGTERM)
    assert client.wait(20).code == 128 + signal.SIGTERM
    assert session.wait_final(40)["state"] == "cancelled"
    assert len(client.out) > 500_000
    small.wait_quiet()
