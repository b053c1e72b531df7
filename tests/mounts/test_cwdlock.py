"""The lock of a directory over two mounts: it excludes, its loss is noticed, and trouble is not taken for a loss."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pigeon.worker.locks import flock
from pigeon.worker.locks.kinds import KINDS
from tests.helpers.waiting import wait_until
from tests.mounts.rigs import Mounts, gluster_mounts, plain_dir, require, two_mounts


@pytest.fixture(params=["plain", "twocache", "gluster"])
def mounts(request: pytest.FixtureRequest) -> Iterator[Mounts]:
    """Each rig."""
    with ExitStack() as stack:
        require(request.param)
        match request.param:
            case "plain":
                yield stack.enter_context(plain_dir())
            case "twocache":
                yield stack.enter_context(two_mounts(ttl_s=3, negative_ttl_s=30))
            case _:
                yield stack.enter_context(gluster_mounts())


@pytest.fixture
def twocache() -> Iterator[Mounts]:
    """The rig that can be told to fail."""
    require("twocache")
    with two_mounts(ttl_s=3, negative_ttl_s=30) as made:
        yield made


@pytest.mark.parametrize("mode", KINDS)
def test_a_held_lock_excludes_the_other_mount_and_is_not_lost(mounts: Mounts, mode: str) -> None:
    kind = KINDS[mode]
    lock = kind.try_lock(str(mounts.a / "directory.lock"))
    assert lock is not None
    before = fcntl.fcntl(lock.descriptor, fcntl.F_GETFL)
    assert not lock.is_lost()
    assert fcntl.fcntl(lock.descriptor, fcntl.F_GETFL) == before
    assert kind.try_lock(str(mounts.b / "directory.lock")) is None
    lock.release()
    again = wait_until(lambda: kind.try_lock(str(mounts.b / "directory.lock")), 10, "the lock")
    assert again is not None
    again.release()


def test_a_lock_that_the_server_dropped_is_lost(twocache: Mounts) -> None:
    lock = flock.try_lock(str(twocache.a / "directory.lock"))
    assert lock is not None and not lock.is_lost()
    twocache.control.lose_locks("a")
    assert lock.is_lost()
    other = flock.try_lock(str(twocache.b / "directory.lock"))
    assert other is not None and not other.is_lost()
    other.release()
    lock.release()


@pytest.mark.parametrize("operations", [("read",), ("read", "open", "getattr")])
def test_a_server_that_fails_for_everybody_has_not_dropped_the_lock(
    twocache: Mounts, operations: tuple[str, ...]
) -> None:
    lock = flock.try_lock(str(twocache.a / "directory.lock"))
    assert lock is not None
    fault = twocache.control.fail(operations, "*/directory.lock", "EIO", times=1000)
    assert not lock.is_lost()
    assert fault.fired > 0
    fault.remove()
    assert not lock.is_lost()
    lock.release()


def test_an_error_that_passes_is_no_loss(twocache: Mounts) -> None:
    lock = flock.try_lock(str(twocache.a / "directory.lock"))
    assert lock is not None
    fault = twocache.control.fail("read", "*/directory.lock", "EIO")
    assert not lock.is_lost()
    assert fault.fired == 1
    lock.release()
