"""What the scheduler hands to a runner (its worker, the session to try or to refuse), and what comes back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from pigeon import clock
from pigeon.errors import EXIT_PIGEON
from pigeon.journal.rows import Row
from pigeon.journal.schema import Seen
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace
from pigeon.wire.text import from_here
from pigeon.worker.debug import Debug
from pigeon.worker.service_log import NONE, ServiceLog


@dataclass(frozen=True)
class Launching:
    """How a worker has its sessions run elsewhere (worker/engine/)."""

    words: tuple[str, ...]
    """`worker.launcher`."""
    serving: tuple[str, ...]
    """This pigeon again as a worker with the same settings; which session is said behind them."""
    host_timeout_s: float


@dataclass(frozen=True)
class Launch:
    """One session is to be run elsewhere. `token`: that of its row in the journal, which the other worker's claim
    repeats. `judges_client`: nothing is started once its client is dead."""

    token: str
    judges_client: bool


@dataclass(frozen=True)
class Worker:
    """The worker that a runner belongs to, and its settings."""

    worker_id: str
    host: str
    pid: int
    boot: str
    namespace: Namespace
    journal_path: str
    lock_mode: str
    client_timeout_s: float
    max_stream_bytes: int
    scrollback_bytes: int
    own_command: tuple[str, ...]
    """How this pigeon is started again, for the verbs that a client asks for."""
    debug: Debug
    journal_seen: Seen | None = None
    """As the journal was when the worker found it current."""
    net_rules: str = ""
    """What is lent of the network, as text for the process that lends it; it must be nobody else's to say."""
    log: ServiceLog = field(default_factory=lambda: ServiceLog(NONE))
    reasons: int = -1
    """Where a runner says why it could not try its session (reasons.py)."""
    wrap: tuple[str, ...] = ()
    """Words before every command (worker/words.py)."""
    launching: Launching | None = None
    """It starts a worker of its own for each session, instead of running it."""
    only: str | None = None
    """The one session that it serves; None: all of its route."""
    launch_token: str = ""
    """Of the launch that has brought it about; "" for a worker that a person has started."""
    job: str = ""
    """What the cluster's engine calls the allocation that it runs in; "" outside of one."""

    @property
    def proof_directory(self) -> str:
        """Where runners keep their proofs of life, beside the journal."""
        return f"{self.journal_path}.runners"


@dataclass
class Assignment:
    """What the scheduler hands to a runner it forks."""

    session_id: str
    request: Request
    seen_at: float
    slot_wait_s: float = 0.0
    lock_wait_s: float = 0.0
    refusal: tuple[str, str] | None = None
    """(state, reason): claim the session only to end it so."""
    row: Row | None = None
    """The journal row of a claim to take up again (recovery)."""
    is_first_try: bool = True
    launch: Launch | None = None
    """Have it run elsewhere."""
    beside: frozenset[str] = frozenset()
    """Sessions of the same job: while one of them has the directory, this one need not."""
    given_at: float = field(default_factory=clock.boottime)
    environ: Mapping[str, str] = field(
        default_factory=lambda: {from_here(name): from_here(value) for name, value in os.environ.items()}
    )
    """The worker's own, as a request has its."""

    @property
    def launch_token(self) -> str:
        """Under which it is run elsewhere; "" if it runs here."""
        return self.launch.token if self.launch is not None else ""


@dataclass(frozen=True)
class Refusal:
    """Why a claimed session ends without its command having been started."""

    state: str
    reason: str
    exit_code: int = EXIT_PIGEON
    event: bool = False
    """Whether the stream says so too (`worker_error`)."""


class RunnerExit:
    """Exit statuses of a runner process, by which the scheduler learns what became of its session."""

    DONE = 0
    HELD = 3  # another worker's command holds the directory: try again later
    LOST = 4  # somebody else has the claim
    LATER = (
        5  # nothing was claimed, since the share or this host failed, or this runner came too late: try again
    )
    FAILED = 8  # it failed before it had claimed anything, by what nobody has foreseen
    JOURNAL = 7  # the journal is damaged, or none of ours: no worker can go on with it
    SUPERSEDED = 6  # another process has taken the session over (a raised epoch, takeover.claim)
