"""Each fault of the test filesystem does what it says, hits what it names, and ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.conftest import error_of
from tests.mounts.rigs import Mounts

# Errors


def test_the_nth_request_of_a_kind_on_a_path_fails_and_nothing_else(lasting: Mounts) -> None:
    (lasting.a / "stream.jsonl").write_bytes(b"x")
    (lasting.a / "other").write_bytes(b"x")
    fault = lasting.control.fail("open", "*/stream.jsonl", "EACCES", nth=2, times=1, mount="a")
    (lasting.a / "stream.jsonl").read_bytes()
    (lasting.a / "other").read_bytes()
    (lasting.b / "stream.jsonl").read_bytes()
    (lasting.b / "stream.jsonl").read_bytes()
    assert fault.fired == 0
    assert error_of((lasting.a / "stream.jsonl").read_bytes) == "EACCES"
    assert fault.fired == 1
    (lasting.a / "stream.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("getattr", lambda place: (place / "there").stat()),
        ("create", lambda place: (place / "new").touch()),
        ("read", lambda place: (place / "there").read_bytes()),
        ("opendir", os.listdir),
        ("rename", lambda place: (place / "there").rename(place / "new")),
        ("link", lambda place: (place / "new").hardlink_to(place / "there")),
        ("unlink", lambda place: (place / "there").unlink()),
        ("mkdir", lambda place: (place / "new").mkdir()),
        ("rmdir", lambda place: (place / "sub").rmdir()),
        ("symlink", lambda place: (place / "new").symlink_to("there")),
        ("truncate", lambda place: os.truncate(place / "there", 0)),
        ("chmod", lambda place: (place / "there").chmod(0o600)),
        ("utimens", lambda place: os.utime(place / "there")),
        ("statfs", os.statvfs),
    ],
)
def test_every_kind_can_fail(lasting: Mounts, kind: str, action: Callable[[Path], object]) -> None:
    (lasting.a / "there").write_bytes(b"x")
    (lasting.a / "sub").mkdir()
    seen_by_kernel = 2 if kind == "getattr" else 1  # it repeats a look-up that failed
    fault = lasting.control.fail(kind, error="EREMOTEIO", times=seen_by_kernel)
    assert error_of(lambda: action(lasting.a)) == "EREMOTEIO"
    assert fault.fired == seen_by_kernel
    action(lasting.a)


def test_an_error_can_last_for_a_time(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    lasting.control.fail("open", "*/f", "ENOENT", times=None, for_s=0.3)
    assert error_of((lasting.a / "f").read_bytes) == "ENOENT"

    def is_back() -> bool:
        try:
            return (lasting.a / "f").read_bytes() == b"x"
        except FileNotFoundError:
            return False

    wait_until(is_back, 10, "the file to be back")


def test_estale_of_an_open_is_repeated_once_by_the_kernel(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"x")
    fault = lasting.control.fail("open", "*/f", "ESTALE", times=1)
    assert (lasting.a / "f").read_bytes() == b"x"
    assert fault.fired == 1
    lasting.control.fail("open", "*/f", "ESTALE", times=2)
    assert error_of((lasting.a / "f").read_bytes) == "ESTALE"


@pytest.mark.parametrize("error", ["EDQUOT", "ENOSPC", "EIO"])
def test_an_error_at_close_loses_the_data_and_the_next_try_succeeds(lasting: Mounts, error: str) -> None:
    lasting.control.fail("flush", "*/f", error)
    descriptor = os.open(lasting.a / "f", os.O_WRONLY | os.O_CREAT)
    assert os.write(descriptor, b"data") == 4
    assert error_of(lambda: os.close(descriptor)) == error
    assert (lasting.b / "f").read_bytes() == b""
    (lasting.a / "f").write_bytes(b"data")
    assert (lasting.b / "f").read_bytes() == b"data"


# Partial results


def test_a_write_can_be_short(lasting: Mounts) -> None:
    lasting.control.shorten("write", "*/f", size_bytes=3)
    with (lasting.a / "f").open("wb", buffering=0) as file:
        assert file.write(b"abcdef") == 3
        assert file.write(b"def") == 3
    assert (lasting.b / "f").read_bytes() == b"abcdef"


def test_a_read_can_be_short(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"abcdef")
    lasting.control.shorten("read", "*/f", size_bytes=2)
    with (lasting.b / "f").open("rb", buffering=0) as file:
        assert (file.read(10), file.read(10)) == (b"ab", b"cdef")


def test_a_write_back_can_stop_in_the_middle(lasting: Mounts) -> None:
    lasting.control.shorten("flush", "*/f", size_bytes=3)
    assert error_of(lambda: (lasting.a / "f").write_bytes(b"abcdef")) == "ENOSPC"
    assert (lasting.b / "f").read_bytes() == b"abc"


def test_a_torn_write_back_shows_nuls_where_the_beginning_will_be(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"one\n")
    fault = lasting.control.tear("*/f")

    def append() -> None:
        with (lasting.a / "f").open("ab") as file:
            file.write(b"abcdef")

    writer = threading.Thread(target=append)
    writer.start()
    torn = wait_until(
        lambda: next((data for data in [(lasting.b / "f").read_bytes()] if len(data) > 4), None),
        10,
        "the end",
    )
    assert torn == b"one\n\0\0\0def"
    fault.remove()
    writer.join()
    assert (lasting.b / "f").read_bytes() == b"one\nabcdef"


# Carried out, but reported as failed


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("create", lambda place: (place / "new").touch()),
        ("link", lambda place: (place / "new").hardlink_to(place / "there")),
        ("rename", lambda place: (place / "moved").rename(place / "new")),
        ("mkdir", lambda place: (place / "new").mkdir()),
    ],
)
def test_a_reply_can_be_lost(lasting: Mounts, kind: str, action: Callable[[Path], object]) -> None:
    for name in ("there", "moved"):
        (lasting.a / name).write_bytes(b"x")
    lasting.control.lose_reply(kind, error="ETIMEDOUT")
    assert error_of(lambda: action(lasting.a)) == "ETIMEDOUT"
    assert "new" in os.listdir(lasting.b)
    assert (lasting.a / "new").exists()


def test_the_reply_to_a_write_back_can_be_lost(lasting: Mounts) -> None:
    lasting.control.lose_reply("flush", "*/f")
    assert error_of(lambda: (lasting.a / "f").write_bytes(b"data")) == "EIO"
    assert (lasting.b / "f").read_bytes() == b"data"


# Space


def test_space_that_runs_out_is_told_at_close_and_part_of_the_data_stays(lasting: Mounts) -> None:
    lasting.control.limit_space(10, "EDQUOT")
    (lasting.a / "f").write_bytes(b"12345678")
    assert error_of(lambda: (lasting.b / "g").write_bytes(b"12345678")) == "EDQUOT"
    assert (lasting.a / "g").read_bytes() == b"12"
    assert error_of((lasting.a / "h").touch) == "EDQUOT"
    assert os.statvfs(lasting.a).f_bavail == 0
    (lasting.a / "f").unlink()
    (lasting.b / "g").write_bytes(b"12345678")
    lasting.control.limit_space(None)
    (lasting.a / "h").write_bytes(bytes(1000))


def test_space_that_runs_out_can_be_told_by_write(lasting: Mounts) -> None:
    lasting.control.limit_space(10, at="write")
    with (lasting.a / "f").open("wb", buffering=0) as file:
        assert file.write(b"12345678") == 8
        assert file.write(b"12345678") == 2
        assert error_of(lambda: file.write(b"345678")) == "ENOSPC"
        lasting.control.limit_space(None)
        assert file.write(b"345678") == 6
    assert (lasting.b / "f").read_bytes() == b"1234567812345678"
