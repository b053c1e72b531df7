"""Locks between the mounts, for the modes `shared` and `none`.

With `local` this class is not used: a filesystem without the operation leaves locks to the kernel, which keeps those
of each mount apart and lets both sides succeed. `fcntl` locks are always local.
"""

from __future__ import annotations

import errno
import fcntl
import time

from tests.mounts.binding import Binding
from tests.mounts.counters import Counters
from tests.mounts.faults import RuleBook, Settings
from tests.mounts.oneclient import OneClient
from tests.mounts.openfile import Handle
from tests.mounts.options import Options
from tests.mounts.requests import FileInfo, request
from tests.mounts.space import Space

_POLL_S = 0.005
"""A waiting request asks so often: a real server's hand-over takes 0 to 25 ms."""


class LockingClient(OneClient):
    """A client whose flock goes to the server, or is refused."""

    def __init__(
        self, options: Options, binding: Binding, counters: Counters, book: RuleBook, space: Space
    ) -> None:
        super().__init__(options, binding, counters, book, space)
        self._losses = 0
        book.on_change = self._settings_changed

    @request("lock")
    def flock(self, path: str, fi: FileInfo, operation: int) -> int:
        """A lock on the backing file; as on NFSv4, an exclusive one needs a writable descriptor."""
        if self.options.locks == "none":
            raise OSError(errno.ENOLCK, "this mount has no locks")
        handle = self.usable(fi)
        self.ask_server("lock")
        if operation & fcntl.LOCK_UN:
            self.send(handle, "flush")
            fcntl.flock(handle.descriptor, fcntl.LOCK_UN)
            handle.is_locked = False
            return 0
        if not (handle.is_writable if operation & fcntl.LOCK_EX else handle.is_readable):
            raise OSError(errno.EBADF, "the descriptor is not open for that")
        while not self._try(handle, operation | fcntl.LOCK_NB):
            if operation & fcntl.LOCK_NB:
                raise BlockingIOError(errno.EAGAIN, "held by another")
            if self.binding.interrupted():
                raise InterruptedError(errno.EINTR, "interrupted")
            time.sleep(_POLL_S)
        handle.is_locked = True
        self.cache.forget_attributes(handle.inode.key)  # a lock makes the locked file's data fresh
        return 0

    @staticmethod
    def _try(handle: Handle, operation: int) -> bool:
        try:
            fcntl.flock(handle.descriptor, operation)
        except BlockingIOError:
            return False
        return True

    def _settings_changed(self, settings: Settings) -> None:
        """If the server has forgotten this client's locks: others may take them, and what held them fails."""
        losses = settings.lost_locks.get(self.options.label, 0)
        if losses == self._losses:
            return
        self._losses = losses
        for handle in list(self.handles.values()):
            if handle.is_locked:
                fcntl.flock(handle.descriptor, fcntl.LOCK_UN)
                handle.is_locked = False
                handle.has_lost_lock = True
