"""Records and documents: what is written is read back; what cannot be right is refused with a reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pigeon.wire import documents, jsontext, records, states, stream
from pigeon.wire.claim import parse_claim
from pigeon.wire.documents import (
    BadDocument,
    Request,
)
from pigeon.wire.names import attachment_number, is_session_id, new_session_id
from pigeon.wire.request_reading import blanked, parse_request
from pigeon.wire.states import Status, parse_status
from pigeon.wire.text import is_encodable

ID = "1700000000000-0123456789ab"
TEXT = st.text(alphabet=st.characters(codec=None, exclude_characters="\0"), max_size=30)
SENDABLE = TEXT.filter(is_encodable)
"""Text that an operating system can have given: with surrogates that stand for bytes, and no others."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_json_agrees_with_the_standard_library(value: object) -> None:
    encoded = jsontext.encode(value)
    assert encoded == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert jsontext.decode(encoded) == json.loads(encoded) == value


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nul", b"{}x", b"NaN", b"Infinity", b'{"a":}', b"\xff", b'"\n"', b"[" * 100_000]
)
def test_what_is_not_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.decode(text)


@given(st.binary(max_size=2000), st.integers(0, 10**9), st.sampled_from(records.CHANNELS))
def test_output_round_trip(data: bytes, seq: int, channel: str) -> None:
    line = stream.output_line(seq, channel, data)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    record = records.decode_line(line[:-1])
    assert records.data_of(record) == data
    assert (record["seq"], record["channel"], record["type"]) == (seq, channel, "output")
    assert jsontext.encode(record) + b"\n" == line, "written by hand as the encoder would"


@given(st.binary(max_size=2000), st.integers(0, 10**9))
def test_stdin_round_trip(data: bytes, seq: int) -> None:
    line = records.stdin_line(seq, data)
    record = records.decode_line(line[:-1])
    assert records.data_of(record) == data
    assert jsontext.encode(record) + b"\n" == line


_VALUES = st.sampled_from(["", "=", "QQ==", "QQ", "@", 'a"b', "\\/\\/\\/8=", "//8=", "output"])
_FIELDS = st.sampled_from(['"data_b64"', '"\\"data_b64"', '"x"', '"type"', '"data_b64" '])
_ENTRIES = st.tuples(
    _FIELDS, _VALUES | st.lists(_VALUES, max_size=2) | st.dictionaries(_VALUES, _VALUES, max_size=2)
)


@example([('"data_b64"', ""), ('"data_b64"', "=")], False)
@example([('"data_b64"', ""), ('"data_b64" ', "=")], False)
@example([('"data_b64" ', "="), ('"\\"data_b64"', "")], False)
@given(st.lists(_ENTRIES, max_size=5), st.booleans())
def test_a_payload_that_is_cut_out_is_the_one_that_json_sees(
    entries: list[tuple[str, object]], spaces: bool
) -> None:
    colon = ": " if spaces else ":"
    line = ("{" + ",".join(f"{name}{colon}{json.dumps(value)}" for name, value in entries) + "}").encode()
    plain, cut = (
        records.decode_line(line),
        records.decode_payload_line(b"x\n" + line + b"\ny", 2, 2 + len(line)),
    )
    try:
        wanted = records.data_of(plain)
    except ValueError:
        with pytest.raises(ValueError):
            records.data_of(cut)
    else:
        assert records.data_of(cut) == wanted
    cut.pop(records.DECODED, None)
    assert {k: v for k, v in cut.items() if k != "data_b64"} == {
        k: v for k, v in plain.items() if k != "data_b64"
    }


