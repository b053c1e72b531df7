"""A small process that outlives whoever started a rig, and clears the rig away: `keeper.py PARENT MOUNT… -- PID…`.

It waits until the parent is gone, however it ended, then takes the mounts out of the tree and kills the processes
that serve them. A rig that is stopped in the normal way kills its keeper first. Needs nothing but Python.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys

_LOOK_S = 0.5
"""An end that the kernel cannot tell is looked for so often."""


def unmount(mountpoint: str) -> None:
    """Take it out of the tree even while something uses it or its server is dead; no matter if it is no mount."""
    for command in (["fusermount", "-u", "-z"], ["fusermount3", "-u", "-z"], ["umount", "-l"]):
        try:
            subprocess.run([*command, "--", mountpoint], capture_output=True, check=True, timeout=10)
            return
        except (OSError, subprocess.SubprocessError):
            continue


def is_dying(pid: int) -> bool:
    """Was it killed, though a thread of it may hang in the very mount that waits for its end?"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            state = stat.read().rpartition(b")")[2].split()[0]
        with open(f"/proc/{pid}/status", "rb") as status:
            pending = [
                int(line.split()[1], 16) for line in status if line.startswith((b"SigPnd:", b"ShdPnd:"))
            ]
    except OSError:
        return True
    return state in (b"Z", b"X") or any(mask & (1 << (signal.SIGKILL - 1)) for mask in pending)


def main() -> None:
    """Wait, then clear away."""
    parent, *rest = sys.argv[1:]
    split = rest.index("--")
    mounts, pids = rest[:split], [int(pid) for pid in rest[split + 1 :]]
    # Descriptors, taken while all are alive for certain: a number may belong to another process by then.
    servers = [os.pidfd_open(pid) for pid in pids]
    try:
        watched = os.pidfd_open(int(parent))
    except ProcessLookupError:
        watched = None
    print("watching", flush=True)
    if watched is not None and os.getppid() == int(parent):
        while not select.select([watched], [], [], _LOOK_S)[0] and not is_dying(int(parent)):
            pass
    for mount in mounts:
        unmount(mount)
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(server, signal.SIGKILL)


if __name__ == "__main__":
    main()
