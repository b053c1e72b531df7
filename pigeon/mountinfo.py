"""Which filesystem a path lies on, with which options, from /proc/self/mountinfo (proc(5)).

The kernel's list alone tells the kind: no call is tried out, since one that succeeds proves nothing (a lock on a
network filesystem may silently stay on one host). Reads only, and touches no more of the path than its symbolic links.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NETWORK = frozenset(
    "9p acfs afs beegfs beegfs_nodev ceph cifs coda curvefs cvfs dvs gfs gfs2 glusterfs gpfs lustre mmfs ncpfs nfs nfs4"
    " ocfs2 orangefs panfs pvfs2 smb2 smb3 smbfs snfs vboxsf virtiofs vmhgfs wekafs prl_fs".split()
)
"""Kinds whose files another kernel can change: network, cluster and host-to-guest filesystems."""

_LOCAL_FUSE = frozenset(("fuseblk", "fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.lxcfs"))
"""FUSE kinds that are known to sit on this host's own disks: a container's root, an NTFS partition."""


UNKNOWN = "unknown"


class Mount:
    """One mounted filesystem. `fstype` is UNKNOWN where the kernel's list does not say."""

    __slots__ = ("fstype", "options", "super_options", "mount_point", "source", "root")

    def __init__(
        self,
        fstype: str,
        options: str = "",
        super_options: str = "",
        mount_point: str = "/",
        source: str = "",
        root: str = "/",
    ) -> None:
        self.fstype = fstype
        self.options = options
        """Of this mount, comma separated."""
        self.super_options = super_options
        """Of the filesystem, comma separated: where NFS says `local_lock=`, and Lustre `flock`."""
        self.mount_point = mount_point
        self.source = source
        self.root = root
        """The directory of the filesystem that is mounted: another than `/` for a bind mount and for a subvolume."""

    def __repr__(self) -> str:
        return f"Mount({self.fstype!r} on {self.mount_point!r} from {self.source!r})"


def is_network(fstype: str) -> bool:
    """Whether another host may change files of this kind behind our back.

    An unlisted FUSE filesystem counts as one: what its program does nobody can tell. An automount that did not mount
    anything (`autofs`) does too.
    """
    if fstype in _LOCAL_FUSE:
        return False
    return fstype in _NETWORK or fstype.startswith("fuse") or fstype == "autofs"


def is_private(mount: Mount) -> bool:
    """Whether what lies there is this machine's alone, as far as its list of mounts can tell.

    A part of a filesystem that is mounted by itself may be mounted in the containers beside this one, too; with btrfs
    every subvolume looks like that.
    """
    is_part = mount.root != "/" and mount.fstype != "btrfs"
    return mount.fstype != UNKNOWN and not is_network(mount.fstype) and not is_part


def network_mounts() -> list[Mount]:
    """What other machines may see of what is mounted here, FUSE left out."""
    found = (_mount(fields) for _, _, _, fields in _entries(_read()))
    return [mount for mount in found if mount.fstype in _NETWORK]


def filesystem_of(path: str) -> Mount:
    """The filesystem that `path` lies on, or would lie on if it were created. Symbolic links are followed."""
    real = os.path.realpath(path)
    found = mount_of(_read(), real)
    if found.fstype == "autofs":
        try:
            os.stat(f"{real}/.")  # touching what lies below makes the kernel mount it
        except OSError:
            pass
        found = mount_of(_read(), real)
    return found


def _read() -> bytes:
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            return file.read()
    except OSError:
        return b""  # no /proc: nothing can be said


def mount_of(mountinfo: bytes, path: str) -> Mount:
    """The mount that an absolute path without symbolic links leads to. Pure.

    Walks down from the root as the kernel does, so that a mount hidden below a later one, and one of several on the
    same point, is told from the one in use; the longest matching mount point alone would not tell.
    """
    wanted = os.fsencode(path)
    entries = list(_entries(mountinfo))
    ids = {number for number, _, _, _ in entries}
    on_the_way = [e for e in entries if wanted == e[2] or wanted.startswith(e[2].rstrip(b"/") + b"/")]
    roots = [
        e for e in on_the_way if e[1] not in ids or e[1] == e[0]
    ]  # the first namespace's root is its own parent
    current = None
    following = min(roots, key=_depth, default=None)
    while following is not None:
        current = following
        children = [e for e in on_the_way if e[1] == current[0] != e[0]]
        following = min(children, key=_depth, default=None)
    return Mount(UNKNOWN) if current is None else _mount(current[3])


def _depth(entry: tuple[bytes, bytes, bytes, list[bytes]]) -> int:
    """The length of the mount point: on the way down, the nearest one comes first."""
    return len(entry[2])


def _entries(mountinfo: bytes) -> Iterator[tuple[bytes, bytes, bytes, list[bytes]]]:
    """(id, parent's id, mount point, all fields) of each well-formed line."""
    for line in mountinfo.splitlines():
        fields = line.split(b" ")
        if b"-" in fields[6:] and len(fields) >= 10:
            yield fields[0], fields[1], _unescaped(fields[4]), fields


def _mount(fields: list[bytes]) -> Mount:
    dash = fields.index(b"-", 6)  # a variable number of optional fields stands before it
    fstype, source, super_options = [*fields[dash + 1 : dash + 4], b"", b""][:3]
    texts = (fstype, fields[5], super_options, *map(_unescaped, (fields[4], source, fields[3])))
    return Mount(*(os.fsdecode(text) for text in texts))


def _unescaped(field: bytes) -> bytes:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)
