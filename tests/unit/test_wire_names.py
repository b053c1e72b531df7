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

# Words that mean something everywhere, so that finding one proves nothing. That nobody else takes a document apart is
# shown below in another way.
GENERIC = set(
    "client command env event exit features host job kill lock message notice output pid processes pipes route running"
    " session signal size started state stderr stdin stdout terminal type user verb version worker".split()
)

NAMES = (RECORD_FIELDS | KINDS | set().union(*DOCUMENTS.values())) - GENERIC

_FILES = SessionFiles("/d", ID)
FILES = {
    *(Path(getattr(_FILES, name)).name for name in ("request", "status", "stream", "claim", "takeover")),
    *(Path(path(number)).name for path in (_FILES.stdin, _FILES.control) for number in (0, 1)),
    names.CLAIM_PREFIX,
    names.TEMPORARY_PREFIX,
    "control.",
    "stdin.",
}

# Columns of the journal.
_JOURNAL = set(
    "claim_token cwd ended_by error exit_code on_disconnect session_id started_at"
    " worker_host worker_id worker_pid".split()
)
# What verbs print of a session as JSON, or name by a word of their own.
_SHOWN = set("beside cwd draining error exit_code pty requester session_id".split())

ALLOWED: dict[str, set[str]] = {
    "api/executor.py": {"cwd"},  # that of a Python over there
    "cli_arguments.py": {"pty"},  # an attribute of an Invocation
    "client/driven.py": {"hangup"},  # what a driving program writes (pigeon/docs/python.md)
    "client/session/conversation.py": {"detached"},  # the kind of an outcome
    "commands/history.py": _SHOWN,
    "commands/inspect.py": _SHOWN,
    "commands/top.py": _SHOWN,
    "journal/": _JOURNAL,
    "report/history_answer.py": _SHOWN,
    "report/history_table.py": _JOURNAL | _SHOWN,
    "report/overview.py": _SHOWN,
    "report/page.py": _SHOWN,
    "settings.py": {"hangup"},  # a choice
    "worker/engine/dispatch.py": _JOURNAL,
    "worker/engine/end.py": _JOURNAL | {"stream_bytes"},
    "worker/relay/client_side.py": {"attached", "client_lost"},  # events of the journal
    "worker/relay/end.py": {"hangup"},  # likewise
    "worker/row.py": _JOURNAL,
    "worker/runner/journal_row.py": _JOURNAL | {"stream_bytes"},
    "worker/runner/last_steps.py": _JOURNAL,
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
    own = ("toml_memory.py", "client/driven.py", "client/frames.py", "api/", "net/")
    for module, path in modules().items():
        if module.startswith(own):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pigeon.wire"):
                taken = {alias.name for alias in node.names}
                if module == "report/newest.py":  # it looks for lines from the end of a file backwards
                    taken.discard("decode_line")
                decoders = taken & {"jsontext", "Document", "parse", "decode", "encode", "decode_line"}
                assert not decoders, f"pigeon/{module}:{node.lineno}: {decoders}"


# Modules that change files of this host: the journal, proofs of life, sockets, what the user has allowed or wants.
LOCAL = (
    "api/",
    "commands/config.py",
    "commands/history.py",
    "config_trust.py",
    "crash.py",
    "journal/",
    "net/",
    "toml_memory.py",
    "worker/engine/note.py",
    "worker/proof.py",
)
CHANGES = set("link mkdir makedirs remove rename replace rmdir symlink truncate unlink".split())


def test_no_other_module_changes_a_name_on_the_share() -> None:
    for module, path in modules().items():
        if module.startswith(LOCAL):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                is_change = node.value.id == "os" and node.attr in CHANGES
                is_change |= node.value.id == "shutil" and node.attr in ("rmtree", "move", "copytree")
                assert not is_change, f"pigeon/{module}:{node.lineno}: {ast.unparse(node)} past wire/"


@pytest.mark.parametrize("what", DOCUMENTS)
def test_format_names_each_field_that_is_written(what: str) -> None:
    missing = {
        field for field in DOCUMENTS[what] if f"`{field}`" not in FORMAT and f'"{field}"' not in FORMAT
    }
    assert not missing
