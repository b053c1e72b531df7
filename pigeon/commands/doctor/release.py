"""`pigeon doctor --release`: frees a directory from strict locks whose holders are dead.

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
from pigeon.worker import cwdlock, identity
from pigeon.worker.scheduler.heartbeat import INTERVAL_S


def release(config: Config, directory: str, gone_host: str | None = None) -> int:
    """Free the strict lock of `directory` from holders on this host that are proven dead, commands included.

    `gone_host`: and from those on a host that the user knows to be down; refused if that shows signs of life.
    """
    namespace = config.open_namespace()
    path = namespace.lock(directory)
    claims = cwdlock.strict_holders(path)
    if not claims:
        say(f"`{directory}` is not held by a strict lock")
        return 0
    lock = files.open_lock(path)
    try:
        # Runner and command hold the flock beside the strict lock: who gets it has proof that neither lives here,
        # and nobody can take the directory meanwhile.
        is_free = cwdlock.try_flock(lock)
        answers = [
            _release_gone(namespace, path, claim, gone_host)
            if claim.hostname != cwdlock.own_name()
            else _release_one(path, claim, is_free=is_free)
            for claim in claims
        ]
    finally:
        os.close(lock)
    for text in dict.fromkeys(text for _, text in answers):  # a holder may have two claims
        say(f"`{directory}` {text}")
    return 0 if all(is_done for is_done, _ in answers) else 1


def _release_one(path: str, claim: cwdlock.Claim, *, is_free: bool) -> tuple[bool, str]:
    if not is_free or identity.is_running(claim.pid, None):
        return False, f"is held by pid {claim.pid}, which lives, or whose command does"
    cwdlock.break_claim(path, claim.name)
    return True, f"is freed from pid {claim.pid} on this host, which is dead"


def _release_gone(
    namespace: Namespace, path: str, claim: cwdlock.Claim, gone_host: str | None
) -> tuple[bool, str]:
    host = claim.hostname.partition("?")[0]  # a container's is followed by its pid namespace
    if host != gone_host:
        return False, (
            f"is held by pid {claim.pid} on {host}: run this there; "
            f"if {host} is down for good, add `--gone-host {host}`"
        )
    worker = _living_worker_of(namespace, host)
    if worker:
        return (
            False,
            f"is held by pid {claim.pid} on {host}, which lives: the file of its worker {worker} changes",
        )
    cwdlock.break_claim(path, claim.name)
    return True, f"is freed from pid {claim.pid} on {host}, as you say that {host} is gone"


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
