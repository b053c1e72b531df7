"""A real Slurm cluster for the tests of a session, and a worker that has its sessions launched by it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.clusters import Cluster
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import WITNESSES
from tools.slurm_lab.conf import Shape
from tools.slurm_lab.lab import Lab, lab_in, missing


@pytest.fixture(scope="session")
def _lab() -> Iterator[Lab]:
    why = missing()
    if why:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as base:
        Path(base).chmod(0o755)
        with lab_in(Path(base, "lab"), Shape(node_timeout_s=5, cpus=16)) as lab:
            yield lab


@pytest.fixture
def lab(_lab: Lab) -> Iterator[Lab]:
    """Two idle nodes with nothing in the queue; so it is again for the next test."""
    _lab.calm_down()
    WITNESSES.append(_lab.tell)
    yield _lab
    WITNESSES.remove(_lab.tell)
    _lab.calm_down()


@pytest.fixture
def cluster(pigeon: Pigeon, lab: Lab) -> Cluster:
    """A pigeon whose worker is to be started with `serve`."""
    return Cluster(pigeon, lab)
