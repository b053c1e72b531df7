"""Directories 0700 and files 0600, whatever the umask, on both sides and beside the share."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon


def modes(root: Path) -> dict[str, str]:
    """Everything below `root` with its mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        try:
            found[str(path.relative_to(root))] = stat.filemode(path.lstat().st_mode)
        except FileNotFoundError:
            continue  # the worker has just put its file's next version in place
    return found


def private(path: str) -> tuple[str, ...]:
    """The modes that this path may have. filelock makes its own directories sticky, at each acquisition anew."""
    return ("drwx-----T", "-rw-------") if ".strict" in path else ("drwx------", "-rw-------")


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777], ids=oct)
def test_modes_whatever_the_umask(pigeon: Pigeon, umask: int) -> None:
    pigeon.worker(umask=umask)
    client = pigeon.start("echo out; cat; pwd", stdin=b"in", umask=umask)
    session = pigeon.wait_session()
    session.wait_final()
    seen = modes(pigeon.share.client_path)
    assert client.wait().code == 0
    wrong = {path: mode for path, mode in seen.items() if mode not in private(path)}
    assert wrong == {}
    assert any(path.endswith(".lock") for path in seen)
    assert any(path.endswith("worker.claim") for path in seen)
    beside = modes(pigeon.journal.parent)
    assert {path: mode for path, mode in beside.items() if mode[4:] != "------"} == {}


def test_an_open_share_is_not_opened_further(pigeon: Pigeon) -> None:
    """The cache directory belongs to whoever made it; pigeon does not change its mode."""
    pigeon.share.client_path.chmod(0o755)
    pigeon.worker()
    assert pigeon.run("true").code == 0
    assert pigeon.share.client_path.stat().st_mode & 0o777 == 0o755
    assert (pigeon.share.client_path / "namespaces").stat().st_mode & 0o777 == 0o700
