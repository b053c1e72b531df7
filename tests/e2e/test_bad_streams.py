"""Damage in a session's files while it runs: said, with file and offset, and ended; never skipped, never a hang."""

from __future__ import annotations

import os
import re
import shutil

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until

READY = "trap 'exit 1' HUP TERM; echo ready; while :; do sleep 0.05; done"
STDIN = {"type": "stdin", "ts": raw.STAMP, "data_b64": "eA=="}


@pytest.mark.parametrize(
    "record",
    [
        b"not json\n",
        b"[1]\n",
        raw.dump({**STDIN, "seq": 5}) + b"\n",
        raw.dump({**STDIN, "seq": "0"}) + b"\n",
        raw.dump({"type": "stdin", "ts": raw.STAMP, "seq": 0}) + b"\n",
        raw.dump({**STDIN, "seq": 0, "data_b64": "***"}) + b"\n",
        raw.dump({**STDIN, "seq": 0, "data_b64": 7}) + b"\n",
    ],
)
def test_damaged_input(warm: Pigeon, record: bytes) -> None:
    session = raw.publish(warm, READY, stdin=None)
    wait_until(lambda: session.output() == b"ready\r\n", 15, "the command")
    raw.append(session, "stdin.jsonl", record)
    status = session.wait_final(20)
    assert status["state"] == "failed"
    assert "stdin.jsonl" in status["error"]
    warm.wait_quiet()
    assert warm.run("echo on").stdout == b"on\n"


@pytest.mark.parametrize(
    "record",
    [
        {"type": "signal", "seq": 0, "ts": raw.STAMP, "signal": 9999},
        {"type": "signal", "seq": 0, "ts": raw.STAMP, "signal": -1},
        {"type": "signal", "seq": 0, "ts": raw.STAMP, "signal": "TERM"},
        {"type": "signal", "seq": 0, "ts": raw.STAMP},
        {"type": "resize", "seq": 0, "ts": raw.STAMP, "cols": -5, "rows": 10**9},
        {"type": "resize", "seq": 0, "ts": raw.STAMP, "cols": "wide"},
        {"type": "ack", "offset": -1},
        {"type": "ack", "offset": 10**30},
        {"type": "ack", "offset": "all"},
        {"type": "client", "event": "unheard-of"},
        {"type": "unheard-of", "seq": "x"},
        {"no": "type"},
    ],
    ids=str,
)
def test_senseless_control_records_do_no_harm(warm: Pigeon, record: dict[str, object]) -> None:
    """Ended with a reason or passed over: the session is final in the end, and the worker serves."""
    gate = warm.base / "gate"
    gate.touch()
    session = raw.publish(
        warm, f"echo ready; while [ -e {gate} ]; do sleep 0.02; done; echo done", stdin=None
    )
    wait_until(lambda: session.output() == b"ready\r\n", 15, "the command")
    raw.append(session, "control.jsonl", record)
    assert warm.run("echo on", cwd=warm.directory(f"other-{raw.new_id()}")).stdout == b"on\n"
    gate.unlink()
    status = session.wait_final(20)
    if status["state"] == "succeeded":
        assert session.output() == b"ready\r\ndone\r\n"
    else:
        assert status["error"]


def test_a_line_that_is_never_finished(warm: Pigeon) -> None:
    session = raw.publish(warm, "echo ready; read -t 1 x; echo end", stdin=None)
    wait_until(lambda: b"ready" in session.output(), 15, "the command")
    raw.append(session, "stdin.jsonl", b'{"type":"stdin","se')
    assert session.wait_final()["state"] == "succeeded"


def test_nul_bytes_are_not_yet_there(warm: Pigeon) -> None:
    """As parallel writes of one append look for a moment: they wait, and then the real bytes are taken."""
    session = raw.publish(warm, "stty -echo; echo ready; read x; echo got $x", stdin=None)
    wait_until(lambda: session.output() == b"ready\r\n", 15, "the command")
    line = raw.dump({"type": "stdin", "seq": 0, "ts": raw.STAMP, "data_b64": "aGkK"}) + b"\n"
    path = session.directory / "stdin.jsonl"
    path.write_bytes(b"\0" * 20 + line[20:])
    assert warm.run("true", cwd=warm.base).code == 0
    assert session.status["state"] == "running"
    with path.open("r+b") as file:
        file.write(line[:20])
    assert session.wait_final()["state"] == "succeeded"
    assert session.output() == b"ready\r\ngot hi\r\n"


def client_of(pigeon: Pigeon) -> tuple[Child, Session]:
    """A client, and its session claimed by the test in the worker's place."""
    client, session = pigeon.begin("anything")
    raw.claim(session)
    raw.put_status(session, "running")
    return client, session


