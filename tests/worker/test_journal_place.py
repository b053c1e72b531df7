"""Where the journal goes, and which filesystem a path lies on: by real mounts, and by tables that are hard to make."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.errors import JournalError
from pigeon.journal import place
from pigeon.journal.store import Journal
from pigeon.mountinfo import filesystem_of, is_network, mount_of
from pigeon.worker import proof
from tests.helpers.privileges import NOBODY, mount_small, needs_root, unmount
from tests.helpers.waiting import wait_until

EMPTY_FILESYSTEM = """
import sys, mfusepy
class Empty(mfusepy.Operations):
    def getattr(self, path, fh=None):
        if path != "/":
            raise mfusepy.FuseOSError(2)
        return {"st_mode": 0o040700, "st_nlink": 2, "st_uid": __import__("os").getuid()}
mfusepy.FUSE(Empty(), sys.argv[1], foreground=True, subtype="pigeontest", fsname="pigeon-test")
"""


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Path]:
    """A directory on a FUSE filesystem, of which nobody can tell whether another host has it too."""
    point = tmp_path / "fuse"
    point.mkdir()
    process = subprocess.Popen([sys.executable, "-c", EMPTY_FILESYSTEM, str(point)], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: os.path.ismount(point) or process.poll() is not None, 20, "the mount")
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.skip(f"FUSE does not work here: {process.stderr.read().decode()[-200:]}")
        yield point
    finally:
        if process.poll() is None:
            subprocess.run(["fusermount", "-uz", str(point)], check=False)
            process.wait(20)
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of /var/tmp."""
    directory = tmp_path / "base"
    directory.mkdir()
    monkeypatch.setattr(place, "PRIVATE_BASE", str(directory))
    return directory


