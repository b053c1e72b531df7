"""Who may run in a directory that is locked: a session beside another of its own job, as long as that is not over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pigeon.wire import directories, files
from pigeon.wire.names import Namespace
from pigeon.wire.states import Status
from pigeon.worker.locks.kinds import KINDS
from pigeon.worker.runner.directory_hold import DirectoryHold

OTHER = "1700000000000-0123456789ab"


@pytest.mark.parametrize(
    ("state", "is_claimed", "may"),
    [
        ("pending", True, True),  # it has locked the directory before its claim
        ("running", True, True),
        ("pending", False, False),
        ("succeeded", True, False),  # a stranger of another worker's may have it by now
        ("cancelled", True, False),
    ],
)
def test_beside_whom(tmp_path: Path, state: str, is_claimed: bool, may: bool) -> None:
    namespace = Namespace(str(tmp_path / "share"), "test")
    for directory in (namespace.sessions, namespace.locks):
        directories.make_directories(directory)
    session = namespace.session(OTHER)
    files.make_directory(session.directory)
    code = {"succeeded": 0, "cancelled": 129}.get(state)
    files.create(session.status, Status(OTHER, state, created_at="then", exit_code=code).encode())
    if is_claimed:
        files.create(session.claim, b"host=h\n")
    cwd = str(tmp_path.resolve())
    worker: Any = SimpleNamespace(
        namespace=namespace, lock_mode="flock", debug=SimpleNamespace(say=lambda *_: None)
    )
    request = SimpleNamespace(locks=True, cwd=cwd)
    task: Any = SimpleNamespace(
        session_id="1700000000001-0123456789ab", request=request, refusal=None, beside=frozenset([OTHER])
    )
    proof = cast("Any", None)  # nothing is noted for a directory of one name
    held = KINDS["flock"].try_lock(namespace.lock(cwd))
    assert held is not None
    hold = DirectoryHold(worker, task)
    assert hold.take(proof) == may
    assert not hold.descriptors
    held.release()
    hold.keep(proof)
    assert hold.descriptors
    hold.release()
