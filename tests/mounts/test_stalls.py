"""Time, hanging, counting and crashing on the test filesystem."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.conftest import error_of
from tests.mounts.rigs import Mounts, require, two_mounts


def test_latency_is_that_of_the_server_not_of_the_caches(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    (lasting.a / "f").stat()
    lasting.control.latency(0.2, "a")
    lasting.control.reset_counts()
    (lasting.a / "f").stat()
    assert sum(lasting.control.counts(server=True).values()) == 0
    started = time.monotonic()
    (lasting.a / "f").read_bytes()
    assert time.monotonic() - started >= 0.4, "open and read"


def test_a_kind_of_request_can_be_delayed(lasting: Mounts) -> None:
    lasting.control.delay("mkdir", seconds=0.2, times=1)
    started = time.monotonic()
    (lasting.a / "d").mkdir()
    assert time.monotonic() - started >= 0.2


READER = "import os, sys; print('begin', flush=True); os.stat(sys.argv[1])"


def _stuck(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", READER, str(path)], stdout=subprocess.PIPE)


def test_everything_can_hang_until_it_is_released(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    fault = lasting.control.stall(mount="a")
    seen: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: seen.append((lasting.a / "f").read_bytes())) for _ in range(30)
    ]
    for reader in readers:
        reader.start()
    wait_until(lambda: fault.fired >= len(readers), 20, "all readers to hang")
    assert (lasting.b / "f").read_bytes() == b"x", "the other host does not care"
    assert not seen
    fault.remove()
    for reader in readers:
        reader.join(20)
    assert seen == [b"x"] * len(readers)


def test_requests_that_hang_leave_room_for_others_on_the_same_mount(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    stuck = [lasting.a / f"stuck-{number}" for number in range(60)]
    for path in stuck:
        path.touch()
    fault = lasting.control.stall("open", "*/stuck-*")
    threads = [threading.Thread(target=path.read_bytes) for path in stuck]
    for thread in threads:
        thread.start()
    wait_until(lambda: fault.fired == len(stuck), 20, "all to hang")
    assert (lasting.a / "f").read_bytes() == b"x"
    assert len(os.listdir(lasting.a)) == 61
    fault.remove()
    for thread in threads:
        thread.join(20)


def test_a_stall_ends_by_itself(lasting: Mounts) -> None:
    lasting.control.stall("mkdir", seconds=0.2)
    started = time.monotonic()
    (lasting.a / "d").mkdir()
    assert time.monotonic() - started >= 0.2


def test_who_hangs_can_be_killed_but_a_signal_with_a_handler_does_not_reach_it(lasting: Mounts) -> None:
    fault = lasting.control.stall("getattr", "*/f")
    process = _stuck(lasting.a / "f")
    wait_until(lambda: fault.fired, 10, "the process to hang")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()


def test_what_a_killed_process_hung_in_can_be_carried_out_later(lasting: Mounts) -> None:
    (lasting.a / "f").touch()
    fault = lasting.control.stall("unlink", "*/f", late=True)
    process = subprocess.Popen(["rm", lasting.a / "f"])
    wait_until(lambda: fault.fired, 10, "the process to hang")
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert os.listdir(lasting.b) == ["f"]
    fault.remove()
    wait_until(lambda: os.listdir(lasting.b) == [], 10, "the file to go")


def test_with_a_stall_that_is_not_killable_even_sigkill_waits(lasting: Mounts) -> None:
    fault = lasting.control.stall("getattr", "*/f", killable=False)
    process = _stuck(lasting.a / "f")
    wait_until(lambda: fault.fired, 10, "the process to hang")
    process.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    fault.remove()
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()


# Counts and crashes


def test_requests_are_counted_by_kind_and_by_who_answered(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    (lasting.b / "f").read_bytes()
    lasting.control.reset_counts()
    for _ in range(5):
        (lasting.b / "f").read_bytes()
        (lasting.b / "f").exists()
    asked, served = lasting.control.counts("b"), lasting.control.counts("b", server=True)
    assert (asked["open"], asked["flush"], served["open"], served["read"]) == (5, 5, 5, 5)
    assert asked["getattr"] >= 10 and served["getattr"] == 0
    assert lasting.control.counts("a")["open"] == 0
    lasting.control.reset_counts()
    assert sum(lasting.control.counts().values()) == 0


def test_with_the_kernels_help_look_ups_are_rare_and_programs_see_no_difference() -> None:
    require("twocache")
    with two_mounts(ttl_s=600, negative_ttl_s=600, kernel_names_s=600) as (a, b, control):
        assert not (b / "f").exists()
        (a / "f").write_bytes(b"one")
        assert not (b / "f").exists()
        os.listdir(b)
        assert (b / "f").read_bytes() == b"one"
        (a / "g").write_bytes(b"another")
        (a / "g").rename(a / "f")
        control.reset_counts()
        assert (b / "f").read_bytes() == b"another"
        assert control.counts("b")["open"] == 1
        (a / "f").unlink()
        with pytest.raises(FileNotFoundError):
            (b / "f").read_bytes()


def test_a_crashed_host_takes_what_it_had_not_written_back_along() -> None:
    require("twocache")
    with two_mounts() as (a, b, control):
        (a / "f").write_bytes(b"kept\n")
        descriptor = os.open(a / "f", os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, b"lost\n")
        control.crash("a")
        assert error_of(lambda: os.close(descriptor)) == "ENOTCONN"
        assert (b / "f").read_bytes() == b"kept\n"
        assert error_of((a / "f").read_bytes) in ("ENOTCONN", "ECONNABORTED")


def test_a_broken_control_file_is_passed_over_and_said_so(lasting: Mounts) -> None:
    control = lasting.control.state / "control.json"
    control.write_text('{"rules": [{"id": 1, "act": "explode"}]}')
    (lasting.a / "f").write_bytes(b"x")
    assert "the control file is wrong" in (lasting.control.state / "a.log").read_text()
