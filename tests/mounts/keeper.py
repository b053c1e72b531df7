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


def unmount(mountpoint: str) -> None:
    """Take it out of the tree even while something uses it or its server is dead; no matter if it is no mount."""
    for command in (["fusermount", "-u", "-z"], ["fusermount3", "-u", "-z"], ["umount", "-l"]):
        try:
            subprocess.run([*command, "--", mountpoint], capture_output=True, check=True, timeout=10)
            return
        except (OSError, subprocess.SubprocessError):
            continue


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
        select.select([watched], [], [])
    for mount in mounts:
        unmount(mount)
    for server in servers:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(server, signal.SIGKILL)


if __name__ == "__main__":
    main()
