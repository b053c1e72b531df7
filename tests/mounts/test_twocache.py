"""The filesystem made for these tests treats names as NFS clients do; and the rest that programs need of a filesystem.

What must be hidden is looked for where caches last longer than any test; what must appear, where they are short.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.conftest import LONG_S
from tests.mounts.rigs import Mounts, require, two_mounts


def test_a_missed_name_stays_missing_until_its_directory_is_listed(lasting: Mounts) -> None:
    assert not (lasting.b / "new").exists()
    (lasting.a / "new").write_bytes(b"here")
    assert not (lasting.b / "new").exists()
    with pytest.raises(FileNotFoundError):
        (lasting.b / "new").read_bytes()
    assert os.listdir(lasting.b) == ["new"]
    assert (lasting.b / "new").read_bytes() == b"here"


def test_listing_another_directory_reveals_nothing(lasting: Mounts) -> None:
    (lasting.a / "sub").mkdir()
    assert not (lasting.b / "sub" / "new").exists()
    (lasting.a / "sub" / "new").touch()
    os.listdir(lasting.b)
    assert not (lasting.b / "sub" / "new").exists()


def test_a_missed_name_appears_when_the_miss_has_grown_old(brief: Mounts) -> None:
    assert not (brief.b / "new").exists()
    (brief.a / "new").touch()
    wait_until((brief.b / "new").exists, 10, "the name on the other mount")


def test_an_exclusive_create_asks_the_server_about_a_missed_name(lasting: Mounts) -> None:
    assert not (lasting.b / "claim").exists()
    (lasting.a / "claim").touch()
    assert not (lasting.b / "claim").exists()
    with pytest.raises(FileExistsError):
        os.open(lasting.b / "claim", os.O_CREAT | os.O_EXCL | os.O_WRONLY)


@pytest.mark.parametrize("make", ["mkdir", "link"])
def test_other_exclusive_makers_ask_the_server_too(lasting: Mounts, make: str) -> None:
    (lasting.b / "private").touch()
    assert not (lasting.b / "claim").exists()
    (lasting.a / "claim").touch()
    with pytest.raises(FileExistsError):
        if make == "mkdir":
            (lasting.b / "claim").mkdir()
        else:
            (lasting.b / "claim").hardlink_to(lasting.b / "private")


def test_one_of_many_links_wins_and_shows_two_names(lasting: Mounts) -> None:
    sides = [lasting.a, lasting.b] * 4
    start = threading.Barrier(len(sides))
    won: list[int] = []

    def claim(number: int, side: Path) -> None:
        (side / f"private-{number}").write_bytes(b"%d" % number)
        start.wait()
        try:
            (side / "claim").hardlink_to(side / f"private-{number}")
        except FileExistsError:
            return
        assert (side / f"private-{number}").stat().st_nlink == 2
        won.append(number)

    threads = [threading.Thread(target=claim, args=pair) for pair in enumerate(sides)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert {(side / "claim").read_bytes() for side in sides} == {b"%d" % won[0]}


def test_a_name_removed_elsewhere_is_believed_by_stat_and_found_out_by_open(lasting: Mounts) -> None:
    (lasting.a / "gone").write_bytes(b"x")
    assert (lasting.b / "gone").exists()
    (lasting.a / "gone").unlink()
    assert (lasting.b / "gone").exists()
    with pytest.raises(FileNotFoundError):
        (lasting.b / "gone").read_bytes()
    assert not (lasting.b / "gone").exists()


def test_own_changes_are_seen_at_once(lasting: Mounts) -> None:
    assert not (lasting.b / "x").exists()
    (lasting.b / "x").write_bytes(b"1")
    assert (lasting.b / "x").read_bytes() == b"1"
    (lasting.b / "x").rename(lasting.b / "y")
    assert sorted(os.listdir(lasting.b)) == ["y"]
    assert not (lasting.b / "x").exists()
    (lasting.b / "y").unlink()
    assert not (lasting.b / "y").exists()


def test_a_renamed_directory_takes_what_was_known_below_it_along(lasting: Mounts) -> None:
    (lasting.b / "d").mkdir()
    assert not (lasting.b / "d" / "f").exists()
    (lasting.b / "d").rename(lasting.b / "e")
    (lasting.b / "e" / "f").touch()
    (lasting.b / "e").rename(lasting.b / "d")
    assert (lasting.b / "d" / "f").exists()


def test_a_file_removed_while_open_keeps_its_directory_until_it_is_closed(lasting: Mounts) -> None:
    (lasting.a / "d").mkdir()
    (lasting.a / "d" / "f").write_bytes(b"still here")
    with (lasting.a / "d" / "f").open("rb") as held:
        (lasting.a / "d" / "f").unlink()
        (left,) = os.listdir(lasting.b / "d")
        assert left.startswith(".nfs")
        with pytest.raises(OSError) as caught:
            (lasting.b / "d").rmdir()
        assert caught.value.errno == errno.ENOTEMPTY
        assert held.read() == b"still here"
    wait_until(lambda: os.listdir(lasting.b / "d") == [], 10, "the silly name to go")
    (lasting.a / "d").rmdir()


def test_like_sshfs_listings_can_be_believed_and_misses_not() -> None:
    require("twocache")
    with two_mounts(ttl_s=LONG_S, negative_ttl_s=0, listing_ttl_s=LONG_S, subtype="sshfs") as (a, b, _):
        assert os.listdir(b) == []
        (a / "new").touch()
        assert os.listdir(b) == []
        assert (b / "new").exists()
        assert b"fuse.sshfs" in Path("/proc/self/mountinfo").read_bytes()


# The rest of a filesystem


def test_what_else_programs_need(lasting: Mounts) -> None:
    a, b = lasting.a, lasting.b
    ugly = os.fsencode(a) + b"/sp ace\n\xff'"
    with open(ugly, "wb") as file:
        file.write(b"x")
    assert os.listdir(os.fsencode(b)) == [b"sp ace\n\xff'"]
    os.chmod(ugly, 0o640)
    os.utime(ugly, ns=(10**18, 2 * 10**18))
    seen = os.stat(os.fsencode(b) + b"/sp ace\n\xff'")
    assert (seen.st_mode & 0o7777, seen.st_mtime_ns) == (0o640, 2 * 10**18)
    (a / "link").symlink_to("else where")
    assert os.readlink(b / "link") == "else where"
    os.mkfifo(a / "pipe")
    assert (b / "pipe").is_fifo()
    (a / "script").write_text("#!/bin/sh\necho ran\n")
    (a / "script").chmod(0o700)
    assert subprocess.run([b / "script"], capture_output=True, check=True).stdout == b"ran\n"
    kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(os.fsdecode(b))}
    assert kinds["script"] and not kinds["pipe"] and not kinds["link"]
    assert os.statvfs(b).f_bavail > 0
