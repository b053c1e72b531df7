"""pigeon as it was released before, built and installed from the repository's own history."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAST_RELEASE = "8801749878abae34303367a8463de66792fd2235"
"""The commit of the release that clients and workers out there may still be."""


def run(*words: str | Path, cwd: Path = ROOT) -> None:
    """Run it; it has to work."""
    done = subprocess.run(
        words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"


def has_history(commit: str) -> bool:
    """Whether this is a checkout that knows the commit."""
    if shutil.which("git") is None:
        return False
    words = ["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def install_release(commit: str, base: Path) -> Path:
    """The `pigeon` of a release in an environment of its own, which borrows the packages that it needs from ours.

    Skips the test where there is no history to take it from: in an unpacked source distribution.
    """
    if not has_history(commit):
        pytest.skip(f"the history of this checkout does not have release {commit[:7]}")
    source, venv = base / "source", base / "venv"
    archive = base / "release.tar"
    run("git", "-C", ROOT, "archive", "--format=tar", "-o", archive, commit)
    with tarfile.open(archive) as tar:
        tar.extractall(source, filter="data")
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", base, source)
    (wheel,) = base.glob("*.whl")
    into = ["--python", str(venv / "bin" / "python"), "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, *into, wheel)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin" / "pigeon"
