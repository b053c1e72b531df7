"""Requests that no good client writes: each gets a clear end and a reason, and the worker goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.judging import goes_on, judged
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import WITHOUT_OVERRIDE


def whole(**changes: Any) -> bytes:
    """A request as bytes whose id does not matter."""
    return raw.dump(raw.a_request("1700000000000-00000000", "/tmp", "touch ran", **changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"not json",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b"\0" * 200,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"command": NaN}',
        whole()[:-20],
        whole() + whole(),
    ],
)
def test_malformed(warm: Pigeon, data: bytes) -> None:
    judged(warm, raw.publish(warm, data=data))


@pytest.mark.parametrize(
    "changes",
    [
        {"command": ...},
        {"command": []},
        {"command": "touch ran"},
        {"command": {"a": "touch ran"}},
        {"command": ["bash", 7]},
        {"command": ["bash", None]},
        {"command": ["bash", "-lc", "touch ran\0"]},
        {"command": [""]},
        {"route": 3},
        {"cwd": ...},
        {"cwd": 7},
        {"cwd": None},
        {"cwd": ""},
        {"cwd": "relative/path"},
        {"cwd": "/tmp\0/x"},
        {"env": []},
        {"env": {"A": 1}},
        {"env": {"A": ["x"]}},
        {"env": {"A=B": "x"}},
        {"env": {"": "x"}},
        {"env": {"A": "x\0y"}},
        {"unset_env": "PATH"},
        {"unset_env": [1]},
        {"session_id": "1700000000000-0123456789ab"},
        {"session_id": "../../../tmp/evil"},
        {"session_id": 7},
        {"terminal": []},
        {"lock": 7},
    ],
    ids=lambda changes: json.dumps({k: "..." if v is ... else v for k, v in changes.items()})[:60],
)
def test_wrong_types(warm: Pigeon, changes: dict[str, Any]) -> None:
    judged(warm, raw.publish(warm, "touch ran", **changes))


@pytest.mark.parametrize("field", ["env", "requester", "terminal", "created_at"])
def test_a_missing_field_that_is_not_needed_has_a_clear_end(warm: Pigeon, field: str) -> None:
    without: dict[str, Any] = {field: ...}
    session = raw.publish(warm, "true", **without)
    assert session.wait_final()["state"] in ("succeeded", "failed")
    goes_on(warm)


@pytest.mark.parametrize("size", [{"cols": "80", "rows": 24}, {"cols": -1, "rows": 10**9}, [], {"cols": 80}])
def test_a_senseless_size_is_no_reason_not_to_run(warm: Pigeon, size: object) -> None:
    terminal = {"stdin_isatty": True, "stdout_isatty": True, "size": size}
    session = raw.publish(warm, "echo ran", terminal=terminal)
    status = session.wait_final()
    assert status["state"] == "succeeded" or status["error"]
    goes_on(warm)


def test_unknown_fields_are_ignored(warm: Pigeon) -> None:
    session = raw.publish(warm, "echo fine", invented={"a": [1]}, another=None)
    assert session.wait_final()["state"] == "succeeded"
    assert session.output() == b"fine\r\n"


def test_huge(warm: Pigeon) -> None:
    """It is refused by its size; the worker's memory does not grow by it."""
    session = raw.lay(warm)
    path = session.directory / "request.json"
    path.touch(mode=0o600)
    os.truncate(path, 2 << 30)
    raw.put_status(session, "pending")
    judged(warm, session)
    peak = Path(f"/proc/{warm.workers[0].pid}/status").read_text().split("VmHWM:")[1].split()[0]
    assert int(peak) < 300_000, f"{peak} kB"


def test_a_missing_directory(warm: Pigeon) -> None:
    status = judged(warm, raw.publish(warm, "touch ran", cwd="/nonexistent/place"))
    assert "/nonexistent/place" in status["error"]


def test_a_file_as_directory(warm: Pigeon) -> None:
    (warm.base / "file").touch()
    status = judged(warm, raw.publish(warm, "touch ran", cwd=warm.base / "file"))
    assert str(warm.base / "file") in status["error"]


def test_a_forbidden_directory(pigeon: Pigeon) -> None:
    where = pigeon.directory("forbidden")
    where.chmod(0)
    pigeon.worker(prefix=WITHOUT_OVERRIDE)
    status = judged(pigeon, raw.publish(pigeon, "touch ran", cwd=where))
    assert str(where) in status["error"]


def test_a_program_that_does_not_exist(warm: Pigeon) -> None:
    """Unlike an unknown word of a shell text: here the runner itself finds nothing to start."""
    session = raw.publish(warm, command=["no-such-program-anywhere", "x"])
    status = session.wait_final()
    assert (status["state"], status["exit_code"]) == ("failed", 127)
    goes_on(warm)


def test_a_program_that_may_not_be_run(warm: Pigeon) -> None:
    session = raw.publish(warm, command=["/etc/passwd"])
    status = session.wait_final()
    assert (status["state"], status["exit_code"]) == ("failed", 126)
    goes_on(warm)


def test_arguments_that_are_too_long(warm: Pigeon) -> None:
    session = raw.publish(warm, command=["bash", "-lc", f": {'x' * 200_000}; touch ran"])
    status = judged(warm, session)
    assert "long" in status["error"]
