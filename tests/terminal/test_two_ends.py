"""An exit event that a paused runner wrote behind a takeover: readers who come to it see the end that others saw."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until

ERROR = "its worker has been silent for too long"


def begin(pigeon: Pigeon) -> tuple[Child, Session]:
    """A client whose session this test claims and starts in a worker's place."""
    client, session = pigeon.begin("true")
    raw.claim(session, "worker_host=elsewhere\nworker_pid=1\nworker_id=x-1\nfeatures=heartbeat,ack\n")
    raw.append(session, "stream.jsonl", raw.event("started", pid=1), raw.output(0, b"one\n"))
    raw.put_status(session, "running")
    return client, session


def take_over(session: Session) -> None:
    """The right to end it; the end itself follows."""
    Path(session.directory / "takeover.claim").touch(0o600)


def finish_takeover(session: Session) -> None:
    """The end of a session whose owner was silent."""
    raw.put_status(session, "failed", exit_code=255, ended_by="takeover", error=ERROR)


def pause(client: Child) -> None:
    """A silence in which an owner can have been superseded."""
    until = time.monotonic() + 1.0
    wait_until(lambda: not client.running or time.monotonic() >= until, 30, "a second")
    assert client.running


@pytest.mark.parametrize("final_first", [True, False])
def test_an_exit_event_behind_a_takeover(pigeon: Pigeon, final_first: bool) -> None:
    client, session = begin(pigeon)
    pause(client)
    take_over(session)
    if final_first:
        finish_takeover(session)
    raw.append(session, "stream.jsonl", raw.event("exit", exit_code=0, raw_return_code=0))
    if not final_first:
        pause(client)
        finish_takeover(session)
    result = client.wait()
    assert (result.stdout, result.code) == (b"one\n", 255)
    assert ERROR in result.words


def test_a_takeover_that_found_the_exit_event(pigeon: Pigeon) -> None:
    """The command's own end is told as ever."""
    client, session = begin(pigeon)
    pause(client)
    raw.append(session, "stream.jsonl", raw.event("exit", exit_code=4, raw_return_code=4))
    take_over(session)
    raw.put_status(session, "failed", exit_code=4, ended_by="takeover", error=ERROR)
    result = client.wait()
    assert (result.stdout, result.stderr, result.code) == (b"one\n", b"", 4)


def test_without_a_takeover_the_exit_event_decides(pigeon: Pigeon) -> None:
    """Whatever status has ended up behind it."""
    client, session = begin(pigeon)
    pause(client)
    raw.append(session, "stream.jsonl", raw.event("exit", exit_code=4, raw_return_code=4))
    raw.put_status(session, "failed", exit_code=255, ended_by="recovery", error=ERROR)
    result = client.wait()
    assert (result.stdout, result.stderr, result.code) == (b"one\n", b"", 4)


def test_an_owner_that_has_just_spoken_is_believed(pigeon: Pigeon) -> None:
    """The takeover came after its exit event, and its own final status agrees with that."""
    client, session = begin(pigeon)
    raw.append(session, "stream.jsonl", raw.event("exit", exit_code=4, raw_return_code=4))
    take_over(session)
    assert client.wait(60).code == 4
