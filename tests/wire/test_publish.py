"""Replacing status.json: late and lost renames, owners that come back, and several who end one session."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from pigeon.wire import files, publish
from pigeon.wire.names import SessionFiles
from pigeon.wire.publish import OwnStatus
from pigeon.wire.reading import known_status
from pigeon.wire.states import Status

ID = "1700000000000-0123456789ab"

Rename = Callable[[str, str], None]


def status(state: str, exit_code: int | None = None, error: str | None = None) -> Status:
    """A status with this state."""
    return Status(ID, state, created_at="then", exit_code=exit_code, error=error)


@pytest.fixture
def session(session: SessionFiles) -> SessionFiles:
    """A pending session."""
    files.create(session.status, status("pending").encode())
    return session


def state_of(session: SessionFiles) -> str:
    """The published state."""
    found = known_status(session)
    assert found is not None
    return found.state


def names(session: SessionFiles) -> list[str]:
    """What lies in the session's directory."""
    return sorted(os.listdir(session.directory))


class Server:
    """What becomes of the renames of one test: `then` happens at the next one, in place of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.real: Rename = os.rename
        self.then: Rename | None = None
        self.sources: list[str] = []
        monkeypatch.setattr(os, "rename", self)

    def __call__(self, source: str, target: str, **_: None) -> None:
        self.sources.append(source)
        then, self.then = self.then, None
        (then or self.real)(source, target)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def fails(_source: str, _target: str) -> None:
    """It is not carried out now, and nobody can say so."""
    raise OSError(errno.EIO, "Input/output error")


def test_the_owner_replaces_it_and_leaves_nothing(session: SessionFiles) -> None:
    own = OwnStatus(session, "own")
    assert own.publish(status("running").encode())
    assert own.publish(status("succeeded", exit_code=0).encode())
    assert (state_of(session), names(session)) == ("succeeded", ["status.json"])


def test_an_owner_that_has_lost_the_session_changes_nothing(session: SessionFiles) -> None:
    files.create(session.takeover, b"taken_over_by=me\n")
    assert not OwnStatus(session, "own").publish(status("running").encode())
    assert (state_of(session), names(session)) == ("pending", ["status.json", "takeover.claim"])


def test_taken_over_between_the_owners_look_and_his_rename(session: SessionFiles, server: Server) -> None:
    def paused(source: str, target: str) -> None:
        files.create(session.takeover, b"taken_over_by=me\n")
        assert publish.end(session, "taker", status("failed"))
        server.real(source, target)

    own = OwnStatus(session, "own")
    server.then = paused
    with pytest.raises(FileNotFoundError):
        own.publish(status("running").encode())
    assert not own.publish(status("running").encode())
    assert (state_of(session), names(session)) == ("failed", ["status.json", "takeover.claim"])


def test_a_rename_of_a_dead_owner_that_comes_late(session: SessionFiles, server: Server) -> None:
    server.then = fails
    with pytest.raises(OSError):
        OwnStatus(session, "own").publish(status("running").encode())
    source = server.sources[-1]
    assert os.path.exists(source), "it may still be carried out"
    assert publish.end(session, "recovery", status("failed"))
    with pytest.raises(FileNotFoundError):
        server.real(source, session.status)
    assert (state_of(session), names(session)) == ("failed", ["status.json"])


def test_a_failed_rename_has_the_source_of_its_repetition(session: SessionFiles, server: Server) -> None:
    """Also that of the next status: two sources could both be carried out, in either order."""
    own = OwnStatus(session, "own")
    for state in ("running", "running", "succeeded"):
        server.then = fails
        with pytest.raises(OSError):
            own.publish(status(state).encode())
    assert own.publish(status("succeeded").encode())
    assert len(set(server.sources)) == 1
    assert (state_of(session), names(session)) == ("succeeded", ["status.json"])


def test_a_rename_whose_reply_was_lost(session: SessionFiles, server: Server) -> None:
    def lost(source: str, target: str) -> None:
        server.real(source, target)
        raise OSError(errno.EIO, "Input/output error")

    own = OwnStatus(session, "own")
    server.then = lost
    data = status("running").encode()
    with pytest.raises(OSError):
        own.publish(data)
    assert own.publish(data)
    assert (state_of(session), names(session)) == ("running", ["status.json"])


def test_a_late_rename_that_takes_the_file_of_its_repetition(session: SessionFiles, server: Server) -> None:
    def late(source: str, target: str) -> None:
        server.real(source, target)
        server.real(source, target)

    server.then = late
    assert OwnStatus(session, "own").publish(status("running").encode())
    assert (state_of(session), names(session)) == ("running", ["status.json"])


def test_the_first_end_stays(session: SessionFiles) -> None:
    assert publish.end(session, "a", status("cancelled"))
    assert not publish.end(session, "b", status("failed"))
    assert (state_of(session), names(session)) == ("cancelled", ["status.json"])


def test_an_end_that_comes_while_another_is_being_made(
    session: SessionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner's own last rename is carried out after the first look, and before his file could be unlinked."""
    files.create(f"{session.directory}/.tmp-own", status("succeeded").encode())
    real = os.listdir

    def meanwhile(path: int) -> list[str]:
        found = real(path)
        os.replace(f"{session.directory}/.tmp-own", session.status)
        return found

    monkeypatch.setattr(os, "listdir", meanwhile)
    assert not publish.end(session, "a", status("failed"))
    monkeypatch.undo()
    assert (state_of(session), names(session)) == ("succeeded", ["status.json"])


def test_many_who_end_one_session_make_one_end(session: SessionFiles) -> None:
    barrier = threading.Barrier(6)
    won: list[int] = []

    def rival(number: int) -> None:
        barrier.wait(10)
        while True:
            try:
                if publish.end(session, f"rival-{number}", status("failed", error=str(number))):
                    won.append(number)
                return
            except FileNotFoundError:
                pass  # the others were always quicker: as its callers do, again

    threads = [threading.Thread(target=rival, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = known_status(session)
    assert found is not None
    assert [found.error] == [str(number) for number in won]
    assert names(session) == ["status.json"]


def test_a_status_that_cannot_be_understood_is_no_end(session: SessionFiles) -> None:
    for spoil in (b"garbage", b"[]", b"{}"):
        files.replace(session.status, spoil)
        assert known_status(session) is None
    os.unlink(session.status)
    os.symlink("/etc/passwd", session.status)
    assert publish.end(session, "a", status("failed"))
    assert state_of(session) == "failed"