def end(session: Session, code: int = 0, **fields: object) -> None:
    """The end as a worker of the base format writes it."""
    raw.append(session, "stream.jsonl", raw.event("exit", exit_code=code, raw_return_code=code))
    raw.put_status(session, "succeeded" if code == 0 else "failed", exit_code=code, **fields)


@pytest.mark.parametrize(
    "bad",
    [
        b"not json\n",
        b"[]\n",
        raw.dump(raw.output(3, b"x")) + b"\n",
        raw.dump(raw.output(0, b"x")) + b"\n",
        raw.dump({**raw.output(1, b"x"), "data_b64": "***"}) + b"\n",
    ],
)
def test_a_client_names_the_damage(pigeon: Pigeon, bad: bytes) -> None:
    client, session = client_of(pigeon)
    raw.append(session, "stream.jsonl", raw.output(0, b"good\n"))
    offset = (session.directory / "stream.jsonl").stat().st_size
    raw.append(session, "stream.jsonl", bad)
    end(session)
    result = client.wait(20)
    assert (result.stdout, result.code) == (b"good\n", 255)
    assert "stream.jsonl" in result.words
    assert re.search(rf"\b{offset}\b", result.words)
    assert "Traceback" not in result.words


def test_a_client_ignores_what_it_does_not_know(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    news = [raw.event("unheard-of", what=[1]), {"type": "unheard-of"}, {**raw.output(0, b"o\n"), "extra": {}}]
    raw.append(session, "stream.jsonl", *news)
    end(session, 7)
    assert client.wait() == (b"o\n", b"", 7)


def test_a_client_reads_up_to_the_end_and_not_behind_it(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    raw.append(
        session, "stream.jsonl", raw.output(0, b"o\n"), raw.event("exit", exit_code=3, raw_return_code=3)
    )
    raw.append(session, "stream.jsonl", raw.output(1, b"behind the end\n"))
    raw.put_status(session, "failed", exit_code=3)
    result = client.wait()
    assert (result.stdout, result.code) == (b"o\n", 3)


@pytest.mark.slow
def test_the_final_status_may_be_seen_before_the_last_output(pigeon: Pigeon) -> None:
    """As with two caches: `stream_bytes` says how far there is to read."""
    client, session = client_of(pigeon)
    last = raw.dump(raw.output(0, b"late\n")) + b"\n"
    last += raw.dump(raw.event("exit", exit_code=0, raw_return_code=0)) + b"\n"
    raw.put_status(session, "succeeded", exit_code=0, stream_bytes=len(last))
    before = len(session.records("control.jsonl"))
    wait_until(lambda: len(session.records("control.jsonl")) > before, 20, "a heartbeat: it still waits")
    assert client.running
    raw.append(session, "stream.jsonl", last)
    assert client.wait() == (b"late\n", b"", 0)


def test_an_end_by_recovery(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    raw.append(session, "stream.jsonl", raw.output(0, b"begun\n"), b'{"type":"outp')
    raw.put_status(session, "failed", exit_code=255, ended_by="recovery", error="the runner was killed")
    result = client.wait()
    assert (result.stdout, result.code) == (b"begun\n", 255)
    assert "the runner was killed" in result.words


def test_a_worker_error(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    raw.append(session, "stream.jsonl", raw.event("worker_error", message="no such directory"))
    raw.put_status(session, "failed", exit_code=255, error="no such directory")
    result = client.wait()
    assert (result.stdout, result.code) == (b"", 255)
    assert result.words.count("no such directory") == 1


def test_a_final_status_alone(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    raw.put_status(session, "failed", exit_code=9)
    result = client.wait(20)
    assert result.code != 0
    assert "Traceback" not in result.words


def test_a_stream_that_is_a_fifo(pigeon: Pigeon) -> None:
    client, session = client_of(pigeon)
    (session.directory / "stream.jsonl").unlink()
    os.mkfifo(session.directory / "stream.jsonl")
    raw.put_status(session, "failed", exit_code=255, ended_by="recovery", error="gone")
    result = client.wait(20)
    assert result.code == 255
    assert result.words.startswith("pigeon: ")


def test_a_session_that_is_removed_under_the_client(pigeon: Pigeon) -> None:
    pigeon.configure(client={"worker_timeout": 2})
    client, session = client_of(pigeon)
    shutil.rmtree(session.directory)
    result = client.wait(40)
    assert result.code == 255
    assert result.words.startswith("pigeon: ")
    assert "Traceback" not in result.words
