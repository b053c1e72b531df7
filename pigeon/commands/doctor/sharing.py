"""Does any other machine see the cache? A path on a local disk is another directory on each machine that has it.

Nobody who sits on one side alone can prove that. So what proves the contrary comes first: somebody elsewhere was here.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from pigeon import mountinfo
from pigeon.commands.doctor.checks import PASS, WARN, Finding, Patient
from pigeon.config import Config
from pigeon.errors import PigeonError
from pigeon.report import session_view
from pigeon.wire.names import Namespace

EXPORTS = "/var/lib/nfs/etab"
"""What the kernel's NFS server exports at the moment, a directory and its clients a line (exportfs(8))."""

LOOKED_AT = 20
"""Sessions, the newest ones."""

NAMED = 4
"""Mounts that a remedy names."""


def check_sharing(patient: Patient, _: Config) -> list[Finding]:
    """Who else sees the cache, or why nobody can."""
    mount = mountinfo.filesystem_of(patient.cache)
    if mountinfo.is_network(mount.fstype):
        source = f" from `{mount.source}`" if mount.source else ""
        return [Finding(PASS, f"other machines can mount it, too: {mount.fstype}{source}")]
    here = socket.gethostname()
    workers, live = session_view.live_workers(patient.place)
    hosts = {workers[name].host for name in live}
    elsewhere = (hosts | _requesters(patient.place)) - {here}
    if elsewhere:
        return [Finding(PASS, f"also seen by {', '.join(sorted(elsewhere))}")]
    if mount.fstype == mountinfo.UNKNOWN:
        return [Finding(PASS, "nobody can tell who else sees it: this machine does not list its mounts")]
    where = f"a filesystem of this machine ({mount.fstype} on {mount.mount_point})"
    if here in hosts:
        return [Finding(PASS, f"on {where}, where a worker runs, too: it serves what is typed here")]
    if is_exported(os.path.realpath(patient.cache)):
        return [Finding(PASS, "this machine exports it by NFS")]
    if not mountinfo.is_private(mount):
        text = f"`{mount.root}` of {where} is mounted here; the same may be mounted in other containers"
        return [Finding(PASS, text)]
    text = (
        f"it lies on {where}, and no worker here; a directory of that name on another machine is another one"
    )
    return [Finding(WARN, text, _remedy())]


def _requesters(place: Namespace) -> set[str]:
    """The hosts whose clients have asked for something of late."""
    hosts = set()
    for session_id in session_view.session_ids(place)[-LOOKED_AT:]:
        with suppress(PigeonError):
            request = session_view.view(place, session_id).request
            if request is not None and request.requester.host:
                hosts.add(request.requester.host)
    return hosts


def is_exported(path: str, exports: str = EXPORTS) -> bool:
    """Whether this machine's NFS server lends `path`, or a directory above it."""
    try:
        with open(exports, encoding="utf-8", errors="surrogateescape") as file:
            lent = [line.split("\t")[0].rstrip("/") for line in file if line.startswith("/")]
    except OSError:
        return False
    return any(path == one or path.startswith(f"{one}/") for one in lent)


def _remedy() -> str:
    """What to do, with the filesystems of this machine that others can mount."""
    shared = [f"`{mount.mount_point}` ({mount.fstype})" for mount in mountinfo.network_mounts()]
    named = f" (mounted here: {', '.join(shared[:NAMED])})" if shared else ""
    return (
        f"take a directory on a filesystem that both machines mount{named}; "
        "or start a worker here, to use this machine alone"
    )
