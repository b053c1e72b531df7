"""Locks of the test filesystem: shared between the mounts, local to each, or none."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.rigs import Mounts, require, two_mounts

HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def _hold(path: Path) -> subprocess.Popen[bytes]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    return holder


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_a_shared_lock_excludes_the_other_mount_until_its_holder_is_killed(lasting: Mounts) -> None:
    holder = _hold(lasting.a / "lock")
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    assert not _is_free(lasting.b / "lock") and not _is_free(lasting.a / "lock")
    _end(holder)
    wait_until(lambda: _is_free(lasting.b / "lock"), 10, "the lock of a dead process")


def test_a_waiting_lock_is_handed_over_and_a_waiting_process_can_be_killed(lasting: Mounts) -> None:
    (lasting.b / "lock").touch()
    with (lasting.b / "lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        before = lasting.control.counts("a")["lock"]
        first, second = _hold(lasting.a / "lock"), _hold(lasting.a / "lock")
        wait_until(lambda: lasting.control.counts("a")["lock"] == before + 2, 10, "both to wait")
        first.send_signal(signal.SIGINT)
        assert first.wait(10) != 0, "a signal with a handler interrupts the wait"
        _end(first)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert second.stdout is not None and second.stdout.readline() == b"held\n"
        _end(second)


def test_a_lock_lives_in_a_child_that_inherited_it_and_unlock_frees_it_at_once(lasting: Mounts) -> None:
    with (lasting.a / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[held.fileno()])
        try:
            held_copy = os.dup(held.fileno())
            held.close()
            os.close(held_copy)
            assert not _is_free(lasting.b / "lock")
        finally:
            _end(child)
    wait_until(lambda: _is_free(lasting.b / "lock"), 10, "the child's copy to go")


def test_an_exclusive_lock_needs_a_writable_descriptor(lasting: Mounts) -> None:
    (lasting.a / "lock").touch()
    with (lasting.a / "lock").open("rb") as file, pytest.raises(OSError) as caught:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert caught.value.errno == errno.EBADF


def test_a_lost_lock_fails_on_its_descriptor_only_and_others_get_it(lasting: Mounts) -> None:
    with (lasting.a / "lock").open("w+b", buffering=0) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        lasting.control.lose_locks("a")
        with pytest.raises(OSError) as caught:
            os.pread(held.fileno(), 1, 0)
        assert caught.value.errno == errno.EIO
        assert _is_free(lasting.b / "lock")
        assert (lasting.a / "lock").read_bytes() == b""


def test_local_locks_let_both_sides_succeed() -> None:
    require("twocache")
    with two_mounts(locks="local") as (a, b, _), (a / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not _is_free(a / "lock")
        assert _is_free(b / "lock")


def test_without_locks_every_attempt_fails() -> None:
    require("twocache")
    with two_mounts(locks="none") as (a, _, _), (a / "lock").open("w") as held:
        with pytest.raises(OSError) as caught:
            fcntl.flock(held, fcntl.LOCK_EX)
        assert caught.value.errno == errno.ENOLCK
