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
        self._stdin = None if command.types_input else command.stdin
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._set_mask(command.pidfd, select.POLLIN)
        self._set_mask(wakeup_fd, select.POLLIN)
        self._states = command.leader.states
        if self._states is not None:
            self._set_mask(self._states, select.POLLIN)

    def wait(self, timeout_s: float, *, may_read: bool, has_input: bool, has_keys: bool) -> list[int]:
        """The outputs that have something, or have ended, and the leader's `states` if there is news. `may_read`: they
        are asked for; `has_input`: so is whether the command takes any; `has_keys`: so is whether its terminal does."""
        outputs = self._command.outputs
        for fd in outputs:
            mask = select.POLLIN if may_read else 0
            if (fd == self._command.stdin and has_input) or (fd == self._command.master and has_keys):
                mask |= select.POLLOUT
            self._set_mask(fd, mask)
        stdin = self._stdin  # once it is closed, asking for it would be answered at once, for ever
        if stdin is not None and stdin not in outputs:
            is_wanted = self._command.stdin is not None and has_input
            self._set_mask(stdin, select.POLLOUT if is_wanted else 0)
        ready = []
        for fd, _ in self._poll.poll(timeout_s * 1000):
            if fd in outputs or fd == self._states:
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
