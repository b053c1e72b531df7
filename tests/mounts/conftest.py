"""Mounts of the test filesystem for its own tests, one rig for each module; and the NFS lab, for those that ask."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from tests.mounts.nfs_lab import give_lab, give_lab_pigeon, give_mounted
from tests.mounts.rigs import Mounts, require, two_mounts

LAB_FIXTURES = (give_lab, give_lab_pigeon, give_mounted)
"""Named here, they are the tests' to ask for: `nfs_lab`, `lab_pigeon`, `mounted`."""

LONG_S = 600.0
SHORT_S = 0.2


@pytest.fixture(scope="module")
def _lasting() -> Iterator[Mounts]:
    require("twocache")
    with two_mounts(ttl_s=LONG_S, negative_ttl_s=LONG_S) as mounts:
        yield mounts


@pytest.fixture(scope="module")
def _brief() -> Iterator[Mounts]:
    require("twocache")
    with two_mounts(ttl_s=SHORT_S, negative_ttl_s=SHORT_S) as mounts:
        yield mounts


def _own_directory(mounts: Mounts, request: pytest.FixtureRequest) -> Mounts:
    name = request.node.name
    (mounts.a / name).mkdir()
    mounts.control.reset_counts()
    return Mounts(mounts.a / name, mounts.b / name, mounts.control)


@pytest.fixture
def lasting(_lasting: Mounts, request: pytest.FixtureRequest) -> Iterator[Mounts]:
    """A directory under both mounts; caches outlast the test, faults do not."""
    yield _own_directory(_lasting, request)
    _lasting.control.clear()


@pytest.fixture
def brief(_brief: Mounts, request: pytest.FixtureRequest) -> Mounts:
    """A directory under both mounts; caches hold for a moment."""
    return _own_directory(_brief, request)


def error_of(action: Callable[[], object]) -> str:
    """The name of the error that the action fails with."""
    with pytest.raises(OSError) as caught:
        action()
    return errno.errorcode[caught.value.errno or 0]