@pytest.mark.parametrize("record", [{}, {"data_b64": 3}, {"data_b64": "A"}])
def test_payload_that_is_none(record: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        records.data_of(record)


@given(
    st.lists(SENDABLE, min_size=1, max_size=5),
    SENDABLE,
    st.dictionaries(st.text("AMZ_", min_size=1, max_size=8), SENDABLE, max_size=5),
)
def test_request_round_trip(command: list[str], cwd: str, env: dict[str, str]) -> None:
    request = Request(ID, command, "/" + cwd)
    request.env = dict(env)
    request.size = (80, 24)
    request.features = documents.CLIENT_FEATURES
    read = parse_request(request.encode("1"), ID)
    assert (read.command, read.cwd, read.env, read.size, read.features) == (
        command,
        "/" + cwd,
        env,
        (80, 24),
        documents.CLIENT_FEATURES,
    )


def test_an_older_client_gets_a_terminal_the_lock_and_a_hangup() -> None:
    read = parse_request(json.dumps({"command": ["true"], "cwd": "/", "future": [1]}).encode(), ID)
    assert (read.pty, read.lock, read.on_disconnect, read.features, read.route) == (
        True,
        "cwd",
        "hangup",
        (),
        None,
    )


GOOD: dict[str, object] = {"session_id": ID, "command": ["true"], "cwd": "/", "env": {}}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"command": []}, "command"),
        ({"command": "true"}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"command": [1]}, "command"),
        ({"cwd": "relative"}, "cwd"),
        ({"cwd": None}, "cwd"),
        ({"cwd": "/a\0"}, "cwd"),
        ({"env": []}, "env"),
        ({"env": {"A=B": "x"}}, "env"),
        ({"env": {"": "x"}}, "env"),
        ({"env": {"A": 1}}, "env"),
        ({"env": {"A": "\0"}}, "env"),
        ({"lock": "maybe"}, "lock"),
        ({"on_disconnect": "never"}, "on_disconnect"),
        ({"terminal": 7}, "terminal"),
        ({"session_id": "1700000000000-ffffffffffff"}, "session_id"),
        ({"verb": "history"}, "verb"),
    ],
)
def test_a_wrong_request_is_refused_by_field(change: dict[str, object], names: str) -> None:
    with pytest.raises(BadDocument, match=names):
        parse_request(json.dumps({**GOOD, **change}).encode(), ID)


def test_blanking_keeps_everything_but_the_values() -> None:
    document = {**GOOD, "env": {"TOKEN": "secret", "PATH": "/bin"}, "future": 1}
    text = blanked(json.dumps(document).encode())
    assert b"secret" not in text
    assert json.loads(text) == {**document, "env": {"TOKEN": None, "PATH": None}}


def test_repr_hides_the_environment() -> None:
    request = Request(ID, ["true"], "/")
    request.env = {"TOKEN": "secret"}
    assert "secret" not in repr(request)


def full_status() -> Status:
    """One with all that a status can say."""
    status = Status(
        ID, "failed", created_at="then", exit_code=3, ended_by="recovery", finished_at="now", error="why"
    )
    status.started_at, status.stream_bytes, status.worker = "just before", 12, ("node7", 4711)
    return status


def test_status_round_trip() -> None:
    read = parse_status(full_status().encode(), ID)
    assert {name: getattr(read, name) for name in Status.__slots__} == {
        name: getattr(full_status(), name) for name in Status.__slots__
    }
    assert read.is_final


def test_a_status_is_read_whatever_else_stands_in_it() -> None:
    document = {
        "state": "running",
        "future": {"x": 1},
        "exit_code": "3",
        "error": 5,
        "worker": [],
        "stream_bytes": True,
    }
    read = parse_status(json.dumps(document).encode(), ID)
    assert (read.state, read.exit_code, read.error, read.worker, read.stream_bytes) == (
        "running",
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("ended_by", "stream_bytes", "read_bytes", "more"),
    [(None, 10, 9, True), (None, 10, 10, False), (None, None, 0, False), ("recovery", 10, 0, False)],
)
def test_only_a_runners_own_end_promises_its_stream(
    ended_by: str | None, stream_bytes: int | None, read_bytes: int, more: bool
) -> None:
    status = Status(ID, "failed", created_at="then", ended_by=ended_by)
    status.stream_bytes = stream_bytes
    assert status.promises_more(read_bytes) is more


def test_an_unknown_state_is_not_final() -> None:
    assert not parse_status(b'{"state":"paused"}', ID).is_final


def test_claims_tolerate_anything() -> None:
    assert parse_claim(b"").pairs == {}
    assert parse_claim(b"worker_host=a=b\nnoise\n\xff=1\n").worker_host == "a=b"


def test_session_ids() -> None:
    assert is_session_id(new_session_id())
    for name in (
        "",
        "1-2",
        "1700000000000-0123",
        "1700000000000-0123456789AB",
        "../1700000000000-0123456789ab",
        "x" * 20,
    ):
        assert not is_session_id(name)


@pytest.mark.parametrize(
    ("name", "number"),
    [("control.3.jsonl", 3), ("control.jsonl", 0), ("stdin.3.jsonl", 0), ("control.x.jsonl", 0)],
)
def test_attachment_numbers(name: str, number: int) -> None:
    assert attachment_number(name) == number


@pytest.mark.parametrize("state", states.TRANSITIONS)
@pytest.mark.parametrize("after", states.TRANSITIONS)
def test_a_status_goes_only_where_the_table_leads(state: str, after: str) -> None:
    status = Status(ID, state, created_at="then")
    allowed = after == state or after in states.TRANSITIONS[state]
    unseen = (
        state == states.PENDING and after in states.FINAL
    )  # a command that was too short to be seen to run
    if allowed or unseen:
        status.become(after)
        assert status.state == after
    else:
        with pytest.raises(AssertionError):
            status.become(after)
