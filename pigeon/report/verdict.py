"""The one sentence that says what is the matter with a session. Pure: facts in, verdict out.

`VERDICTS` is read from the top; the first rule that applies speaks. A rule knows one way of being stuck (or of having
ended), so a new way is a new line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pigeon.text import duration
from pigeon.wire import states, waits
from pigeon.wire.records import DETACHED, SUSPENDED

SILENT_S = 20.0
"""A heartbeat is due every 5 s from either side, and every second from a worker."""

STARTING_S = 5.0
"""What has been claimed is started within milliseconds."""

QUIET_S = 60.0
"""Output missing for this long is worth a word."""


@dataclass
class Facts:
    """What is known. None: not known from here."""

    state: str
    age_s: float = 0.0
    command: str = ""
    cwd: str = ""
    locks: bool = True
    exit_code: int | None = None
    error: str | None = None
    ended_by: str | None = None
    owner: str | None = None
    owner_alive: bool | None = None
    """Whether somebody watches over it: the owner's file, or that of a worker that lists it, changed before us."""
    watcher: str | None = None
    """Who that is."""
    waits_for: str | None = None
    """The kind of `wire.waits.Wait`, while nobody has claimed it."""
    launcher: str = ""
    """Of a session that waits in a launcher: in which, and what the engine says."""
    workers: int = 0
    workers_full: int = 0
    workers_ending: int = 0
    """Of its route and alive, but taking no more sessions."""
    behind: str | None = None
    """The earlier session that wants the same directory and waits too."""
    locked_by: int | None = None
    """The pid, on the worker's host, that took the directory's lock, and is no session's that is known."""
    holder: str | None = None
    holder_command: str = ""
    holder_since_s: float = 0.0
    holder_client: str | None = None
    client: str | None = None
    """`alive`, `silent`, `suspended`, `detached`; None for a client without heartbeats."""
    keeps: bool = False
    stream_quiet_s: float | None = None
    output_quiet_s: float | None = None
    unread_bytes: int = 0
    """Output written and not acknowledged by the client."""
    window_bytes: int | None = None
    """So far the output may run ahead of the client; then the command waits. None: as far as it likes."""
    untaken_bytes: int = 0
    """Input written and not taken by the command."""
    runner_state: str | None = None
    """Letter of proc(5) for the runner; "-" if it is gone."""
    process_states: list[tuple[str, str]] = field(default_factory=list)
    """(letter of proc(5), wait channel) of the command's processes."""
    cpu_is_used: bool = False
    lends: int | None = None
    """Connections that a lent network has open; None: it lends none."""
    unanswered: str | None = None
    """Of a lent network: the host and port that has not answered for the longest time."""
    unanswered_s: float = 0.0
    trouble: str | None = None
    """The share's trouble that the runner noted and that is not over."""


