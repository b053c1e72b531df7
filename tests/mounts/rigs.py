"""Filesystems seen through two mounts, for any test: `with two_mounts(back) as (a, b, control): …`.

Every rig has the same shape (`Mounts`): two directories that show one tree as two hosts would see it, and a control.
Faults and counts exist only on the filesystem made for these tests (`control.injects`). Rigs clean up after themselves
whatever happens. Where one cannot be had, `require` skips the test by name; with `CI=true` it fails instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypedDict, Unpack

from tests.mounts import binding, gluster, launch
from tests.mounts.control import Control
from tests.mounts.counters import KINDS
from tests.mounts.faults import Settings
from tests.mounts.options import Options


class Mounts(NamedTuple):
    """A rig that runs."""

    a: Path
    b: Path
    control: Control


class NoControl(Control):
    """Of rigs of real filesystems: asking for a fault is the test's mistake; counts are all zero."""

    injects = False

    def __init__(self, rig: str) -> None:
        self._rig = rig
        self._crash = None
        self._settings = Settings()
        self._last_id = 0
        self.labels = ("a", "b")

    def _publish(self, settings: Settings) -> None:
        if settings != Settings():
            raise RuntimeError(f"the rig {self._rig!r} injects no faults: look at `control.injects`")

    def counts(self, mount: str | None = None, *, server: bool = False) -> dict[str, int]:
        """Nothing is counted here."""
        return dict.fromkeys(KINDS, 0)

    def reset_counts(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        """Nothing is held."""


_PREFIX = "pigeon-rig-"


def _remove(base: Path) -> None:
    """Remove what `_places` made, and never through a mount: a mount point that is still one stays, with the rest."""
    with contextlib.suppress(OSError):
        for path in base.iterdir():
            if path.name not in ("state", "back", "owner"):
                path.rmdir()
        for name in ("back", "state"):
            shutil.rmtree(base / name, ignore_errors=True)
        (base / "owner").unlink()
        base.rmdir()


def _remove_left_over() -> None:
    """What starters left behind that were killed."""
    for base in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):
            if base.stat().st_uid == os.geteuid() and not launch.is_alive(int((base / "owner").read_text())):
                _remove(base)


@contextmanager
def _places(back: Path | None, labels: Sequence[str]) -> Iterator[tuple[Path, Path, list[Path]]]:
    """(backing directory, state directory, mount points); what was made here is removed at the end."""
    launch.sweep()
    _remove_left_over()
    base = Path(tempfile.mkdtemp(prefix=_PREFIX))
    (base / "owner").write_text(str(os.getpid()))
    points = [base / label for label in labels]
    for made in (*points, base / "state"):
        made.mkdir()
    if back is None:
        back = base / "back"
        back.mkdir()
    try:
        yield back.resolve(), base / "state", points
    finally:
        _remove(base)


def _killer(labels: Sequence[str], processes: Sequence[subprocess.Popen[bytes]]) -> Callable[[str], None]:
    def crash(label: str) -> None:
        process = dict(zip(labels, processes, strict=True))[label]
        process.send_signal(signal.SIGKILL)
        process.wait()

    return crash


class Behaviour(TypedDict, total=False):
    """How the clients of a rig behave; `options.Options` says what each setting means and has the defaults."""

    ttl_s: float
    negative_ttl_s: float
    listing_ttl_s: float
    kernel_names_s: float
    locks: str
    is_v3: bool
    checks_permissions: bool
    subtype: str


@contextmanager
def many_mounts(
    back: Path | None = None,
    *,
    points: Sequence[Path] | None = None,
    count: int = 2,
    latency_s: float = 0.0,
    **behaviour: Unpack[Behaviour],
) -> Iterator[tuple[list[Path], Control]]:
    """`count` clients (labels a, b, …) of the filesystem made for these tests, over the directory `back` (default: a
    fresh one), at `points` (default: fresh directories)."""
    labels = [chr(ord("a") + number) for number in range(len(points) if points else count)]
    with _places(back, () if points else labels) as (server, state, made):
        places = list(points or made)
        control = Control(state, labels)
        if latency_s:
            control.latency(latency_s)
        options = [
            Options(back=str(server), mountpoint=str(place), label=label, state=str(state), **behaviour)
            for label, place in zip(labels, places, strict=True)
        ]
        try:
            with launch.served(options) as processes:
                control.on_crash(_killer(labels, processes))
                yield places, control
        finally:
            control.close()


@contextmanager
def two_mounts(
    back: Path | None = None, *, latency_s: float = 0.0, **behaviour: Unpack[Behaviour]
) -> Iterator[Mounts]:
    """Two of them, as `many_mounts`."""
    with many_mounts(back, latency_s=latency_s, **behaviour) as ((a, b), control):
        yield Mounts(a, b, control)


@contextmanager
def gluster_mounts(back: Path | None = None, *, direct_io: bool = False) -> Iterator[Mounts]:
    """GlusterFS with a brick in `back` (default: a fresh directory; never a tmpfs without extended attributes)."""
    labels = ("a", "b")
    with (
        _places(back, labels) as (brick, state, points),
        gluster.served(brick, points, state, direct_io=direct_io) as clients,
    ):
        control = NoControl("gluster")
        control.on_crash(_killer(labels, clients))
        yield Mounts(points[0], points[1], control)


@contextmanager
def plain_dir(back: Path | None = None) -> Iterator[Mounts]:
    """No mount at all: one directory of a local filesystem under both names."""
    with _places(back, ()) as (server, _, _):
        yield Mounts(server, server, NoControl("plain"))


def missing(rig: str) -> str | None:
    """Why the rig `twocache`, `gluster` or `plain` cannot be had here, or None."""
    known: dict[str, Callable[[], str | None]] = {"twocache": binding.missing, "gluster": gluster.missing}
    return None if rig == "plain" else known[rig]()


def require(rig: str) -> None:
    """Skip the calling test where the rig cannot be had; fail it in CI, where nothing may be skipped."""
    import pytest

    reason = missing(rig)
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"the rig {rig!r} must run in CI: {reason}")
    pytest.skip(f"no rig {rig!r} here: {reason}")
