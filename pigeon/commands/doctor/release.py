"""`pigeon doctor --release`: frees a directory from locks that name holders who are dead.

Promises to free nothing from a holder that lives as far as can be seen. A holder on another host is the user's word
only, given by that host's name, and not believed against signs of life.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pigeon import clock
from pigeon.config import Config
from pigeon.printing import say
from pigeon.wire import files
from pigeon.wire.names import Namespace
from pigeon.wire.worker_file import WorkerFiles
from pigeon.worker import identity
from pigeon.worker.locks.flock import try_flock
from pigeon.worker.locks.kind import Holder, Kind
from pigeon.worker.locks.kinds import KINDS
from pigeon.worker.scheduler.heartbeat import INTERVAL_S


def release(config: Config, directory: str, gone_host: str | None = None) -> int:
    """Free `directory`, whatever its kind of lock, from holders on this host that are proven dead, commands included.

    `gone_host`: and from those on a host that the user knows to be down; refused if that shows signs of life.
    """
    namespace = config.open_namespace()
    path = namespace.lock(directory)
    held = [(kind, holder) for kind in KINDS.values() for holder in kind.holders(path)]
    if not held:
        say(f"`{directory}` is not held by a lock that names its holder")
        return 0
    lock = files.open_lock(path)
    try:
        # Runner and command hold the flock, whatever else the lock is: who gets it has proof that neither lives here,
        # and nobody can take the directory meanwhile.
        is_free = try_flock(lock)
        answers = [
            _release_one(kind, path, holder, is_free=is_free)
            if holder.is_here
            else _release_gone(namespace, kind, path, holder, gone_host)
            for kind, holder in held
        ]
    finally:
        os.close(lock)
    for text in dict.fromkeys(text for _, text in answers):  # a holder may have two claims
        say(f"`{directory}` {text}")
    return 0 if all(is_done for is_done, _ in answers) else 1


def _release_one(kind: Kind, path: str, holder: Holder, *, is_free: bool) -> tuple[bool, str]:
    if not is_free or identity.is_running(holder.pid, None):
        return False, f"is held by pid {holder.pid}, which lives, or whose command does"
    kind.break_holder(path, holder)
    return True, f"is freed from pid {holder.pid} on this host, which is dead"


def _release_gone(
    namespace: Namespace, kind: Kind, path: str, holder: Holder, gone_host: str | None
) -> tuple[bool, str]:
    host = holder.host
    if host != gone_host:
        return False, (
            f"is held by pid {holder.pid} on {host}: run this there; "
            f"if {host} is down for good, add `--gone-host {host}`"
        )
    worker = _living_worker_of(namespace, host)
    if worker:
        return (
            False,
            f"is held by pid {holder.pid} on {host}, which lives: the file of its worker {worker} changes",
        )
    kind.break_holder(path, holder)
    return True, f"is freed from pid {holder.pid} on {host}, as you say that {host} is gone"


def _living_worker_of(namespace: Namespace, host: str) -> str:
    """A worker of that host whose file changes while one waits for three of its heartbeats, or ""."""
    found = WorkerFiles(namespace)
    until = clock.monotonic() + 3 * INTERVAL_S
    while True:
        now = clock.monotonic()
        with suppress(OSError):  # what cannot be read now shows no life
            found.look(now)
        for worker_id, worker in found.workers.items():
            if worker.host == host and found.seconds_since_change(worker_id, now) is not None:
                return worker_id
        if now >= until:
            return ""
        clock.sleep(INTERVAL_S / 4)
