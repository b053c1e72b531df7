"""What a relay needs of its runner, beyond the command and the session's files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pigeon.worker.relay.liveness import ClientWatch


@dataclass
class RunnerSide:
    """One runner's."""

    client: ClientWatch
    note: Callable[..., None]
    """Records an event in the journal and the debug log: name, then details."""
    stop_requested: Callable[[], bool]
    wakeup_fd: int
    lock_is_lost: Callable[[], bool]
    keep_directory: Callable[[], None]
    """Called at each listing: take what of the directory's lock is still to be had."""
    announce: Callable[[], bool]
    """Bookkeeping on the share that nobody waits for; called once, when there is nothing better to do. False: the
    session has been taken over."""
    stops: bool
    """The client stops when the command is stopped."""
    tells_of_reading: bool
    """The client is to hear when the command waits for what is typed."""
