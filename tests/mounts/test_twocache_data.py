"""The filesystem made for these tests shows and hides file data as NFS clients do."""

from __future__ import annotations

import errno
import os

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.rigs import Mounts, require, two_mounts


def test_written_bytes_are_seen_by_the_other_side_after_close_only(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"old\n")
    descriptor = os.open(lasting.a / "f", os.O_WRONLY)
    os.pwrite(descriptor, b"new\n", 4)
    assert (lasting.b / "f").read_bytes() == b"old\n"
    assert (lasting.a / "f").read_bytes() == b"old\nnew\n", "the writer's own host sees them"
    os.close(descriptor)
    assert (lasting.b / "f").read_bytes() == b"old\nnew\n"


def test_fsync_publishes_too(lasting: Mounts) -> None:
    with (lasting.a / "f").open("wb", buffering=0) as file:
        file.write(b"data")
        assert (lasting.b / "f").read_bytes() == b""
        os.fsync(file.fileno())
        assert (lasting.b / "f").read_bytes() == b"data"


def test_a_descriptor_kept_open_does_not_see_growth(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"one\n")
    with (lasting.b / "f").open("rb", buffering=0) as kept:
        assert kept.read(100) == b"one\n"
        with (lasting.a / "f").open("ab") as file:
            file.write(b"two\n")
        assert kept.read(100) == b""
        assert os.fstat(kept.fileno()).st_size == 4
        assert (lasting.b / "f").read_bytes() == b"one\ntwo\n", "opening anew asks the server"


def test_a_descriptor_kept_open_sees_growth_when_attributes_are_asked_for_anew(brief: Mounts) -> None:
    (brief.a / "f").write_bytes(b"one\n")
    with (brief.b / "f").open("rb", buffering=0) as kept:
        kept.read(100)
        with (brief.a / "f").open("ab") as file:
            file.write(b"two\n")
        assert wait_until(lambda: kept.read(100), 10, "the appended line") == b"two\n"


def test_a_host_that_holds_a_file_open_for_writing_reads_nuls(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"one\n")
    held = os.open(lasting.b / "f", os.O_WRONLY)
    with (lasting.a / "f").open("ab") as file:
        file.write(b"two\n")
    assert (lasting.b / "f").read_bytes() == b"one\n\0\0\0\0"
    os.close(held)
    assert (lasting.b / "f").read_bytes() == b"one\ntwo\n"


def test_a_copy_of_the_descriptor_that_is_closed_does_not_count_as_the_last(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"one\n")
    held = os.open(lasting.b / "f", os.O_WRONLY)
    os.close(os.dup(held))
    with (lasting.a / "f").open("ab") as file:
        file.write(b"two\n")
    assert (lasting.b / "f").read_bytes() == b"one\n\0\0\0\0"
    os.close(held)


def test_many_quick_appends_and_reads_never_show_nuls(lasting: Mounts) -> None:
    """Each side appends to its own file and reads the other's, opening both anew each time."""
    for number in range(40):
        for side, mine, theirs in ((lasting.a, "x", "y"), (lasting.b, "y", "x")):
            with (side / mine).open("ab") as file:
                file.write(b"%04d\n" % number)
            os.listdir(side)
            if (side / theirs).exists():
                assert b"\0" not in (side / theirs).read_bytes()
    assert (lasting.a / "y").read_bytes() == (lasting.b / "x").read_bytes()


def test_appending_from_two_hosts_loses_data(lasting: Mounts) -> None:
    (lasting.a / "f").touch()
    descriptors = [os.open(side / "f", os.O_WRONLY | os.O_APPEND) for side in (lasting.a, lasting.b)]
    for descriptor in descriptors:
        os.write(descriptor, b"line\n")
    for descriptor in descriptors:
        os.close(descriptor)
    assert (lasting.a / "f").read_bytes() == b"line\n"


def test_a_replaced_file_is_noticed_at_open_and_an_old_descriptor_keeps_the_old(lasting: Mounts) -> None:
    (lasting.a / "status").write_bytes(b"pending")
    with (lasting.b / "status").open("rb", buffering=0) as old:
        (lasting.a / "tmp").write_bytes(b"running, really")
        (lasting.a / "tmp").rename(lasting.a / "status")
        assert (lasting.b / "status").stat().st_size == 7, "attributes are believed"
        assert (lasting.b / "status").read_bytes() == b"running, really"
        assert old.read() == b"pending"


def test_truncated_and_rewritten_data_are_seen_after_close(lasting: Mounts) -> None:
    (lasting.a / "f").write_bytes(b"a long first version")
    assert (lasting.b / "f").read_bytes() == b"a long first version"
    (lasting.a / "f").write_bytes(b"short")
    assert (lasting.b / "f").read_bytes() == b"short"
    with (lasting.b / "f").open("r+b") as file:
        file.write(b"S")
        file.seek(3)
        file.truncate()
    assert (lasting.a / "f").read_bytes() == b"Sho"


def test_large_data_pass_unharmed(lasting: Mounts) -> None:
    data = os.urandom(5_000_001)
    (lasting.a / "f").write_bytes(data)
    assert (lasting.b / "f").read_bytes() == data


def test_over_nfs3_a_descriptor_of_a_replaced_file_is_stale() -> None:
    require("twocache")
    with two_mounts(is_v3=True) as (a, b, _):
        (a / "f").write_bytes(b"old")
        with (b / "f").open("rb", buffering=0) as old:
            (a / "g").write_bytes(b"new")
            (a / "g").rename(a / "f")
            with pytest.raises(OSError) as caught:
                old.read()
            assert caught.value.errno == errno.ESTALE
