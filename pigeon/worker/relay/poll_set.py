"""What the relay waits for: the command's outputs and input, its end, and the runner's own signals."""

from __future__ import annotations

import os
import select

from pigeon.worker.relay.command import Command


class PollSet:
    """The descriptors of one command, and `wakeup_fd`, which a signal handler writes to."""

    def __init__(self, command: Command, wakeup_fd: int) -> None:
        self._command = command
        self._wakeup_fd = wakeup_fd
        self._stdin = command.stdin if command.master is None else None
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._set_mask(command.pidfd, select.POLLIN)
        self._set_mask(wakeup_fd, select.POLLIN)

    def wait(self, timeout_s: float, *, may_read: bool, has_input: bool) -> list[int]:
        """The outputs that have something, or have ended. `may_read`: they are asked for; `has_input`: so is whether
        the command takes any."""
        outputs = self._command.outputs
        for fd in outputs:
            mask = select.POLLIN if may_read else 0
            if fd == self._command.stdin and has_input:
                mask |= select.POLLOUT
            self._set_mask(fd, mask)
        stdin = self._stdin  # once it is closed, asking for it would be answered at once, for ever
        if stdin is not None and stdin not in outputs:
            is_wanted = self._command.stdin is not None and has_input
            self._set_mask(stdin, select.POLLOUT if is_wanted else 0)
        ready = []
        for fd, _ in self._poll.poll(timeout_s * 1000):
            if fd in outputs:
                ready.append(fd)
            elif fd == self._wakeup_fd:
                os.read(fd, 4096)
        return ready

    def forget(self, fd: int) -> None:
        """Do not wait for it any more; before it is closed, since its number may then be another file's."""
        self._set_mask(fd, 0)

    def _set_mask(self, fd: int, mask: int) -> None:
        if self._masks.get(fd, 0) != mask:
            if mask:
                self._poll.register(fd, mask)
            else:
                self._poll.unregister(fd)
            self._masks[fd] = mask
