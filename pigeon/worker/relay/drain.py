"""When the output of a command that has ended is over."""

from __future__ import annotations

from pigeon.worker.relay.command import Command
from pigeon.worker.relay.outbound import Outbound

TTY_QUIET_S = 0.05
PIPE_QUIET_S = 3.0
"""After the command's end, output that has paused for this long is all of it. A background process may hold the
descriptors open for ever; on pipes it may also be a filter (`> >(sort)`), which the shell does not wait for, at the
last lines."""

DRAIN_S = 5.0
"""And no longer than this while the client keeps up."""


class Drain:
    """What is left of one command's output, which has ended at monotonic `now`."""

    def __init__(self, command: Command, outbound: Outbound, now: float) -> None:
        self._command = command
        self._outbound = outbound
        self._began = outbound.last_output = now
        self._is_unheard = False

    def stop_waiting(self) -> None:
        """No reader is waited for any more."""
        self._is_unheard = True
        self._outbound.left_alone()

    def is_over(self, now: float, *, is_hung_up: bool) -> bool:
        """Nothing more comes, or nothing more is waited for. `is_hung_up`: the command was made to end."""
        if not self._command.outputs or self._outbound.is_full:
            return True
        if not self._outbound.may_read():
            if is_hung_up or self._is_unheard:
                return True
            self._began = self._outbound.last_output = now
            return False
        quiet_s = PIPE_QUIET_S if self._command.has_pipes and not is_hung_up else TTY_QUIET_S
        return now - self._outbound.last_output >= quiet_s or now - self._began >= DRAIN_S