def _bytes(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _holder(f: Facts) -> str:
    client = ", whose client is gone" if f.holder_client == "silent" else ""
    return f"held by {f.holder} ‘{f.holder_command}’ for {duration(f.holder_since_s)}{client}"


def _no_client(f: Facts) -> bool:
    return f.client == DETACHED or (f.client == "silent" and f.keeps)


def _how(f: Facts) -> str:
    code = "" if f.exit_code is None else f", exit code {f.exit_code}"
    return f"{code}: {f.error}" if f.error else code


def _blocked(f: Facts) -> str:
    """What the command's processes do, from the kernel's view."""
    letters = {letter for letter, _ in f.process_states}
    channels = {channel for _, channel in f.process_states}
    if letters and letters <= {"T", "t"}:
        return "its processes are stopped (SIGSTOP or a job-control key); `kill -CONT` makes them go on"
    if "D" in letters:
        return "a process waits in the kernel for a device or filesystem (state D)"
    if f.cpu_is_used:
        return "it is busy computing"
    if any("tty_read" in c or c == "wait_woken" for c in channels):
        return "blocked reading its terminal: it waits for input"
    if any("pipe_read" in c or c == "anon_pipe_read" for c in channels):
        return "blocked reading a pipe: it waits for input"
    if any("pipe_write" in c for c in channels):
        return "blocked writing: nobody takes its output"
    if letters:
        return "its processes sleep (waiting for a timer, the network or each other)"
    return "what its processes do cannot be seen from here"


Rule = tuple[str, Callable[[Facts], bool], Callable[[Facts], str]]

VERDICTS: tuple[Rule, ...] = (
    ("succeeded", lambda f: f.state == "succeeded", lambda _: "has ended: the command succeeded"),
    (
        "recovered",
        lambda f: f.ended_by == states.BY_RECOVERY,
        lambda f: f"was ended by recovery after its runner died{_how(f)}",
    ),
    (
        "taken over",
        lambda f: f.ended_by == states.BY_TAKEOVER,
        lambda f: f"was ended by takeover after its worker fell silent{_how(f)}",
    ),
    (
        "withdrawn",
        lambda f: f.ended_by == states.BY_CLIENT,
        lambda f: f"was withdrawn before it ran: {f.error or 'no reason given'}",
    ),
    ("cancelled", lambda f: f.state == "cancelled", lambda f: f"was cancelled{_how(f)}"),
    ("failed", lambda f: f.state == "failed", lambda f: f"has ended: the command failed{_how(f)}"),
    (
        "unreadable",
        lambda f: f.state == "?",
        lambda _: "its status cannot be read: it is damaged or not published yet",
    ),
    (
        "waits, client gone",
        lambda f: f.state == "pending" and f.client == "silent" and not f.keeps,
        lambda _: "waits unclaimed, but its client is gone: no worker will start it",
    ),
    (
        "waits in a launcher",
        lambda f: f.waits_for == waits.LAUNCHER,
        lambda f: f"waits for {f.launcher}",
    ),
    (
        "waits for the directory",
        lambda f: f.waits_for == waits.DIRECTORY,
        lambda f: f"waits for the lock on {f.cwd}, {_holder(f)}",
    ),
    (
        "directory held from elsewhere",
        lambda f: f.waits_for is not None and f.locked_by is not None,
        lambda f: (
            f"waits for the lock on {f.cwd}, which pid {f.locked_by} took for no session that is known here; "
            "if it has ended, what it started still has it"
        ),
    ),
    (
        "workers ending",
        lambda f: f.waits_for == waits.ENDING,
        lambda _: "waits for a worker: those of its route are ending and take no more sessions",
    ),
    (
        "no worker",
        lambda f: f.waits_for == waits.WORKER,
        lambda f: f"waits for a worker for {duration(f.age_s)}: none of its route is alive",
    ),
    (
        "workers full",
        lambda f: f.waits_for == waits.SLOT,
        lambda f: f"waits for a free slot: all {f.workers} workers of its route are full",
    ),
    (
        "behind another",
        lambda f: f.waits_for == waits.BEHIND,
        lambda f: f"waits for {f.cwd}, behind {f.behind}, which wants it too and came earlier",
    ),
    ("waits", lambda f: f.state == "pending", lambda _: "waits to be taken by a worker"),
    (
        "host silent",
        lambda f: f.owner_alive is False and (f.stream_quiet_s or 0) > SILENT_S,
        lambda f: (
            f"worker {f.owner} silent for {duration(f.stream_quiet_s or 0)}: its host is down or cut off; "
            "`pigeon stop --force` gives the session an end"
        ),
    ),
    (
        "runner gone",
        lambda f: f.runner_state == "-",
        lambda _: "its runner is dead; the next look of its worker ends the session",
    ),
    (
        "runner stopped",
        lambda f: f.runner_state in ("T", "t"),
        lambda _: "its runner is stopped (SIGSTOP): nothing moves until `kill -CONT`",
    ),
    (
        "share trouble",
        lambda f: f.trouble is not None,
        lambda f: (
            f"its runner cannot write to the share: {f.trouble}; the command is held up, nothing is lost"
        ),
    ),
    (
        "claimed, not started",
        lambda f: f.state == "claimed",
        lambda f: (
            f"claimed by {f.owner} and not started"
            + (": its directory may hang on that host" if (f.stream_quiet_s or 0) > STARTING_S else " yet")
        ),
    ),
    (
        "runner silent",
        lambda f: f.owner_alive is True and (f.stream_quiet_s or 0) > SILENT_S,
        lambda f: (
            f"its runner has been silent for {duration(f.stream_quiet_s or 0)} though its worker lives: "
            "it hangs, is stopped, or cannot write to the share"
        ),
    ),
    (
        "client gone",
        lambda f: f.client == "silent" and not f.keeps,
        lambda _: "runs, but its client is gone: it is hung up after `client_timeout`",
    ),
    (
        "client suspended",
        lambda f: f.client == SUSPENDED,
        lambda f: (
            f"runs; its client is suspended and reads nothing until it is resumed (`fg`); {_blocked(f)}"
        ),
    ),
    (
        "client does not read",
        lambda f: f.window_bytes is not None and f.unread_bytes >= f.window_bytes,
        lambda f: f"held up: its client has {_bytes(f.unread_bytes)} of output still to read",
    ),
    (
        "does not read its input",
        lambda f: f.untaken_bytes > 1024 * 1024,
        lambda f: f"runs; the command has {_bytes(f.untaken_bytes)} of input that it does not read",
    ),
    (
        "no client",
        _no_client,
        lambda f: f"runs on without a client; `pigeon attach` comes back to it; {_blocked(f)}",
    ),
    (
        "waits for a host",
        lambda f: f.unanswered is not None,
        lambda f: f"runs; waits for {f.unanswered}, which has not answered for {duration(f.unanswered_s)}",
    ),
    (
        "lends",
        lambda f: f.lends is not None,
        lambda f: f"lends the network; connections open: {f.lends}",
    ),
    (
        "quiet",
        lambda f: (f.output_quiet_s or 0) > QUIET_S,
        lambda f: f"runs, no output for {duration(f.output_quiet_s or 0)}, {_blocked(f)}",
    ),
    (
        "worker gone",
        lambda f: f.owner_alive is False,
        lambda f: (
            f"runs on under its runner, though the process of worker {f.owner} is gone; "
            "start `pigeon worker` on its host to have it watched again"
        ),
    ),
    (
        "processes",
        lambda f: bool(f.process_states),
        lambda f: f"runs: {_blocked(f)}",
    ),
    ("runs", lambda _: True, lambda _: "runs, as far as can be seen from here"),
)


def verdict(facts: Facts) -> tuple[str, str]:
    """(name of the rule, the sentence)."""
    for name, applies, sentence in VERDICTS:
        if applies(facts):
            return name, sentence(facts)
    raise AssertionError("the last rule always applies")
