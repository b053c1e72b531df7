"""The request in the bytes of a request.json that somebody else wrote: each field is checked, absent ones have the
meaning that they have with older peers. `documents.py` has the request itself, and writes it. No I/O."""

from __future__ import annotations

from pigeon.wire.documents import (
    BESIDE,
    HANG_UP,
    KEEP,
    LOCKED,
    ON_TERMINAL,
    BadDocument,
    Document,
    Job,
    Request,
    Requester,
    integer_of,
    parse,
    size_of,
    text_of,
)
from pigeon.wire.jsontext import encode
from pigeon.wire.text import is_encodable


def blanked(data: bytes) -> bytes:
    """request.json with the values of `env` removed and everything else as it was (FORMAT.md, "Secrets at rest")."""
    document = parse(data, "request.json")
    env = document.get("env")
    document["env"] = dict.fromkeys(env) if isinstance(env, dict) else {}
    return encode(document)


def parse_request(data: bytes, session_id: str) -> Request:
    """The request in `data`; absent optional fields get the older peers' meaning.

    Raises:
        BadDocument: with the field that is wrong.
    """
    document = parse(data, "request.json")
    if document.get("session_id", session_id) != session_id:
        raise BadDocument("request.json: `session_id` is that of another session")
    command = _texts(document, "command")
    if not command:
        raise BadDocument("request.json: `command` is empty")
    cwd = document.get("cwd")
    if not _is_text(cwd) or not str(cwd).startswith("/"):
        raise BadDocument("request.json: `cwd` is not an absolute path")
    request = Request(session_id, command, str(cwd))
    request.created_at = text_of(document, "created_at")
    request.env = _environment(document)
    request.unset_env = _texts(document, "unset_env", optional=True)
    request.requester = _requester(document.get("requester"))
    route = document.get("route")
    if route is not None and not isinstance(route, str):
        raise BadDocument("request.json: `route` is not a text")
    request.route = route
    request.lock = _choice(document, "lock", (LOCKED, BESIDE))
    request.on_disconnect = _choice(document, "on_disconnect", (HANG_UP, KEEP))
    client = document.get("client")
    features = client.get("features") if isinstance(client, dict) else None
    request.version = text_of(client, "version") if isinstance(client, dict) else ""
    request.features = tuple(f for f in features if isinstance(f, str)) if isinstance(features, list) else ()
    request.verb = _texts(document, "verb") if document.get("verb") is not None else None
    request.job = _job_of(document.get("job"))
    request.directory = _directory(document.get("directory"))
    request.path_first = _texts(document, "path_first", optional=True)
    _parse_terminal(document.get("terminal"), request)
    _parse_context(document, request)
    return request


def _requester(value: object) -> Requester:
    if not isinstance(value, dict):
        return Requester()
    host, user = (text_of(value, field) or None for field in ("host", "user"))
    return Requester(host, integer_of(value, "pid"), user)


def _directory(value: object) -> tuple[int, int, str] | None:
    """What makes no sense is not known: it only decides about a word of warning."""
    if not isinstance(value, dict):
        return None
    inode, modified, kind = value.get("inode"), value.get("modified"), value.get("type")
    if type(inode) is not int or type(modified) is not int:
        return None
    return inode, modified, kind if isinstance(kind, str) else ""


def _parse_context(document: Document, request: Request) -> None:
    """What a command inherits of the client beside its environment; what is malformed counts as absent."""
    given = document.get("given_env")
    request.given_env = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    umask = document.get("umask")
    request.umask = umask if type(umask) is int and 0 <= umask <= 0o777 else None
    limits = document.get("limits")
    if isinstance(limits, dict):
        found = {name: _limit(value) for name, value in limits.items()}
        request.limits = {name: limit for name, limit in found.items() if limit is not None}


def _limit(value: object) -> tuple[int | None, int | None] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(one is None or (type(one) is int and 0 <= one < 2**63) for one in value):
        return None
    return value[0], value[1]


def _parse_terminal(terminal: object, request: Request) -> None:
    if terminal is None:
        return
    if not isinstance(terminal, dict):
        raise BadDocument("request.json: `terminal` is not an object")
    request.stdin_isatty = terminal.get("stdin_isatty") is True
    request.stdout_isatty = terminal.get("stdout_isatty") is True
    request.pty = terminal.get("pty") is not False
    request.modes = _modes_of(terminal.get("modes"))
    stderr = terminal.get("stderr")
    request.stderr = stderr if isinstance(stderr, str) else ""
    on_terminal = terminal.get("on_terminal")
    if isinstance(on_terminal, list):
        request.on_terminal = [name for name in ON_TERMINAL if name in on_terminal]
    window = size_of(terminal.get("size"))
    if window is not None:
        request.size, request.pixels = window[:2], window[2:]


def _job_of(value: object) -> Job | None:
    """None for what no client of ours writes."""
    if not isinstance(value, dict):
        return None
    boot, processes, pipes = value.get("boot"), value.get("processes"), value.get("pipes")
    if not (isinstance(boot, str) and isinstance(processes, list) and isinstance(pipes, list)):
        return None
    known = [one for one in processes if isinstance(one, list) and len(one) == 2]
    first, second, third = ([pipe if isinstance(pipe, str) else "" for pipe in pipes] + [""] * 3)[:3]
    return Job(
        boot,
        [(pid, start) for pid, start in known if type(pid) is int and type(start) is int],
        (first, second, third),
    )


def _modes_of(value: object) -> dict[str, int | bool]:
    """What may be a terminal's modes; which names there are, and which take what, is known where they are set."""
    if not isinstance(value, dict):
        return {}
    return {name: mode for name, mode in value.items() if isinstance(mode, int) and 0 <= mode < 256}


def _environment(document: Document) -> dict[str, str | None]:
    env = document.get("env", {})
    if not isinstance(env, dict):
        raise BadDocument("request.json: `env` is not an object")
    for name, value in env.items():
        if not name or "=" in name or not _is_text(name):
            raise BadDocument(f"request.json: `env` has the impossible name {name!r}")
        if value is not None and not _is_text(value):
            raise BadDocument(f"request.json: `env` value of {name!r} is not a text without NUL")
    return env


def _texts(document: Document, field: str, *, optional: bool = False) -> list[str]:
    value = document.get(field)
    if value is None and optional:
        return []
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise BadDocument(f"request.json: `{field}` is not a list of texts without NUL")
    return value


def _is_text(value: object) -> bool:
    """Whether it is a text that an operating system can take."""
    return isinstance(value, str) and "\0" not in value and is_encodable(value)


def _choice(document: Document, field: str, choices: tuple[str, str]) -> str:
    value = document.get(field, choices[0])
    if value not in choices:
        raise BadDocument(f"request.json: `{field}` is neither {choices[0]!r} nor {choices[1]!r}")
    return str(value)
