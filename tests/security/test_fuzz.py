"""Every parser of the share against nonsense: it answers, or says what is wrong in its own kind of error.

Briefly by default; with PIGEON_FUZZ=N (or the `long` tests) N documents.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon.errors import DamagedSession
from pigeon.wire.claim import parse_claim
from pigeon.wire.documents import BadDocument
from pigeon.wire.jsontext import decode, encode
from pigeon.wire.names import (
    attachment_number,
    host_and_pid,
    is_component,
    is_session_id,
    worker_id,
    worker_id_of,
)
from pigeon.wire.records import decode_line, decode_payload_line
from pigeon.wire.request_reading import blanked, parse_request
from pigeon.wire.states import parse_status
from pigeon.wire.tail import Tail
from pigeon.wire.text import from_bytes, is_encodable, to_bytes
from pigeon.wire.worker_file import parse_worker_file

ID = "1700000000000-0123456789ab"
DOCUMENTS = int(os.environ.get("PIGEON_FUZZ", "200000"))

leaves = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["", "\0", "/", "..", "cwd", "none", "keep", "pending", "\ud800", "\udc80", "a" * 300])
)
NAMES = (
    "session_id command cwd env unset_env requester terminal size cols rows xpixel modes pty route lock on_disconnect "
    "client features verb job path_first given_env directory state exit_code created_at started_at ended_by error "
    "stream_bytes worker host pid worker_id running since_s max_jobs version draining stuck self cls fields type seq "
    "data_b64 event channel offset"
).split()
keys = st.sampled_from(NAMES) | st.text(max_size=4)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=10)


def a_request() -> dict[str, Any]:
    return {
        "session_id": ID,
        "created_at": "x",
        "command": ["bash", "-lc", "true"],
        "cwd": "/tmp",
        "env": {"A": "b", "C": None},
        "requester": {"host": "h", "pid": 1, "user": "u"},
        "terminal": {
            "stdin_isatty": True,
            "size": {"cols": 80, "rows": 24},
            "modes": {"echo": True, "intr": 3},
        },
        "lock": "cwd",
        "client": {"version": "1", "features": ["heartbeat"]},
    }


def a_status() -> dict[str, Any]:
    return {
        "session_id": ID,
        "state": "failed",
        "created_at": "x",
        "exit_code": 1,
        "worker": {"host": "h", "pid": 3},
    }


def an_end() -> dict[str, Any]:
    return {"type": "event", "event": "exit", "ts": "x", "exit_code": 3, "raw_return_code": 3}


def a_worker_file() -> dict[str, Any]:
    running = [{"session_id": ID, "cwd": "/", "command": ["x"], "since_s": 1.0, "lock": "cwd"}]
    return {
        "worker_id": "h-1",
        "host": "h",
        "pid": 1,
        "route": None,
        "running": running,
        "stuck": {ID: "why"},
    }


def take_request(data: bytes) -> None:
    try:
        request = parse_request(data, ID)
    except BadDocument:
        return
    for text in (*request.command, request.cwd, *request.env, *(v for v in request.env.values() if v)):
        to_bytes(text)  # whatever is accepted can be handed to an operating system
    assert parse_request(request.encode("1"), ID).command == request.command
    parse_request(blanked(data), ID)
    repr(request)


def take_status(data: bytes) -> None:
    try:
        assert parse_status(data, ID).encode()
    except BadDocument:
        pass


def take_worker_file(data: bytes) -> None:
    try:
        found = parse_worker_file(data, "h-1")
    except BadDocument:
        return
    assert found.encode()
    assert found.fits(None) in (True, False)
    assert found.lists(ID) in (True, False)


def take_record(data: bytes) -> None:
    for read in (decode_line, _payload):
        try:
            read(data)
        except ValueError:
            pass


def _payload(data: bytes) -> object:
    return decode_payload_line(bytearray(data), 0, len(data))


def take_claim(data: bytes) -> None:
    claim = parse_claim(data)
    assert claim.owner is not None
    assert claim.shown
    assert claim.takes_attachers in (True, False)


PARSERS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[bytes], None]]] = {
    "request": (a_request, take_request),
    "status": (a_status, take_status),
    "worker file": (a_worker_file, take_worker_file),
    "record": (
        lambda: {"type": "output", "seq": 0, "ts": "x", "channel": "stdout", "data_b64": "eA=="},
        take_record,
    ),
    "claim": (lambda: {"worker_id": "h-1", "claim_token": "t", "features": "attach"}, take_claim),
}


@pytest.mark.parametrize("kind", PARSERS)
@settings(max_examples=60)
@given(overlay=objects, dropped=st.sets(st.sampled_from(NAMES), max_size=3))
def test_a_document_with_other_fields(kind: str, overlay: dict[str, Any], dropped: set[str]) -> None:
    make, take = PARSERS[kind]
    document = {**{k: v for k, v in make().items() if k not in dropped}, **overlay}
    take(json.dumps(document).encode())


@pytest.mark.parametrize("kind", PARSERS)
@settings(max_examples=150)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_document(kind: str, data: bytes) -> None:
    PARSERS[kind][1](data)


@given(value=values)
def test_what_is_written_is_read(value: Any) -> None:
    assert decode(encode(value)) == value


@given(data=st.binary(max_size=60))
def test_bytes_travel_as_text(data: bytes) -> None:
    assert to_bytes(from_bytes(data)) == data
    assert is_encodable(from_bytes(data))


@given(name=st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_names_are_judged_and_never_raise(name: str) -> None:
    for judge in (is_component, is_session_id, worker_id_of, attachment_number, host_and_pid):
        judge(name)
    made = worker_id(name, 1)
    assert is_component(made) and "/" not in made


@settings(max_examples=60)
@given(
    data=st.lists(
        st.binary(max_size=60) | st.just(b'{"type":"output","seq":0,"data_b64":"eA=="}\n'), max_size=5
    )
)
def test_a_stream_of_nonsense(tmp_path_factory: pytest.TempPathFactory, data: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "stream.jsonl"
    path.write_bytes(b"".join(data))
    path.chmod(0o600)
    tail = Tail(str(path), ("output",))
    for _ in range(4):
        try:
            tail.poll()
        except DamagedSession:
            return


def mutated(document: dict[str, Any], chance: random.Random) -> bytes:
    """Somebody's document with some damage: in its values, or in its bytes."""
    nonsense: list[Any] = [
        None,
        True,
        -1,
        1e308,
        2**70,
        "",
        "\0",
        "\ud800",
        "\udcff",
        "../x",
        [],
        {},
        [[]],
        "y" * 500,
    ]
    for _ in range(chance.randrange(4)):
        name = chance.choice([*document, chance.choice(NAMES)])
        inner = document.get(name)
        if isinstance(inner, dict) and inner and chance.random() < 0.5:
            inner[chance.choice([*inner, "x"])] = deepcopy(chance.choice(nonsense))
        elif isinstance(inner, list) and inner and chance.random() < 0.5:
            inner[chance.randrange(len(inner))] = deepcopy(chance.choice(nonsense))
        elif chance.random() < 0.2:
            document.pop(name, None)
        else:
            document[name] = deepcopy(chance.choice(nonsense))
    data = bytearray(json.dumps(document).encode())
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(3)
        if kind == 0 and data:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at:]
        else:
            data[at:at] = chance.choice((b"\0" * 8, b"{", b'"', b"1e999", b"NaN", b"[" * 2000, b"\xff"))
    return bytes(data)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_great_many_documents(seed: int) -> None:
    chance = random.Random(seed)
    slowest = 0.0
    for number in range(DOCUMENTS // 2):
        make, take = PARSERS[chance.choice([*PARSERS])]
        data = mutated(make(), chance)
        began = time.monotonic()
        try:
            take(data)
        except Exception as error:
            raise AssertionError(f"seed {seed}, document {number}: {data!r}") from error
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 10
