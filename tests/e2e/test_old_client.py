"""Our worker serves a client that knows only Part 1 of the format."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes, overlapping
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child, Result
from tests.helpers.surroundings import LISTENER
from tests.helpers.waiting import wait_until

CLIENT = Path(__file__).parents[1] / "peers" / "part1_client.py"


def old_client(pigeon: Pigeon, *words: str, options: tuple[str, ...] = (), **how: object) -> Child:
    """The independent client in the background."""
    place = (str(pigeon.share.client_path), str(pigeon.settings["namespace"]))
    argv = [sys.executable, str(CLIENT), *place, *options, "--", *words]
    return pigeon.start_process(*argv, **how)  # type: ignore[arg-type]  # passed through


def outcome(result: Result) -> tuple[bytes, int]:
    """Output and code; the client's own complaints show in the failure."""
    assert b"part1 client" not in result.stderr, result.words
    return result.stdout, result.code


@pytest.mark.parametrize("order", ["request-first", "rest-first"])
def test_both_orders_of_writing(warm: Pigeon, order: str) -> None:
    """Between two of its steps the worker looks several times, and waits for what is not there yet."""
    client = old_client(warm, "echo hello; exit 3", options=("--order", order, "--pause", "0.15"))
    assert outcome(client.wait()) == (b"hello\r\n", 3)


@pytest.mark.parametrize("order", ["request-first", "rest-first"])
def test_many_of_them(warm: Pigeon, order: str) -> None:
    clients = []
    for number in range(8):
        where = warm.directory(f"{order}{number}")
        clients.append(
            old_client(warm, f"echo {number}; exit {number}", options=("--order", order), cwd=where)
        )
    results = [outcome(client.wait()) for client in clients]
    assert results == [(f"{number}\r\n".encode(), number) for number in range(8)]


def test_it_gets_a_terminal(warm: Pigeon) -> None:
    client = old_client(
        warm, "test -t 0 && stty size; echo err >&2", options=("--cols", "99", "--rows", "22")
    )
    assert outcome(client.wait()) == (b"22 99\r\nerr\r\n", 0)
    session = warm.sessions()[-1]
    assert {record["channel"] for record in session.records() if record["type"] == "output"} == {"pty"}


def test_its_input_and_the_end_of_it(warm: Pigeon) -> None:
    client = old_client(
        warm, "stty -echo; echo ready; cat; echo end", options=("--stdin",), stdin=subprocess.PIPE
    )
    wait_until(lambda: client.out == b"ready\r\n", 15, "the command")
    client.type(b"one\n")
    wait_until(lambda: client.out == b"ready\r\none\r\n", 15, "the echo")
    client.type(b"two\n")
    client.close_stdin()
    assert outcome(client.wait()) == (b"ready\r\none\r\ntwo\r\nend\r\n", 0)


def test_signals_and_resizes(warm: Pigeon) -> None:
    client = old_client(warm, LISTENER)
    wait_until(lambda: client.out == b"ready\r\n", 15, "the command")
    client.signal(signal.SIGWINCH)
    wait_until(lambda: b"size 101 33\r\n" in client.out, 15, "the new size")
    client.signal(signal.SIGINT)
    assert outcome(client.wait()) == (b"ready\r\nsize 101 33\r\ngot SIGINT\r\n", 9)


def test_quick_commands_on_a_terminal_are_not_hung_up(warm: Pigeon) -> None:
    """touch closes its terminal a moment before it ends, so many tries meet that moment."""
    sessions = [raw.publish(warm, "touch made", cwd=warm.directory(f"quick{number}")) for number in range(40)]
    ends = [session.wait_final(60) for session in sessions]
    assert {(end["state"], end["exit_code"]) for end in ends} == {("succeeded", 0)}


@pytest.mark.parametrize("number", [9, 15, 1])
def test_fatal_signals(warm: Pigeon, number: int) -> None:
    assert outcome(old_client(warm, f"exec sh -c 'kill -{number} $$'").wait())[1] == 128 + number


@pytest.mark.slow
def test_it_is_never_judged_by_its_silence(pigeon: Pigeon) -> None:
    """It sends no heartbeat; its session outlives every timeout that is made for clients that do."""
    pigeon.worker(client_timeout=10)
    gate = pigeon.base / "gate"
    gate.touch()
    client = old_client(pigeon, f"echo ready; while [ -e {gate} ]; do sleep 0.02; done; echo done")
    wait_until(lambda: client.out == b"ready\r\n", 15, "the command")
    session = pigeon.sessions()[0]
    beats = len(session.records())
    wait_until(lambda: len(session.records()) > beats + 2, 40, "heartbeats of the runner, after the timeout")
    gate.unlink()
    assert outcome(client.wait()) == (b"ready\r\ndone\r\n", 0)


def test_one_that_demands_a_fresh_worker_file(warm: Pigeon) -> None:
    assert outcome(old_client(warm, "echo ok", options=("--demand-worker",)).wait()) == (b"ok\r\n", 0)


def test_it_waits_for_its_turn_as_ours_do(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=8)
    notes = Notes(pigeon.base / "notes")
    ours = [pigeon.start(notes.text(f"ours{number}")) for number in range(3)]
    old = [old_client(pigeon, notes.text(f"old{number}")) for number in range(3)]
    assert [client.wait().code for client in [*ours, *old]] == [0] * 6
    names = [f"{kind}{number}" for kind in ("ours", "old") for number in range(3)]
    assert overlapping(notes.intervals(names)) == []


def test_a_command_that_cannot_be_run(warm: Pigeon) -> None:
    client = old_client(warm, "true", options=("--cwd", "/nonexistent/directory"))
    result = client.wait()
    assert result.code == 255
    assert b"worker error" in result.stderr
    assert warm.sessions()[-1].wait_final()["error"]
