"""What the files of the share, their fields and their records are called is known in wire/ and nowhere else.

A literal that is such a name makes its module a second place to change when the format grows. Many fields are called
what the same thing is called elsewhere too: in the journal, among the settings, in what verbs print as JSON. These are
allowed, module by module, below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon import settings
from pigeon.wire import claim, names, records
from pigeon.wire.documents import Job, Request, Requester
from pigeon.wire.jsontext import decode
from pigeon.wire.names import SessionFiles
from pigeon.wire.states import Status
from pigeon.wire.worker_file import RunningEntry, WorkerFile

PACKAGE = Path(settings.__file__).parent
ID = "1700000000000-0123456789ab"

FORMAT = (PACKAGE / "wire" / "FORMAT.md").read_text(encoding="utf-8")


def keys_in(value: object) -> Iterator[str]:
    """Every key of a document, at any depth; not those of the command's environment or of a terminal's modes."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in ("env", "modes"):
                yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def full_request() -> Request:
    """One that says all that a request can say."""
    request = Request(ID, ["true"], "/")
    request.requester = Requester("host", 1, "me")
    request.size, request.pixels, request.modes = (80, 24), (800, 600), {"echo": True}
    request.unset_env, request.verb = ["X"], ["doctor"]
    request.job = Job("boot", [(1, 2)], ("a", "b", "c"))
    return request


def full_status() -> Status:
    status = Status(
        ID, "failed", created_at="x", exit_code=1, ended_by="recovery", finished_at="x", error="x"
    )
    status.started_at, status.stream_bytes, status.worker = "x", 1, ("host", 1)
    return status


def full_worker_file() -> WorkerFile:
    found = WorkerFile("host-1", "host", 1, "route")
    found.running = [RunningEntry(ID, "/", ["true"], 1.0, locks=True)]
    return found


DOCUMENTS = {
    "request.json": set(keys_in(decode(full_request().encode("1")))),
    "status.json": set(keys_in(decode(full_status().encode()))),
    "worker file": set(keys_in(decode(full_worker_file().encode()))),
    "worker.claim": {*claim.parse_claim(claim.worker_claim("h", 1, "h-1", "t")).pairs},
    "withdrawal": {*claim.parse_claim(claim.withdrawal("h", 1, "t")).pairs},
    "takeover.claim": {*claim.parse_claim(claim.takeover("me", "t")).pairs},
}

RECORD_FIELDS = {
    "type",
    *(field for kinds in records.RECORDS.values() for fields in kinds.values() for field in fields),
    *(field for fields in records.EVENTS.values() for field in fields),
    *(field for fields in records.OPTIONAL.values() for field in fields),
}

KINDS = {
    *(kind for kinds in records.RECORDS.values() for kind in kinds),
    *records.EVENTS,
    *records.CLIENT_EVENTS,
    *records.CHANNELS,
}

NAMES = RECORD_FIELDS | KINDS | set().union(*DOCUMENTS.values())

_FILES = SessionFiles("/d", ID)
FILES = {
    *(Path(getattr(_FILES, name)).name for name in ("request", "status", "stream", "claim", "takeover")),
    *(Path(path(number)).name for path in (_FILES.stdin, _FILES.control) for number in (0, 1)),
    names.CLAIM_PREFIX,
    names.TEMPORARY_PREFIX,
    "control.",
    "stdin.",
}

# The tables of the settings, and keys that are words of the command line as well.
_SETTINGS = {*settings.TABLES, *(s.key for s in settings.TABLE if not s.table), "hangup"}
# Columns and states of the journal, and what is printed of them.
_JOURNAL = set(
    "claim_token command cwd ended_by error event exit_code lock on_disconnect route running session_id started_at"
    " state terminal user version worker worker_host worker_id worker_pid host client".split()
)
# What verbs print as JSON of a session, and the columns of their tables.
_SHOWN = set(
    "client command cwd draining error exit_code requester session_id state terminal worker session".split()
)
# The lines that a driving program and pigeon say to one another (pigeon/docs/python.md), and what fronts are told.
_DRIVEN = set(
    "client command cwd env event exit hangup keep kill lock message notice output route session signal started stderr"
    " stdin stdout user detached".split()
)

