"""Ids, and where every file of the share lies (FORMAT.md, "Layout"). Builds strings; touches no file."""

from __future__ import annotations

import os

from pigeon import clock
from pigeon.errors import UsageError
from pigeon.wire.text import to_bytes

_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdef")

REQUEST_NAME = "request.json"
STATUS_NAME = "status.json"
STREAM_NAME = "stream.jsonl"
CLAIM_NAME = "worker.claim"
TAKEOVER_NAME = "takeover.claim"
TEMPORARY_PREFIX = ".tmp-"
CLAIM_PREFIX = ".claim-"


def new_session_id() -> str:
    """`<unix milliseconds>-<12 hex digits>`: sorts by time, unique without asking anybody."""
    return f"{int(clock.wall() * 1000)}-{os.urandom(6).hex()}"


def new_token() -> str:
    """32 hex digits that nobody else has."""
    return os.urandom(16).hex()


def is_session_id(name: str) -> bool:
    """`[0-9]{10,}-[0-9a-f]{8,32}`; whatever else lies in `sessions/` is not a session."""
    stamp, dash, rest = name.partition("-")
    return (
        dash == "-"
        and len(stamp) >= 10
        and 8 <= len(rest) <= 32
        and _DIGITS.issuperset(stamp)
        and _HEX.issuperset(rest)
    )


def check_component(kind: str, name: str) -> str:
    """`name`, if it can be one directory name below the share.

    Raises:
        UsageError: it is empty, `.`, `..`, hidden, too long, or holds `/` or NUL.
    """
    if (
        not name
        or name.startswith(".")
        or "/" in name
        or "\0" in name
        or len(name.encode("utf-8", "replace")) > 200
    ):
        raise UsageError(
            f"{kind} {name!r} cannot be used as a directory name",
            hint="take letters, digits, `-` and `_`",
        )
    return name


def is_component(name: str) -> bool:
    """Whether it can be one directory or file name below the share (`check_component`)."""
    try:
        check_component("name", name)
    except UsageError:
        return False
    return True


def host_as_name(host: str) -> str:
    """A host's name as part of a file's: whatever an administrator has called it."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in host)
    return safe.lstrip(".")[:100] or "_"


def worker_id(host: str, pid: int) -> str:
    """Of the worker that is this process."""
    return f"{host_as_name(host)}-{pid}"


def host_and_pid(worker_id: str) -> tuple[str, int] | None:
    """Where a worker runs, by its id; None where that does not tell."""
    host, _, pid = worker_id.rpartition("-")
    return (host, int(pid)) if pid and _DIGITS.issuperset(pid) else None


def worker_id_of(name: str) -> str:
    """Whose file in `workers/` has this name; "" for what is no worker's."""
    worker_id = name.removesuffix(".json")
    return worker_id if worker_id != name and is_component(worker_id) else ""


class Namespace:
    """`<cache>/namespaces/<namespace>`: clients and workers with the same one see each other."""

    __slots__ = ("cache", "name", "root", "sessions", "locks", "workers")

    def __init__(self, cache: str, name: str) -> None:
        self.cache = cache
        self.name = check_component("namespace", name)
        self.root = f"{cache}/namespaces/{name}"
        self.sessions = f"{self.root}/sessions"
        self.locks = f"{self.root}/locks"
        self.workers = f"{self.root}/workers"

    def session(self, session_id: str) -> SessionFiles:
        """The files of one session. Raises UsageError for what is not a session id."""
        if not is_session_id(session_id):
            raise UsageError(f"{session_id!r} is not a session id", hint="`pigeon sessions` lists them")
        return SessionFiles(f"{self.sessions}/{session_id}", session_id)

    def lock(self, cwd: str) -> str:
        """The lock file of a resolved directory."""
        from hashlib import sha256  # 2.4 ms that a client does not need

        return f"{self.locks}/{sha256(to_bytes(cwd)).hexdigest()}.lock"

    def worker(self, worker_id: str) -> str:
        """The heartbeat file of a worker. Raises UsageError for what can be no worker's id."""
        check_component("worker", worker_id)
        return f"{self.workers}/{worker_id}.json"


class SessionFiles:
    """The paths of one session's files."""

    __slots__ = ("directory", "session_id", "request", "status", "stream", "claim", "takeover")

    def __init__(self, directory: str, session_id: str) -> None:
        self.directory = directory
        self.session_id = session_id
        self.request = f"{directory}/{REQUEST_NAME}"
        self.status = f"{directory}/{STATUS_NAME}"
        self.stream = f"{directory}/{STREAM_NAME}"
        self.claim = f"{directory}/{CLAIM_NAME}"
        self.takeover = f"{directory}/{TAKEOVER_NAME}"

    def stdin(self, attachment: int = 0) -> str:
        """Input of the client (0) or of the n-th attacher."""
        return f"{self.directory}/{input_stem(attachment)}.jsonl"

    def control(self, attachment: int = 0) -> str:
        """Control records of the client (0) or of the n-th attacher."""
        return (
            f"{self.directory}/control.{attachment}.jsonl"
            if attachment
            else f"{self.directory}/control.jsonl"
        )


def is_input(name: str) -> bool:
    """Whether a client's, or an attacher's, input in lines has that name."""
    return name.startswith("stdin.") and name.endswith(".jsonl")


def input_stem(attachment: int) -> str:
    """With what the names of one client's input begin: that of its lines and those of its segments."""
    return f"stdin.{attachment}" if attachment else "stdin"


def is_control(name: str) -> bool:
    """Whether this is the client's file of control records, or an attacher's."""
    return name == "control.jsonl" or attachment_number(name) > 0


def attachment_number(name: str) -> int:
    """The n of `control.<n>.jsonl`, else 0."""
    head, _, rest = name.partition(".")
    number, _, tail = rest.partition(".")
    if head == "control" and tail == "jsonl" and number and _DIGITS.issuperset(number) and len(number) < 10:
        return int(number)
    return 0
