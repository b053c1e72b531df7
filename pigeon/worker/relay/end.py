"""How a session's command ends: by itself, hung up, or in other hands.

Owns the command's result, why it was hung up, and what is left of its output then. Promises that the first reason for a
hang-up stays, and that one which comes after the command's own end changes nothing of its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pigeon import trace
from pigeon.wire import events
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.drain import Drain
from pigeon.worker.relay.hangup import Hangup
from pigeon.worker.relay.outbound import Outbound
from pigeon.worker.relay.poll_set import PollSet

OUTPUT_CLOSED_GRACE_S = 2.0
"""A command whose reader has gone gets SIGPIPE at its next write; one that does not write is hung up after this."""


@dataclass
class CommandEnd:
    """How a command ended. `cancelled` says why it was hung up; `is_superseded`: write nothing more."""

    return_code: int
    cancelled: str | None = None
    failed: str | None = None
    is_superseded: bool = False
    is_unkillable: bool = False


class End:
    """That of one command. `now` is in monotonic seconds everywhere."""

    def __init__(
        self, command: Command, outbound: Outbound, descriptors: PollSet, note: Callable[..., None]
    ) -> None:
        self.return_code: int | None = None
        """Once the command has ended."""
        self.is_superseded = False
        """Somebody else ends the session."""
        self._command = command
        self._outbound = outbound
        self._descriptors = descriptors
        self._note = note
        self._hangup = Hangup(command)
        self._drain: Drain | None = None
        self._output_closed_at: float | None = None

    @property
    def is_hung_up(self) -> bool:
        """The command is made to end, or was."""
        return self._hangup.has_begun

    def hang_up(self, now: float, *, cancelled: str | None = None, failed: str | None = None) -> None:
        """Make it end, for the one reason or the other."""
        if self._drain is not None:
            self._drain.stop_waiting()  # it has ended already, with a result that stands
        elif self._hangup.begin(now, cancelled=cancelled, failed=failed):
            self._note("hangup", reason=cancelled or failed)

    def kill(self, session_id: str, now: float) -> None:
        """Kill every process of the session, and hang up what is left."""
        self._command.kill_all(session_id)
        self.hang_up(now, cancelled="its client killed it")

    def proceed(self, now: float) -> None:
        """Send a command that is hung up the signals that are due."""
        if self.return_code is None:
            self._hangup.proceed(now)

    def supersede(self, reason: str) -> None:
        """Somebody else ends the session: hang the command up and write nothing more."""
        self._note("superseded", reason=reason)
        self.is_superseded = True

    def reap(self, now: float, store_result: Callable[[int], bool]) -> None:
        """See whether the command has ended. `store_result` gets its return code, and says whether the session is
        still this runner's."""
        self.return_code = self._command.try_wait()
        if self.return_code is None:
            # Only who stands above it has, and the rest is being killed. Hopeless after as long as any.
            if self._command.leader.is_beheaded and self._hangup.begin(now, cancelled=None, failed=None):
                self._note("beheaded")
                self._descriptors.forget(self._command.pidfd)
            return
        trace.mark("runner: command ended")
        self._drain = Drain(self._command, self._outbound, now)
        self._descriptors.forget(self._command.pidfd)
        if not store_result(self.return_code):
            self.supersede("another process has recovered the session")

    def is_over(self, now: float) -> bool:
        """Nothing more comes of the command, or nothing more is waited for."""
        if self.is_superseded or self._hangup.is_hopeless(now):
            return True
        return self._drain is not None and self._drain.is_over(now, is_hung_up=self._hangup.has_begun)

    def conclude(self) -> CommandEnd:
        """What is to be told of it, once it is over."""
        code = self.return_code
        if self._command.has_pipes and not self._hangup.has_begun:
            self._outbound.say(
                events.notice(
                    "the command has ended; a background process holds its output open, and is left to it"
                )
            )
        return CommandEnd(
            return_code=-9 if code is None else code,
            cancelled=self._hangup.cancelled,
            failed=self._hangup.failed,
            is_superseded=self.is_superseded,
            is_unkillable=code is None and not self.is_superseded,
        )

    # The client's reader has gone

    def close_outputs(self, now: float) -> None:
        """Let the command find out by SIGPIPE, as in a local pipeline."""
        if not self._command.has_pipes:
            self.hang_up(now, cancelled="the client's output was closed")
            return
        for fd in list(self._command.outputs):
            if fd != self._command.master:
                self.close_output(fd)
        self._output_closed_at = now

    def close_output(self, fd: int) -> None:
        """Read no more of this one."""
        self._descriptors.forget(fd)
        self._command.close_output(fd)

    def judge_unread(self, now: float) -> None:
        """Hang a command up that has not found out in time."""
        if self._output_closed_at is not None and now - self._output_closed_at > OUTPUT_CLOSED_GRACE_S:
            self.hang_up(now, cancelled="the client's output was closed")
