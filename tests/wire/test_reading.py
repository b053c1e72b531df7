"""A session's documents are there, absent, bad, or not to be had now: one reader says which."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pigeon.wire import files, reading
from pigeon.wire.documents import BadDocument, ForeignDocument, Request, UntrustedDocument
from pigeon.wire.names import SessionFiles
from pigeon.wire.states import Status


def put(path: str, data: bytes) -> Path:
    """A file of our own with this content."""
    place = Path(path)
    place.write_bytes(data)
    place.chmod(0o600)
    return place


@pytest.fixture
def status(session: SessionFiles) -> Path:
    """A published one."""
    return put(session.status, Status(session.session_id, "failed", created_at="then", error="why").encode())


def test_there(session: SessionFiles, status: Path) -> None:
    assert reading.read_status(session).error == "why"
    assert reading.is_final(session)
    put(session.request, Request(session.session_id, ["true"], "/").encode("1"))
    assert reading.read_request(session).command == ["true"]


def test_absent(session: SessionFiles) -> None:
    for read in (reading.read_status, reading.read_request):
        with pytest.raises(FileNotFoundError):
            read(session)
    assert reading.known_status(session) is None
    assert not reading.is_final(session)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"state":7}', b"\xff", b"[" * 100_000])
def test_bad(session: SessionFiles, data: bytes) -> None:
    put(session.status, data)
    put(session.request, data)
    for read in (reading.read_status, reading.read_request):
        with pytest.raises(BadDocument):
            read(session)
    assert reading.known_status(session) is None


def test_another_sessions(session: SessionFiles) -> None:
    put(session.status, Status("1700000000000-0123456789ff", "failed", created_at="then").encode())
    with pytest.raises(ForeignDocument):
        reading.read_status(session)


def test_too_large_is_bad_and_not_a_bad_moment(session: SessionFiles) -> None:
    put(session.status, b" " * (2 * 1024 * 1024))
    put(session.request, b" " * (9 * 1024 * 1024))
    for read in (reading.read_status, reading.read_request):
        with pytest.raises(BadDocument, match="larger than"):
            read(session)


def test_not_to_be_trusted(session: SessionFiles, status: Path) -> None:
    status.chmod(0o666)
    with pytest.raises(UntrustedDocument, match="writable by others") as found:
        reading.read_status(session)
    assert found.value.reason.startswith("writable by others")
    request = put(session.request, Request(session.session_id, ["true"], "/").encode("1"))
    os.link(request, f"{session.directory}/second")
    with pytest.raises(UntrustedDocument, match="more than one name"):
        reading.read_request(session)


def test_not_now(session: SessionFiles, status: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stale(path: str, limit: int, *, one_link: bool = False) -> bytes:
        raise OSError(116, "Stale file handle", path)

    monkeypatch.setattr(files, "read", stale)
    for read in (reading.read_status, reading.known_status, reading.is_final):
        with pytest.raises(OSError, match="Stale"):
            read(session)


def test_never(session: SessionFiles, status: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who acts on an end only does not wait for what will not pass; who must know is told."""

    def denied(path: str, limit: int, *, one_link: bool = False) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(files, "read", denied)
    assert reading.known_status(session) is None
    with pytest.raises(PermissionError):
        reading.read_status(session)
