"""Debian's kernel for the machines: fetched once by apt, unpacked beside nothing, never installed.

Owns the lab's cache directory: the kernel image and the few modules that the machines need, in the order in which
they must be loaded. Refuses hosts without apt, with a hint; touches no boot loader and no system directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from .errors import LabError

PACKAGE = "linux-image-amd64"
MODULES = (
    *("virtio_pci", "virtio_net", "virtio_blk", "virtio_console"),
    *("9p", "9pnet_virtio", "overlay"),  # the host's root, and the layer over it
    *("crc32c_generic", "ext4", "nfsd"),  # the server
    *("nfsv3", "nfsv4"),
)

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "mount.nfs": "nfs-common",
    "rpc.statd": "nfs-common",
    "rpcbind": "rpcbind",
    "rpc.nfsd": "nfs-kernel-server",
    "exportfs": "nfs-kernel-server",
    "mke2fs": "e2fsprogs",
}
"""What the host must have, and the Debian package that brings it. The machines run the host's own programs."""

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"


class Kernel(NamedTuple):
    """A kernel that is ready to be booted."""

    release: str
    image: Path
    modules: list[Path]
    """In loading order."""


def find_program(name: str) -> str:
    """The path of one of `PROGRAMS`. Raises `LabError` naming the package when it is missing."""
    path = shutil.which(name, path=SEARCH)
    if path is None:
        raise LabError(
            f"`{name}` is not installed", f"run `tools/nfs-lab setup` as root, or install {PROGRAMS[name]}"
        )
    return path


def missing_packages() -> list[str]:
    """The packages that the host lacks, each once."""
    lacking = [package for name, package in PROGRAMS.items() if not shutil.which(name, path=SEARCH)]
    return list(dict.fromkeys(lacking))


def cache_directory() -> Path:
    """Where the unpacked kernel is kept between runs: in the checkout, out of git's sight."""
    return CHECKOUT / ".cache" / "nfs-lab"


def prepare_kernel(may_update: bool = False) -> Kernel:
    """The kernel from the cache, or, the first time, from Debian (70 MB); `may_update`: the package index too."""
    cache = cache_directory()
    if not (cache / "ready").exists():
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(
                f"cannot make `{cache.parent}`: {error.strerror}", "use a checkout that you may write"
            ) from error
        # Made aside and renamed: two labs that start at once make it twice, and nobody sees half of it.
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix="nfs-lab-") as scratch:
            made = fill_cache(Path(scratch), may_update)
            try:
                os.rename(made, cache)
            except OSError:
                if not (cache / "ready").exists():
                    raise LabError(f"`{cache}` is in the way", "remove it and start again") from None
    release, *names = (cache / "ready").read_text().split()
    return Kernel(release, cache / "vmlinuz", [cache / name for name in names])


def fill_cache(scratch: Path, may_update: bool) -> Path:
    """Download and unpack below `scratch`; returns the directory that is to become the cache."""
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise LabError(f"`{program}` is not here", "the lab takes its kernel from Debian's packages")
    package = newest_package(may_update)
    run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], scratch)
    (deb,) = scratch.glob("*.deb")
    tree = scratch / "tree"
    run(["dpkg-deb", "-x", str(deb), str(tree)], scratch)
    (image,) = tree.glob("boot/vmlinuz-*")
    release = image.name.removeprefix("vmlinuz-")
    made = scratch / "made"
    made.mkdir()
    shutil.copy(image, made / "vmlinuz")
    # From 6.12 on Debian's modules lie below /usr/lib.
    (top,) = [d for d in (tree / "lib/modules" / release, tree / "usr/lib/modules" / release) if d.is_dir()]
    names = []
    for path in module_closure(top):
        shutil.copy(path, made / path.name)
        names.append(path.name)
    (made / "ready").write_text("\n".join([release, *names]) + "\n")
    return made


def newest_package(may_update: bool) -> str:
    """The package with the image itself, behind the one that always points at the newest."""
    # Its exit code for an unknown package differs between versions; an empty answer says as much.
    asked = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True)
    found = re.search(r"Depends: (linux-image-\S+)", asked.stdout)
    if found is None and may_update:
        run(["apt-get", "-q", "update"], Path("/"))
        return newest_package(False)
    if found is None:
        raise LabError(f"apt does not know `{PACKAGE}`", "run `apt-get update` as root")
    return found[1]


def module_closure(top: Path) -> list[Path]:
    """`MODULES` and all that they depend on, dependencies first, as each says of itself."""
    known = {plain_name(path): path for path in top.rglob("*.ko")}
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in order or name not in known:
            return  # not known: built into this kernel
        found = re.search(rb"\0depends=([^\0]*)\0", known[name].read_bytes())
        for dependency in (found[1].decode() if found else "").split(","):
            add(dependency.replace("-", "_"))
        order[name] = known[name]

    for name in MODULES:
        add(name)
    if not known:
        raise LabError(f"the modules of `{top.name}` are compressed", "this lab reads plain .ko files only")
    return list(order.values())


def plain_name(path: Path) -> str:
    return path.name.removesuffix(".ko").replace("-", "_")


def run(argv: list[str], cwd: Path) -> str:
    """Run a tool of the host; its words stand in the error when it fails."""
    done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise LabError(
            f"`{' '.join(argv)}` failed: {done.stderr.strip()}", "is the package index up to date?"
        )
    return done.stdout
