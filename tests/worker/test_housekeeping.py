"""What a worker removes and ends by itself, with the seconds counted by the test."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pigeon import crash
from pigeon.wire import directories, events, files
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from pigeon.wire.reading import known_status
from pigeon.wire.states import Status
from pigeon.wire.stream import output_line
from pigeon.wire.takeover import OwnerWatch, end
from pigeon.worker.debug import Debug
from pigeon.worker.handover import Worker
from pigeon.worker.recovery.takeovers import Takeovers
from pigeon.worker.scheduler.catalog import Catalog
from pigeon.worker.scheduler.retention import SWEEP_SESSIONS, Retention, Sweeper
from pigeon.worker.scheduler.sessions import IGNORED, OWNED, Final, Owned, Sessions


class House:
    """A share with sessions, and the housekeeping of a worker that sees it."""

    def __init__(self, base: Path, *, finished_s: float = 1000.0, terminal_s: float = 100.0) -> None:
        self.namespace = Namespace(str(base), "test")
        for path in (self.namespace.sessions, self.namespace.workers):
            directories.make_directories(path)
        worker = Worker(
            "me-1", "me", 1, "boot", self.namespace, str(base / "j.db"), "flock", 180.0, 1 << 30, 1 << 20, (),
            Debug(enabled=False, environ={}),
        )  # fmt: skip
        self.sessions = Sessions()
        self.catalog = Catalog(self.sessions, self.namespace, None)
        self.sweeper = Sweeper(worker, self.sessions, Retention(finished_s, terminal_s, 1e6))
        self.takeovers = Takeovers(worker, 30.0, self._settled)
        self.now = 0.0

    def _settled(self, session_id: str, is_final: bool) -> None:
        self.sessions.put(session_id, Final(self.now) if is_final else IGNORED)

    def session(self, state: str = "succeeded", *, pty: bool = False) -> SessionFiles:
        """One with the files of a client."""
        session = self.namespace.session(new_session_id())
        files.make_directory(session.directory)
        for path in (session.stream, session.stdin(), session.control()):
            files.create(path)
        request = Request(session.session_id, ["true"], "/")
        request.pty = pty
        files.replace(session.request, request.encode("1"))
        files.replace(session.status, Status(session.session_id, state, created_at="x").encode())
        return session

    def sweep(self, now: float) -> None:
        """Everything that a worker does every ten seconds."""
        self.now = now
        self.takeovers.recheck(list(self.sessions.of(Owned)))
        self.sweeper.sweep(now)

    def watch(self, begin: float, seconds: int) -> None:
        """Everything that it does every second."""
        for second in range(seconds):
            self.now = begin + second
            self.takeovers.watch(list(self.sessions.of(Owned)), self.now)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Retention of 1000 s, 100 s for terminals, `host_timeout` 30 s."""
    return House(tmp_path)


def there(session: SessionFiles) -> bool:
    """Whether it is still on the share."""
    return os.path.isdir(session.directory)


def test_each_kind_goes_after_its_own_time(house: House) -> None:
    plain, terminal = house.session(), house.session(pty=True)
    house.catalog.scan(0.0)
    for now in range(0, 155, 10):
        house.sweep(float(now))
        assert there(terminal)
    house.sweep(170.0)
    assert (there(plain), there(terminal)) == (True, False)
    for now in range(180, 1055, 10):
        house.sweep(float(now))
        assert there(plain)
    house.sweep(1070.0)
    assert not there(plain)


def test_many_that_stay_do_not_hide_those_that_are_due(house: House) -> None:
    plain = [house.session() for _ in range(2 * SWEEP_SESSIONS)]
    terminal = house.session(pty=True)
    house.catalog.scan(0.0)
    for now in range(0, 300, 10):
        house.sweep(float(now))
    assert not there(terminal)
    assert all(map(there, plain))


def test_a_reader_starts_the_time_again(house: House) -> None:
    session = house.session(pty=True)
    house.catalog.scan(0.0)
    for now in range(0, 600, 10):
        files.replace(session.control(), b"x" * now)
        house.sweep(float(now))
    assert there(session)
    for now in range(600, 850, 10):
        house.sweep(float(now))
    assert not there(session)


def test_what_cannot_be_removed_yet_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = house.session(pty=True)
    house.catalog.scan(0.0)
    with monkeypatch.context() as stuck:
        stuck.setattr(directories, "remove_session", lambda _: False)
        for now in range(0, 300, 10):
            house.sweep(float(now))
    assert there(session)
    for now in range(300, 340, 10):
        house.sweep(float(now))
    assert not there(session)


