"""The first filesystem of a machine, made in memory for each boot: busybox, modules, the agent and one script.

The script mounts the host's root read-only, lays a layer in memory over it, sets names and addresses, and becomes the
agent. Refuses nothing: whatever fails is on the console, which the keeper shows.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from .kernel import Kernel

HERE = Path(__file__).parent

INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /lab.conf
for module in $MODULES; do insmod "/modules/$module" || echo "lab: could not load $module"; done
if [ "$NAME" = probe ]; then echo 'lab: probe done'; poweroff -f; fi
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host
mount -t tmpfs -o mode=755 layer /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /new
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /new/dev/pts
mount -t tmpfs -o mode=1777 shm /new/dev/shm
mount -t tmpfs -o mode=755 run /new/run
ln -sf /proc/self/fd /new/dev/fd
for n in 0 1 2; do ln -sf "/proc/self/fd/$n" "/new/dev/$(echo stdin stdout stderr | cut -d' ' -f$((n + 1)))"; done
# The host's own settings for names would send the machines looking for servers that they cannot reach.
rm -f /new/etc/mtab /new/etc/resolv.conf /new/etc/hosts /new/etc/nsswitch.conf
ln -s /proc/self/mounts /new/etc/mtab
: >/new/etc/resolv.conf
printf '%s\n' 'passwd: files' 'group: files' 'hosts: files' 'netgroup: files' 'services: files' \
    'protocols: files' 'rpc: files' >/new/etc/nsswitch.conf
cp /hosts /new/etc/hosts
hostname "$NAME"
echo "$NAME" >/new/etc/hostname
ip link set lo up
i=0
for address in $ADDRESSES; do
    ip link set "eth$i" mtu 9000
    ip addr add "$address/24" dev "eth$i"
    ip link set "eth$i" up
    i=$((i + 1))
done
mkdir -p /new/run/lab/nfs_lab
cp /agent/* /new/run/lab/nfs_lab/
export PYTHONPATH=/run/lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec switch_root /new "$PYTHON" -s -S -m nfs_lab.agent
"""


def build_initramfs(
    kernel: Kernel, busybox: str, name: str, python: str, addresses: Sequence[str], hosts: str
) -> bytes:
    """The archive for machine `name`; `addresses` are those of its cards, in order."""
    settings = {
        "NAME": name,
        "PYTHON": python,
        "ADDRESSES": " ".join(addresses),
        "MODULES": " ".join(path.name for path in kernel.modules),
    }
    archive = Archive()
    for directory in ("bin", "modules", "agent", "proc", "sys", "dev", "host", "layer", "new"):
        archive.add(directory, 0o40755)
    archive.add("init", 0o100755, INIT.encode())
    archive.add("bin/busybox", 0o100755, Path(busybox).read_bytes())
    archive.add(
        "lab.conf", 0o100644, "".join(f"{k}={shlex.quote(v)}\n" for k, v in settings.items()).encode()
    )
    archive.add("hosts", 0o100644, hosts.encode())
    for path in kernel.modules:
        archive.add(f"modules/{path.name}", 0o100644, path.read_bytes())
    for part in ("__init__.py", "frames.py", "agent.py"):
        archive.add(f"agent/{part}", 0o100644, (HERE / part).read_bytes())
    return archive.finish()


class Archive:
    """The `newc` kind of cpio, which the kernel unpacks."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def add(self, name: str, mode: int, content: bytes = b"") -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        self._data += b"070701" + b"".join(b"%08X" % number for number in numbers) + encoded
        self._pad()
        self._data += content
        self._pad()

    def finish(self) -> bytes:
        self.add("TRAILER!!!", 0)
        return bytes(self._data)

    def _pad(self) -> None:
        self._data += b"\0" * (-len(self._data) % 4)
