"""What a command's terminal does beside carrying bytes: the command is stopped there, and waits there for keys.

Owns what the client is told of it, and when a stopped command goes on again.
"""

from __future__ import annotations

from collections.abc import Callable

from pigeon.wire import events
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.terminal_watch import TerminalWatch


class TerminalSide:
    """That of one command. `stops`: its client stops when the command does; `tells_of_reading`: the client takes its
    user's keyboard only when the command waits for keys; `now`: monotonic seconds."""

    def __init__(
        self,
        command: Command,
        outbound: Outbound,
        note: Callable[..., None],
        now: float,
        *,
        stops: bool,
        tells_of_reading: bool,
    ) -> None:
        self.stops = stops
        self._command = command
        self._outbound = outbound
        self._note = note
        self._watch = (
            TerminalWatch(command.pid, command.master, now)
            if tells_of_reading and command.master is not None
            else None
        )

    def due(self, now: float) -> float | None:
        """Seconds until `look`; None if there is no need."""
        return None if self._watch is None else self._watch.due(now)

    def look(self, now: float) -> None:
        """Tell, once, that the command waits for keys; and before the output that follows, how that is to be shown."""
        if self._watch is not None and self._watch.look(now):
            self._outbound.say(events.reads_terminal(raw_output=self._watch.raw_output))

    def attached(self) -> None:
        """Tell the new client what the earlier one was told."""
        if self._watch is not None and self._watch.is_wanted:
            self._outbound.say(events.reads_terminal(raw_output=self._watch.raw_output))

    def hear_state(self, *, is_alone: bool) -> None:
        """The command has been stopped, or runs on. `is_alone`: nobody follows the session, who would have to know."""
        if not self._command.leader.hear() or not self._command.leader.stopped_by:
            return
        if self.stops or is_alone:
            self._outbound.say(events.stopped(self._command.leader.stopped_by))
            self._note("stopped", signal=self._command.leader.stopped_by)
        else:
            self._command.leader.go_on()

    def go_on(self) -> None:
        """Whoever follows the session is there."""
        if self._command.leader.stopped_by:
            self._command.leader.go_on()