def claimed(house: House, text: bytes | None, state: str = "running") -> SessionFiles:
    """A session in the hands of another worker."""
    session = house.session(state)
    if text is not None:
        files.create(session.claim, text)
    house.catalog.scan(0.0)
    assert session.session_id in house.sessions.of(Owned)
    return session


OWNER = b"worker_host=x\nworker_pid=7\nworker_id=x-7\nfeatures=attach\n"


@pytest.mark.parametrize(
    "text", [OWNER, b"", None, b"\0garbage" * 300_000], ids=["worker", "empty", "none", "huge"]
)
def test_a_silent_owner_loses_its_session(house: House, text: bytes | None) -> None:
    session = claimed(house, text)
    house.watch(0.0, 30)
    assert b'"running"' in Path(session.status).read_bytes()
    house.watch(30.0, 2)
    status = Path(session.status).read_bytes()
    assert b'"failed"' in status
    assert b'"takeover"' in status
    assert session.session_id in house.sessions.of(Final)
    assert not house.sessions.of(Owned)


def test_what_a_dead_client_was_giving_up_is_cancelled(house: House) -> None:
    session = claimed(house, b"withdrawn_by=client\nclient_host=x\n", "pending")
    house.watch(0.0, 32)
    status = known_status(session)
    assert status is not None
    assert (status.state, status.exit_code, status.ended_by) == ("cancelled", 130, "takeover")


RESULTS = [(0, "succeeded", 0), (7, "failed", 7), (-15, "failed", 143)]


@pytest.mark.parametrize(("code", "state", "exit_code"), RESULTS)
def test_an_exit_event_is_the_outcome(house: House, code: int, state: str, exit_code: int) -> None:
    """The owner fell silent between that and the status; who has read the event believes it."""
    session = claimed(house, OWNER)
    lines = [
        output_line(0, "stdout", b"x" * 9000),
        events.exited(exit_code, code),
    ]
    files.replace(session.stream, b"".join(lines))
    house.watch(0.0, 32)
    status = known_status(session)
    assert status is not None
    assert (status.state, status.exit_code, status.ended_by) == (state, exit_code, "takeover")


@pytest.mark.parametrize("end_of_it", [events.exited(0, 0)[:-1], b"\0" * 60 + b"\n"])
def test_a_torn_exit_event_is_none(house: House, end_of_it: bytes) -> None:
    session = claimed(house, OWNER)
    files.replace(session.stream, output_line(0, "stdout", b"x") + end_of_it)
    house.watch(0.0, 32)
    status = known_status(session)
    assert status is not None
    assert (status.state, status.exit_code) == ("failed", 255)