ALLOWED: dict[str, set[str]] = {
    "api/": _DRIVEN,
    "cli_arguments.py": {"client", "pty", "version", "worker"},  # attributes of an Invocation, a verb
    "client/driven.py": _DRIVEN,
    "client/following.py": _SETTINGS,
    "client/frames.py": _DRIVEN,
    "client/session/conversation.py": _DRIVEN,
    "client/session/callback_front.py": _DRIVEN,
    "client/session/descriptor_front.py": _DRIVEN,
    "client/session/front.py": _DRIVEN,
    "client/session/guardian_front.py": _DRIVEN,
    "client/terminal/driver.py": _DRIVEN,
    "commands/arguments.py": _SHOWN,
    "commands/config.py": {"verb"},  # argparse's
    "commands/doctor/other_side.py": {"lock"},  # a file in the doctor's room
    "commands/history.py": _JOURNAL | _SHOWN,
    "commands/inspect.py": _SHOWN | {"processes"},
    "commands/run.py": _DRIVEN,
    "commands/top.py": _SHOWN,
    "commands/worker.py": _SETTINGS,
    "config.py": _SETTINGS,
    "guess.py": {"kill", "session", "version", "worker"},  # words that people type
    "journal/": _JOURNAL,
    "report/history_answer.py": _JOURNAL,
    "report/history_table.py": _JOURNAL | _SHOWN | {"pipes", "pty", "stdout", "stderr"},
    "report/overview.py": _SHOWN,
    "report/page.py": _JOURNAL | {"beside"},
    "report/statistics.py": _JOURNAL,
    "report/verdict.py": {"processes"},  # a rule
    "settings.py": _SETTINGS,
    "worker/debug.py": {"lock", "output", "signal"},  # kinds of lines
    "worker/recovery/ending.py": {"cwd"},  # the journal's `lock_mode`
    "worker/relay/relay.py": {"attached", "client_lost", "hangup"},  # events of the journal
    "worker/row.py": _JOURNAL,
    "worker/runner/journal_row.py": _JOURNAL | {"signal", "stream_bytes"},
    "worker/runner/runner.py": {"exit_code", "lock", "output"},  # the journal's, and kinds of lines
    "worker/scheduler/queue.py": {"client"},  # a reason to wait
    "worker/scheduler/runners.py": {"cwd"},  # the journal's `lock_mode`
    "worker/scheduler/scheduler.py": {"lock"},  # a kind of line
}


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Each text in a module that is no docstring and no slot, with its line."""
    tree = ast.parse(path.read_bytes())
    beside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            beside.add(id(node.value))
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__slots__" for target in node.targets
        ):
            beside |= {id(inner) for inner in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in beside:
            yield node.lineno, node.value


def modules() -> dict[str, Path]:
    """All of the package but wire/, by their path below it."""
    found = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name: path for name, path in found.items() if not name.startswith("wire/")}


def allowed_in(module: str) -> set[str]:
    return set().union(*(names_ for place, names_ in ALLOWED.items() if module.startswith(place)))


def test_no_other_module_knows_a_field_or_a_record() -> None:
    found = []
    for module, path in modules().items():
        allowed = allowed_in(module)
        found += [
            f"pigeon/{module}:{line}: {text!r}"
            for line, text in literals(path)
            if text in NAMES and text not in allowed
        ]
    assert not found, "\n".join(["names of the wire outside wire/:", *found])


def test_no_other_module_knows_the_name_of_a_file() -> None:
    found = [
        f"pigeon/{module}:{line}: {text!r}"
        for module, path in modules().items()
        for line, text in literals(path)
        if text.strip("/") in FILES
    ]
    assert not found, "\n".join(["files of the share outside wire/:", *found])


def test_what_is_allowed_is_needed() -> None:
    there = modules()
    for place in ALLOWED:
        texts = {text for module in there if module.startswith(place) for _, text in literals(there[module])}
        assert texts & NAMES & ALLOWED[place], f"{place} needs no exception any more"


def test_no_other_module_takes_a_document_apart() -> None:
    """Who has no decoder can have no fields. Some have JSON of their own: what is remembered, who is driven."""
    own = {"toml_memory.py", "client/driven.py", "client/frames.py"}
    for module, path in modules().items():
        if module.startswith("api/") or module in own:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pigeon.wire"):
                taken = {alias.name for alias in node.names}
                assert node.module != "pigeon.wire.jsontext", f"pigeon/{module}:{node.lineno}"
                assert (
                    not taken & {"jsontext", "Document", "parse", "decode_line"}
                    or module == "report/newest.py"
                )


@pytest.mark.parametrize("what", DOCUMENTS)
def test_format_names_each_field_that_is_written(what: str) -> None:
    missing = {
        field for field in DOCUMENTS[what] if f"`{field}`" not in FORMAT and f'"{field}"' not in FORMAT
    }
    assert not missing
