"""What a test needs of its user: to be root, or to be somebody whom modes keep out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pigeon.mountinfo import UNKNOWN, filesystem_of

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: gives files to another user, or mounts"
)

needs_own_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or filesystem_of("/").fstype == UNKNOWN,
    reason="needs root, and a root directory that is a mount: unshare(1) makes that private (no chroot has one)",
)

NOBODY = 65534

WITHOUT_OVERRIDE: tuple[str, ...] = (
    ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)
"""Words before a command that make file modes count for root too."""


def mount_small(path: Path, size: str) -> None:
    """A small filesystem of its own at `path`; skips the test where that is not allowed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "pigeon-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")


def unmount(path: Path) -> None:
    """Take it away again, even while something still uses it."""
    subprocess.run(["umount", "--lazy", str(path)], check=True)