def test_the_stream_is_read_after_the_right_to_end_it_was_taken(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner that wakes up at the last moment gets his exit event in before, or not at all."""
    session = claimed(house, OWNER)
    real = os.link

    def woken(source: str, target: str, **how: Any) -> None:
        files.replace(session.stream, events.exited(3, 3))
        real(source, target, **how)

    monkeypatch.setattr(os, "link", woken)
    house.watch(0.0, 32)
    status = known_status(session)
    assert status is not None
    assert status.exit_code == 3


@pytest.mark.parametrize("speaks", ["stream", "worker file"])
def test_an_owner_that_says_anything_keeps_it(house: House, speaks: str) -> None:
    session = claimed(house, OWNER)
    path = session.stream if speaks == "stream" else house.namespace.worker("x-7")
    for second in range(0, 200, 20):
        files.replace(path, b"x" * (second + 1))
        house.watch(float(second), 20)
    assert b'"running"' in Path(session.status).read_bytes()


def test_a_taker_that_died_is_helped_out(house: House) -> None:
    """Somebody made takeover.claim and never wrote the end: it comes one more `host_timeout` later."""
    session = claimed(house, OWNER)
    files.create(session.takeover, b"taken_over_by=dead\n")
    house.watch(0.0, 55)
    assert b'"running"' in Path(session.status).read_bytes()
    house.watch(55.0, 15)
    assert b'"takeover"' in Path(session.status).read_bytes()
    assert Path(session.takeover).read_bytes() == b"taken_over_by=dead\n"


def test_a_taker_whose_write_failed_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = claimed(house, OWNER)

    def full(source: str, target: str, **_: None) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", full)
        with pytest.raises(OSError, match="No space"):
            end(session, "1f" * 16, "me", "x-7")
    assert end(session, "1f" * 16, "me", "x-7")
    assert not end(session, "1f" * 16, "me", "x-7")


def test_an_end_of_its_own_is_not_replaced(house: House) -> None:
    session = claimed(house, OWNER)
    house.watch(0.0, 29)
    files.replace(session.status, Status(session.session_id, "succeeded", created_at="x").encode())
    house.watch(29.0, 5)
    assert b'"succeeded"' in Path(session.status).read_bytes()
    assert not os.path.exists(session.takeover)


def test_an_owner_of_many_sessions_is_read_once_a_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        claimed(house, OWNER)
    files.create(house.namespace.worker("x-7"), b"{}")
    house.watch(0.0, 1)
    opened: list[str] = []
    real = files.open_checked

    def counting(path: str) -> int:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(files, "open_checked", counting)
    house.watch(1.0, 1)
    assert opened.count(house.namespace.worker("x-7")) == 1


def test_a_failed_look_proves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session = claimed(house, OWNER)
    watch = OwnerWatch(house.namespace, session, "x-7")
    for now in range(20):
        silence = watch.look(float(now))
    assert silence == 19.0

    def stale(path: str) -> int:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(files, "open_checked", stale)
        assert watch.look(20.0) == 0.0
    assert watch.look(21.0) == 0.0
    assert watch.look(22.0) == 1.0


def test_what_nobody_published_goes_after_a_day(house: House) -> None:
    """Its client was killed while it made it, with the whole environment in its request."""
    session = house.namespace.session(new_session_id())
    files.make_directory(session.directory)
    files.create(session.request, b"{}")
    for now in range(0, 25 * 3600, 600):
        house.catalog.scan(float(now))
        house.sweep(float(now))
        assert there(session) or now >= 24 * 3600
    assert not there(session)


def test_one_that_vanished_and_came_back_is_known(house: House) -> None:
    session = house.session("pending")
    (waiting,) = house.catalog.scan(0.0)
    assert not waiting.has_vanished
    os.rename(session.directory, f"{house.namespace.root}/away")
    house.sessions.put(session.session_id, OWNED)  # as the scheduler does when it finds it gone
    assert house.catalog.scan(1.0) == []
    os.rename(f"{house.namespace.root}/away", session.directory)
    (waiting,) = house.catalog.scan(2.0)
    assert waiting.has_vanished


def test_a_session_that_cannot_be_understood_is_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bad, good = house.session("pending"), house.session("pending")
    look = house.catalog.look

    def unforeseen(name: str, now: float) -> object:
        if name == bad.session_id:
            raise TypeError("nobody thought of this")
        return look(name, now)

    monkeypatch.setattr(house.catalog, "look", unforeseen)
    for now in range(5):
        found = [one.session_id for one in house.catalog.scan(float(now))]
        assert found == ([good.session_id] if now == 0 else [])
    assert capfd.readouterr().err.count("nobody thought of this") == 1


def test_old_crash_reports_of_ours_go_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's sweep takes them, and so does the next report; a link, a directory or another file is none."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    kept = place / "kept"
    kept.write_text("kept")
    names = ("pigeon-crash-1.txt", "pigeon-crash-2.txt", "pigeon-crash-3.txt", "notes.txt")
    for name in names:
        (place / name).touch()
    (place / "pigeon-crash-link.txt").symlink_to(kept)
    (place / "pigeon-crash-dir.txt").mkdir()
    for path in place.iterdir():
        if path.name != "pigeon-crash-3.txt":
            os.utime(path, (1.0, 1.0), follow_symlinks=False)
    base = tmp_path / "share"
    base.mkdir()
    House(base).sweeper.sweep(0.0)
    left = {path.name for path in place.iterdir()}
    assert left == {
        "pigeon-crash-3.txt",
        "notes.txt",
        "kept",
        "pigeon-crash-link.txt",
        "pigeon-crash-dir.txt",
    }
    os.utime(place / "pigeon-crash-3.txt", (1.0, 1.0))
    crash.report(RuntimeError("told to"))
    (new,) = {path.name for path in place.iterdir()} - left
    assert new.startswith("pigeon-crash-")
    assert not (place / "pigeon-crash-3.txt").exists()
    assert kept.read_text() == "kept"
