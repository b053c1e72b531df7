"""Signs of life on a running session, both ways (FORMAT.md, "Liveness"): what is owed to its client, and the client's.

`Answers` owns when the stream says something though the command is silent, so that a client knows a silent program
from a silent session. `ClientWatch` owns whether the client has to show signs of life, and promises that it is found
lost once, and only by silence that this process has really listened to. Neither ends anything: the relay does.
"""

from __future__ import annotations

from pigeon import clock, procfs
from pigeon.errors import DamagedSession
from pigeon.wire import events
from pigeon.wire.documents import Job
from pigeon.wire.pacing import HEARTBEAT_S
from pigeon.worker.relay.control import Control
from pigeon.worker.relay.inbound import Inbound
from pigeon.worker.relay.outbound import Outbound

PROOF_S = 1.0
"""Between two looks whether the client's processes live, on this host."""

ACK_BYTES = 1024 * 1024
ACK_S = 0.3
"""Input is acknowledged after this many bytes, or after this long if nothing else was said meanwhile, so that a client
knows a silent program from a silent session."""


class Answers:
    """Acknowledgements and heartbeats. `due`: when an answer is, monotonic; None while none is owed. `said_at`: when
    the stream was last written to; the relay sets it."""

    def __init__(self, inbound: Inbound, outbound: Outbound, now: float) -> None:
        self.due: float | None = None
        self.said_at = now
        self._owes_since = 0.0
        self._inbound = inbound
        self._outbound = outbound

    def owe(self, now: float) -> None:
        """Somebody wants something: say so soon, if nothing else is said, so that he knows that he was heard."""
        if self.due is None:
            self.due = now + ACK_S
            self._owes_since = now

    def took_input(self, now: float) -> None:
        """The command has taken some."""
        if self._inbound.file.unacknowledged_bytes >= ACK_BYTES:
            self.due = now
        else:
            self.owe(now)

    def say(self, now: float) -> None:
        """Queue what is due."""
        if self.due is not None and now >= self.due:
            self._acknowledge()
        if now - self.said_at >= HEARTBEAT_S:
            self._outbound.say(events.heartbeat())
            self.said_at = now  # once is enough however long a failing share keeps it back

    def _acknowledge(self) -> None:
        self.due = None
        keys = self._inbound.control.keys
        if self._inbound.file.unacknowledged_bytes or keys.is_unacknowledged:
            self._outbound.say(events.ack(*self._inbound.file.acknowledge(), keys.acknowledge()))
        elif self.said_at < self._owes_since:
            self._outbound.say(events.heartbeat())


class ClientWatch:
    """Whether the client still lives. `judges`: it has to show signs of life. `keeps`: the command may outlive it.
    `job`: where it stands, by which it can be proven dead if that is on this very host."""

    def __init__(self, *, judges: bool, keeps: bool, timeout_s: float, job: Job | None = None) -> None:
        self._job = job
        self._proven_at = 0
        """After so many looks at what it wrote it was dead."""
        self._proof_due = clock.monotonic() + PROOF_S
        self.judges = judges
        self.keeps = keeps
        self._timeout_s = timeout_s

    def found_lost(self, control: Control) -> str | None:
        """In words, and once: the client has been silent for too long."""
        if not self.judges:
            return None
        if self._is_proven_dead(control):
            self.judges = False
            return "the client has been killed"
        if control.may_be_silent:
            return None
        silence = control.silence.seconds
        if silence < self._timeout_s:
            return None
        self.judges = False
        return f"the client has been silent for {silence:.0f} s"

    def _is_proven_dead(self, control: Control) -> bool:
        """Its processes have ended, and nothing that they wrote last is unread."""
        now = clock.monotonic()
        if self._job is None or now < self._proof_due:
            return False
        if self._proven_at and control.looks > self._proven_at:
            return True
        self._proof_due = now + PROOF_S
        if procfs.are_gone(self._job.boot, self._job.processes):
            self._proven_at = self._proven_at or control.looks
            self._proof_due = now
        return False

    def attached(self) -> None:
        """An attacher is the client now, and every attacher shows signs of life."""
        self._job = None
        self.judges = True

    def detached(self) -> None:
        """The client has said that it leaves, and that the command goes on."""
        self.judges = False
        self.keeps = True

    def has_left(self, inbound: Inbound) -> bool:
        """Whether the client of a command that has ended has left, or is lost; looks at what it wrote."""
        try:
            inbound.control.poll(clock.monotonic())
        except (OSError, DamagedSession):
            return False
        silent = inbound.control.silence.seconds >= self._timeout_s
        return inbound.orders.is_hung_up or (self.judges and silent)
