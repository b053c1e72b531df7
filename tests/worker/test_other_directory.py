"""Whether the current directory of the worker's host is another one than the client's, by what both know of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon import mountinfo
from pigeon.wire.documents import Request, Requester
from pigeon.wire.names import new_session_id
from pigeon.worker.runner.held_directory import other_directory

DISK = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
SHARE = b"1 0 0:9 / / rw - nfs4 server:/x rw\n"
NOTHING = b"9 7 0:4 / /proc rw - proc proc rw\n"


@pytest.mark.parametrize(
    ("theirs", "client_host", "mounts", "is_told"),
    [
        ("ext4", "here", DISK, False),
        ("ext4", "there", DISK, True),  # two disks of one image
        ("xfs", "here", DISK, True),
        ("nfs4", "there", SHARE, False),
        ("", "there", DISK, False),
        (
            "ext4",
            "here",
            NOTHING,
            False,
        ),  # a chroot: the client knows it by its device, the worker not by its path
        ("ext4", "there", NOTHING, False),
    ],
)
def test_the_same_number_on_both_hosts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    theirs: str,
    client_host: str,
    mounts: bytes,
    is_told: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mountinfo, "_read", lambda: mounts)
    request = Request(new_session_id(), ["true"], str(tmp_path))
    request.requester = Requester(client_host)
    here = os.stat(tmp_path)
    request.directory = here.st_ino, here.st_mtime_ns - 10**9, theirs
    assert bool(other_directory(request, "here")) == is_told