def test_the_home_directory_if_it_is_local(
    base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place.default_path() == str(tmp_path / ".pigeon.db")
    place.check(place.default_path(), explicit=False)


def test_a_private_directory_if_the_home_may_be_shared(
    base: Path, fuse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(fuse))
    path = place.default_path()
    assert path == f"{base}/pigeon-{os.geteuid()}/journal.db"
    assert os.listdir(base) == []  # asking makes nothing
    place.check(path, explicit=False)
    Journal.open(path).close()
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    assert place.default_path() == path
    Journal.open(path).close()


def test_a_link_from_a_shared_home_to_a_local_disk_counts_as_local(
    base: Path, fuse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".pigeon.db").symlink_to(fuse / "pigeon.db")
    monkeypatch.setenv("HOME", str(home))
    assert place.default_path() == f"{base}/pigeon-{os.geteuid()}/journal.db"


def test_a_path_that_somebody_chose_on_a_network_filesystem_is_refused(base: Path, fuse: Path) -> None:
    with pytest.raises(JournalError, match="network filesystem") as caught:
        place.check(str(fuse / "pigeon.db"), explicit=True)
    assert "fuse.pigeontest" in caught.value.message
    assert str(base) in str(caught.value.hint)


def test_no_local_place_at_all(fuse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(fuse))
    monkeypatch.setattr(place, "PRIVATE_BASE", str(fuse))
    with pytest.raises(JournalError, match="only place") as caught:
        place.check(place.default_path(), explicit=False)
    assert "--journal" in str(caught.value.hint)


def spoil(directory: Path, how: str) -> None:
    if how == "symlink":
        (directory.parent / "elsewhere").mkdir()
        directory.symlink_to(directory.parent / "elsewhere")
    elif how == "file":
        directory.touch()
    else:
        directory.mkdir(mode=0o700)
        if how == "open":
            directory.chmod(0o755)
        else:
            os.chown(directory, NOBODY, NOBODY)


@pytest.mark.parametrize("how", ["symlink", "file", "open", pytest.param("foreign", marks=needs_root)])
def test_a_private_directory_that_is_not_ours_alone(
    base: Path, fuse: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    directory = Path(place.private_directory())
    monkeypatch.setenv("HOME", str(fuse))
    path = place.default_path()
    spoil(directory, how)
    for ask in (place.default_path, lambda: Journal.open(path)):
        with pytest.raises(JournalError) as caught:
            ask()
        assert str(directory) in caught.value.message


# -- the mount table ---------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("name", ["plain", "with space", "new\nline", "tab\tand\\", "caf\udce9"], ids=ascii)
def test_a_mount_with_any_name(tmp_path: Path, name: str) -> None:
    point = tmp_path / name
    point.mkdir()
    (tmp_path / f"{name}x").mkdir()
    outside = filesystem_of(str(point)).mount_point
    mount_small(point, "1m")
    try:
        found = filesystem_of(f"{point}/not/there/yet")
        assert (found.fstype, found.source, found.mount_point) == ("tmpfs", "pigeon-test", str(point))
        assert "size=1024k" in found.super_options
        assert filesystem_of(f"{point}x").mount_point == outside
        link = tmp_path / "link"
        link.symlink_to(point)
        assert filesystem_of(str(link / "file")).fstype == "tmpfs"
    finally:
        unmount(point)
    assert filesystem_of(str(point)).mount_point == outside


TABLE = b"""\
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
21 20 0:5 / /proc rw - proc proc rw
30 20 0:40 / /home rw shared:7 master:2 - nfs4 server:/export/home rw,vers=4.2,local_lock=none
31 30 0:41 / /home/me/local rw - xfs /dev/sdb1 rw
40 20 0:50 / /a/b rw - nfs4 server:/hidden rw
41 20 0:51 / /a rw - ext4 /dev/sdc1 rw
50 20 0:60 / /stack rw - autofs auto rw
51 50 0:61 / /stack rw - lustre mgs:/scratch rw,flock
60 20 0:70 / /odd\\040name\\134x rw - ceph mon:/ rw
"""


@pytest.mark.parametrize(
    ("path", "fstype"),
    [
        ("/", "ext4"),
        ("/etc/x", "ext4"),
        ("/home/me", "nfs4"),
        ("/homes", "ext4"),
        ("/home/me/local/j.db", "xfs"),
        ("/a/b/c", "ext4"),  # what lay on /a/b is hidden by what was mounted on /a later
        ("/stack/x", "lustre"),  # the topmost of two on one point
        ("/odd name\\x/y", "ceph"),
    ],
)
def test_the_mount_that_a_path_leads_to(path: str, fstype: str) -> None:
    found = mount_of(TABLE, path)
    assert found.fstype == fstype


def test_options_and_super_options_stay_apart() -> None:
    found = mount_of(TABLE, "/home/x")
    assert (found.options, found.super_options) == ("rw", "rw,vers=4.2,local_lock=none")
    assert (found.source, found.mount_point) == ("server:/export/home", "/home")


def test_tables_that_do_not_say() -> None:
    assert mount_of(b"", "/x").fstype == "unknown"
    in_a_container = (
        b"99 98 0:3 / / rw - overlay overlay rw,lowerdir=/x\n100 99 0:4 / /etc/hosts rw - ext4 /dev/a rw\n"
    )
    assert mount_of(in_a_container, "/etc/hosts").fstype == "ext4"
    assert mount_of(in_a_container, "/etc").fstype == "overlay"
    below_a_chroot = b"22 17 0:5 / /proc rw - proc proc rw\n"
    assert mount_of(below_a_chroot, "/home").fstype == "unknown"
    own_parent = b"1 1 0:1 / / rw - rootfs rootfs rw\n2 1 0:2 / / rw - tmpfs none rw\n"
    assert mount_of(own_parent, "/x").fstype == "tmpfs"


@pytest.mark.parametrize(
    "fstype",
    "nfs nfs4 lustre gpfs ceph beegfs cifs smb3 9p afs virtiofs fuse fuse.sshfs fuse.any autofs".split(),
)
def test_what_another_host_may_change(fstype: str) -> None:
    assert is_network(fstype)


@pytest.mark.parametrize(
    "fstype", "ext4 xfs btrfs tmpfs overlay zfs f2fs fuseblk fuse.fuse-overlayfs unknown".split()
)
def test_what_is_this_hosts_own(fstype: str) -> None:
    assert not is_network(fstype)


def test_what_a_killed_worker_of_one_session_left_goes_in_time_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "PRIVATE_BASE", str(tmp_path))
    private = Path(place.private_directory())
    private.mkdir()
    dead, living, young = (place.of_one_session("1700000000000-00000000000a") for _ in range(3))
    kept = []
    for path in (dead, living, young):
        os.mkdir(f"{path}{place.PROOFS}")
        kept.append(proof.ProofOfLife(f"{path}{place.PROOFS}", "t.1"))
        for name in (path, f"{path}-wal"):
            Path(name).touch()
    os.close(kept[0].descriptor)  # as by its death
    for path in (dead, living):
        for name in (path, f"{path}-wal", f"{path}{place.PROOFS}"):
            os.utime(name, (0, 0))
    place.discard_old(3600, proof.is_any_held)
    left = {entry.name for entry in private.iterdir()}
    names = {os.path.basename(path) for path in (living, young)}
    assert left == {f"{name}{suffix}" for name in names for suffix in ("", "-wal", place.PROOFS)}
    for one in kept[1:]:
        os.close(one.descriptor)
