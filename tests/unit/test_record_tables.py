"""Every record that pigeon builds has the fields of its table, and can be built in no other way."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest

from pigeon.wire import client_records, erasing, events, input_end, records, stream
from pigeon.wire.records import EVENTS, OPTIONAL, OPTIONAL_IN_EVENTS, RECORDS, Exit, decode_line

FILES = {kind: file for file, kinds in RECORDS.items() for kind in kinds if kind != records.EVENT}

BUILT = {
    records.OUTPUT: [stream.output_line(3, records.PTY, b"\0x\xff")],
    records.STDIN: [records.stdin_line(0, b"keys"), records.stdin_line(1, b"")],
    records.STDIN_EOF: [input_end.stdin_eof_line(2), input_end.stdin_eof_line(2, 5)],
    records.STDIN_BULK: [records.stdin_bulk_line(1)],
    records.SIGNAL: [records.signal_line(0, 15)],
    records.RESIZE: [records.resize_line(1, 80, 24), records.resize_line(2, 80, 24, (800, 600))],
    records.HEARTBEAT: [records.heartbeat_line(), records.heartbeat_line(("bulk",))],
    records.ACK: [records.ack_line(12), records.ack_line(12, 5)],
    records.BLANK: [erasing.blank_lines(40)],
    records.KEYS: [records.keys_line(b"\x03")],
    records.CLIENT: [
        records.client_line(event, "17-ab" if event == records.BESIDE else "")
        for event in records.CLIENT_EVENTS
    ],
}

SAID = {
    records.STARTED: [events.started(7), events.started(7, terminal=True)],
    records.EXIT: [
        events.exited(137, -9),
        events.exited(129, -1, bulk_bytes=9, hung_up="the worker was stopped"),
    ],
    records.WORKER_ERROR: [events.worker_error("no such program")],
    records.FALLBACK: [events.fallback_to_pipes()],
    records.HEARTBEAT: [events.heartbeat()],
    records.ACK: [events.ack(5), events.ack(5, 6, 9)],
    records.BULK_EVENT: [events.bulk(3)],
    records.LINES_EVENT: [events.lines()],
    records.STOPPED: [events.stopped(20)],
    records.READS_TERMINAL: [events.reads_terminal(raw_output=True)],
    records.CLIENT_LOST: [events.client_lost("silent")],
    records.ATTACHED: [events.attached(2)],
    records.NOTICE: [events.notice("look"), events.notice("look closer", verbose=True)],
}


def test_each_type_and_each_event_is_built_by_a_function() -> None:
    assert BUILT.keys() == FILES.keys()
    assert SAID.keys() == EVENTS.keys()
    builders = [name for name, _ in inspect.getmembers(events, inspect.isfunction) if name != "event_line"]
    assert len(builders) == len(EVENTS)


@pytest.mark.parametrize("kind", FILES)
def test_a_record_has_the_fields_of_its_table(kind: str) -> None:
    seen: set[str] = set()
    for line in BUILT[kind]:
        assert line.endswith(b"\n")
        record = decode_line(line[:-1])
        assert record.pop("type") == kind
        assert set(RECORDS[FILES[kind]][kind]) <= record.keys()
        assert record.keys() <= {*RECORDS[FILES[kind]][kind], *OPTIONAL.get(kind, ())}
        seen |= record.keys()
    assert seen == {*RECORDS[FILES[kind]][kind], *OPTIONAL.get(kind, ())}


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_has_the_fields_of_its_table(event: str) -> None:
    seen: set[str] = set()
    for line in SAID[event]:
        record = decode_line(line[:-1])
        assert (record.pop("type"), records.event_of({"type": "event", **record})) == ("event", event)
        seen |= record.keys() - {"event", "ts"}
        assert set(EVENTS[event]) <= record.keys()
    assert seen == {*EVENTS[event], *OPTIONAL_IN_EVENTS.get(event, ())}


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("exit", {"exit_code": 1}),
        ("heartbeat", {"n": 1}),
        ("ack", {}),
        ("no such event", {}),
        ("ack", {"seq": 1}),
    ],
)
def test_what_is_not_in_the_table_cannot_be_said(event: str, fields: dict[str, object]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        records.event_line(event, **fields)


def test_a_client_says_only_what_is_listed() -> None:
    with pytest.raises(AssertionError):
        records.client_line("bananas")


def test_what_is_read_is_what_was_meant() -> None:
    ended = decode_line(events.exited(129, -1, bulk_bytes=7, hung_up="hung up")[:-1])
    assert records.event_of(ended) == records.EXIT
    exit_ = Exit(ended)
    assert (exit_.exit_code, exit_.return_code, exit_.hung_up) == (129, -1, "hung up")
    assert client_records.signal_of(decode_line(records.signal_line(0, 2)[:-1])) == 2
    assert records.offset_of(decode_line(events.ack(9)[:-1])) == 9
    assert records.attacher_of(decode_line(events.attached(3)[:-1])) == 3
    assert records.message_of(decode_line(events.notice("x")[:-1])) == "x"
    assert client_records.client_event_of(decode_line(records.client_line("hangup")[:-1])) == "hangup"
    assert records.pid_of(decode_line(events.started(4)[:-1])) == 4


@pytest.mark.parametrize("value", [None, 0, 65, True, "9", [9], -1])
def test_a_signal_that_is_none_is_none(value: object) -> None:
    assert client_records.signal_of({"type": "signal", "signal": value}) is None


@pytest.mark.parametrize("value", [None, 3, ["exit"], {"exit": 1}])
def test_what_has_no_name_has_an_empty_one(value: object) -> None:
    assert records.type_of({"type": value}) == ""
    assert records.event_of({"type": "event", "event": value}) == ""
    assert client_records.client_event_of({"type": "client", "event": value}) == ""
    assert records.event_of({"type": value, "event": "exit"}) == ""
    assert Exit({"exit_code": value if value != 3 else "3", "hung_up": value}).exit_code is None


def checking(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process that reads back what it writes."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PIGEON_DEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_with_debugging_on_every_record_is_read_back() -> None:
    done = checking(
        "from pigeon.wire import events, jsontext, records, stream\n"
        "stream.output_line(0, 'pty', b'x' * 1000); records.stdin_line(1, b''); events.exited(0, 0)\n"
        "assert jsontext.CHECKS\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "broken",
    [
        "stream.b2a_base64 = lambda data, newline: b'AAAA'; stream.output_line(0, 'pty', b'xyz')",
        "import binascii; binascii.b2a_base64 = lambda data, newline: b'AAAA'; records.stdin_line(0, b'xyz')",
        "jsontext._from_text = lambda text: {}; records.heartbeat_line()",
    ],
)
def test_and_one_that_reads_back_as_another_is_told(broken: str) -> None:
    done = checking(f"from pigeon.wire import jsontext, records, stream\n{broken}\n")
    assert "AssertionError" in done.stderr
