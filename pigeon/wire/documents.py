"""What the JSON documents share, request.json itself, and what a peer can do. Fields are checked when read. No I/O."""

from __future__ import annotations

from pigeon.clock import utc_text
from pigeon.wire.jsontext import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""Far above what a kernel accepts as arguments and environment (2 MiB on usual settings)."""

MAX_DOCUMENT_BYTES = 1024 * 1024
"""status.json, claims and worker files."""

HEARTBEAT = "heartbeat"
"""Says something every few seconds. A peer without it may be silent for hours: its silence proves nothing. It passes
over the heartbeats that it gets."""

ACK = "ack"
"""Says how much it has taken. To a peer without it everything is written at once, however slowly it reads."""

ATTACH = "attach"
"""Looks for `control.<n>.jsonl`. A worker without it never sees one: nobody can attach, and only the session's own
client can stop it."""

BULK = "bulk"
"""Reads output that comes in segments. To a client or attacher without it, everything is written into the lines."""

ACK_OFTEN = "ack_often"
JOB_CONTROL = "job_control"
"""Stops when it is told that the command has been stopped. For any other, the command is let go on at once."""

CLIENT_FEATURES = (HEARTBEAT, ACK, BULK, ACK_OFTEN, JOB_CONTROL)
WORKER_FEATURES = (HEARTBEAT, ACK, ATTACH, BULK)
"""Listed in `request.json` and in the claim. An older peer does not read the list; one that does passes over what
it does not know."""

LOCKED, BESIDE = "cwd", "none"
"""`lock` of a request: the command has its directory for itself, or runs beside whatever runs there."""

HANG_UP, KEEP = "hangup", "keep"
"""`on_disconnect` of a request."""

NET_VERB = ["net", "--far"]
NET_COMMAND = ["bash", "-lc", "exec pigeon net --far"]
"""What lends a worker's network, as a verb and, for a worker that knows no verbs, as a command."""

STDERR_APART, STDERR_IS_STDOUT = "apart", "stdout"
"""`terminal.stderr`: no terminal though stdout is one; one file with stdout. An older worker passes it over: stderr is
on the terminal, or a pipe of its own."""

ON_TERMINAL = ("stdin", "stdout", "stderr")
"""What can be in `terminal.on_terminal`: which of them are the client's terminal, where it has one and not all are. An
older worker passes it over: all three are pipes, and the command has no terminal."""

Document = dict[str, object]


class BadDocument(ValueError):
    """A file that is complete and cannot be understood; the text says why."""


class ForeignDocument(BadDocument):
    """One that belongs to another session: damage wherever it is met, since nobody of ours writes it there."""


class UntrustedDocument(BadDocument):
    """One that is not to be believed, whatever it says: files.Refused. `reason`: why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} refused: {reason}")
        self.reason = reason


def parse(data: bytes, what: str) -> Document:
    """The JSON object in `data`; raises BadDocument naming `what`."""
    try:
        value = decode(data)
    except ValueError as error:
        raise BadDocument(f"{what}: {error}") from None
    if not isinstance(value, dict):
        raise BadDocument(f"{what}: not a JSON object")
    return value


class Job:
    """Where a client stands among the processes of its host, so that others of the same job can be told.

    `boot`: of its host, with the namespace of its pids. `processes`: (pid, start in clock ticks) of its own two, which
    is dead when none of them lives. `pipes`: what its stdin, stdout and stderr are, "" for whatever is no pipe.
    """

    __slots__ = ("boot", "processes", "pipes")

    def __init__(
        self, boot: str, processes: list[tuple[int, int]], pipes: tuple[str, str, str] = ("", "", "")
    ) -> None:
        self.boot = boot
        self.processes = processes
        self.pipes = pipes

    def feeds(self, other: Job) -> bool:
        """Whether what this one's command writes is what the other's reads, or the other way round."""
        if self.boot != other.boot:
            return False
        return _meets(self.pipes, other.pipes) or _meets(other.pipes, self.pipes)

    def document(self) -> Document:
        """As it stands in request.json."""
        return {
            "boot": self.boot,
            "processes": [list(one) for one in self.processes],
            "pipes": [pipe or None for pipe in self.pipes],
        }


def _meets(writer: tuple[str, str, str], reader: tuple[str, str, str]) -> bool:
    return bool(reader[0]) and reader[0] in writer[1:]


class Requester:
    """Who asked, for people. None: he does not say."""

    __slots__ = ("host", "pid", "user")

    def __init__(self, host: str | None = None, pid: int | None = None, user: str | None = None) -> None:
        self.host = host
        self.pid = pid
        self.user = user

    def document(self) -> Document:
        """As it stands in request.json."""
        return {"host": self.host, "pid": self.pid, "user": self.user}


class Request:
    """What to run, where, and how. Fields as in FORMAT.md; `env` values may be None where they were blanked."""

    __slots__ = (
        "session_id",
        "created_at",
        "command",
        "cwd",
        "env",
        "unset_env",
        "requester",
        "stdin_isatty",
        "stdout_isatty",
        "size",
        "pixels",
        "modes",
        "pty",
        "stderr",
        "on_terminal",
        "route",
        "lock",
        "on_disconnect",
        "features",
        "verb",
        "job",
        "directory",
        "path_first",
        "version",
        "given_env",
        "umask",
        "limits",
    )

    def __init__(self, session_id: str, command: list[str], cwd: str) -> None:
        self.session_id = session_id
        self.created_at = utc_text()
        self.command = command
        self.cwd = cwd
        self.env: dict[str, str | None] = {}
        self.unset_env: list[str] = []
        self.requester = Requester()
        self.stdin_isatty = False
        self.stdout_isatty = False
        self.size: tuple[int, int] | None = None
        self.pixels = (0, 0)
        self.modes: dict[str, int | bool] = {}
        self.pty = True
        self.stderr = ""
        self.on_terminal: list[str] | None = None
        """Of ON_TERMINAL; None: `pty` says it all."""
        self.route: str | None = None
        self.lock = LOCKED
        self.on_disconnect = HANG_UP
        self.features: tuple[str, ...] = ()
        self.verb: list[str] | None = None
        self.job: Job | None = None
        self.directory: tuple[int, int, str] | None = None
        """Inode, modification time (unix nanoseconds) and filesystem type ("": not known) of `cwd` as its client sees
        it; None: not known."""
        self.version = ""
        """Of its client's pigeon, as that says; for people only."""
        self.path_first: list[str] = []
        """Directories of the client's active environment, which belong in front of PATH."""
        self.given_env: list[str] = []
        """Names in `env` whose values are meant for the worker's host."""
        self.umask: int | None = None
        self.limits: dict[str, tuple[int | None, int | None]] = {}
        """Name of a resource limit -> (soft, hard), None for unlimited."""

    @property
    def is_net(self) -> bool:
        """Whether it lends the worker's network (FORMAT.md, Part 3): such sessions count by themselves."""
        return self.verb == NET_VERB

    def __repr__(self) -> str:
        """Without the environment's values: this ends up in logs."""
        return f"Request({self.session_id!r}, {self.command!r}, {self.cwd!r}, {len(self.env)} variables)"

    @property
    def sends_heartbeats(self) -> bool:
        """Its client says something now and then, so its silence means something."""
        return HEARTBEAT in self.features

    @property
    def acknowledges(self) -> bool:
        """Its client says what it has printed."""
        return ACK in self.features

    @property
    def acknowledges_often(self) -> bool:
        """It does so after every 64 KiB where the session has a terminal."""
        return ACK_OFTEN in self.features

    @property
    def window(self) -> tuple[int, int, int, int] | None:
        """The terminal's columns, rows, width and height in pixels (0: not known), if it has a size."""
        return (*self.size, *self.pixels) if self.size else None

    @property
    def shape(self) -> tuple[bool, bool, bool] | None:
        """Which of stdin, stdout and stderr are the command's terminal; None: it has none."""
        if self.pty:
            return True, True, self.stderr != STDERR_APART
        if self.on_terminal is None:
            return None
        stdin, stdout, stderr = (name in self.on_terminal for name in ON_TERMINAL)
        return stdin, stdout, stderr

    @property
    def stops(self) -> bool:
        """Its client stops when the command is stopped."""
        return JOB_CONTROL in self.features

    @property
    def takes_bulk(self) -> bool:
        """Whoever reads its output knows segments."""
        return BULK in self.features

    @property
    def locks(self) -> bool:
        """The command wants its directory for itself."""
        return self.lock == LOCKED

    @property
    def keeps(self) -> bool:
        """The command may outlive its client."""
        return self.on_disconnect == KEEP

    def translate(self, text: Callable[[str], str]) -> None:
        """Put `text(…)` in place of each text that is bytes to an operating system: words, paths, variables."""
        self.command = [text(word) for word in self.command]
        self.cwd = text(self.cwd)
        self.env = {text(name): None if value is None else text(value) for name, value in self.env.items()}
        self.given_env = [text(name) for name in self.given_env]
        self.unset_env = [text(name) for name in self.unset_env]
        self.path_first = [text(place) for place in self.path_first]
        self.verb = None if self.verb is None else [text(word) for word in self.verb]

    def encode(self, version: str) -> bytes:
        """The bytes of request.json."""
        terminal: Document = {
            "stdin_isatty": self.stdin_isatty,
            "stdout_isatty": self.stdout_isatty,
            "size": None,
            "pty": self.pty,
        }
        if self.size:
            terminal["size"] = {"cols": self.size[0], "rows": self.size[1], **pixel_fields(self.pixels)}
        if self.modes:
            terminal["modes"] = self.modes
        shape = {"stderr": self.stderr or None, "on_terminal": self.on_terminal}
        terminal.update({name: value for name, value in shape.items() if value is not None})
        document: Document = {
            "session_id": self.session_id,
            "created_at": self.created_at,
            "command": self.command,
            "cwd": self.cwd,
            "env": self.env,
            "requester": self.requester.document(),
            "terminal": terminal,
            "route": self.route,
            "lock": self.lock,
            "on_disconnect": self.on_disconnect,
            "client": {"version": version, "features": list(self.features)},
        }
        if self.directory is not None:
            inode, modified, kind = self.directory
            document["directory"] = {"inode": inode, "modified": modified, "type": kind}
        if self.path_first:
            document["path_first"] = self.path_first
        if self.unset_env:
            document["unset_env"] = self.unset_env
        if self.verb is not None:
            document["verb"] = self.verb
        if self.job is not None:
            document["job"] = self.job.document()
        if self.given_env:
            document["given_env"] = self.given_env
        if self.umask is not None:
            document["umask"] = self.umask
        if self.limits:
            document["limits"] = {name: list(limit) for name, limit in self.limits.items()}
        return encode(document)


def text_of(document: Document, field: str) -> str:
    """A text field, "" where it is absent or something else."""
    value = document.get(field)
    return value if isinstance(value, str) else ""


def integer_of(document: Document, field: str) -> int | None:
    """An integer field, None where it is absent or something else."""
    value = document.get(field)
    return value if type(value) is int else None


def size_of(value: object) -> tuple[int, int, int, int] | None:
    """(cols, rows, xpixel, ypixel) of an object with these fields, None for anything that is not a window size.

    Pixels that are not there, or make no sense, are 0: not known.
    """
    if not isinstance(value, dict):
        return None
    cols, rows = value.get("cols"), value.get("rows")
    if not (isinstance(cols, int) and isinstance(rows, int) and 0 < cols < 65536 and 0 < rows < 65536):
        return None
    x, y = value.get("xpixel"), value.get("ypixel")
    if type(x) is int and type(y) is int and 0 < x < 65536 and 0 < y < 65536:
        return cols, rows, x, y
    return cols, rows, 0, 0


def pixel_fields(pixels: tuple[int, int]) -> dict[str, int]:
    """The fields of a window size that say how large it is in pixels; none where that is not known."""
    return {"xpixel": pixels[0], "ypixel": pixels[1]} if all(pixels) else {}
