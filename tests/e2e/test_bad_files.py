"""Files and directories that are not what a session is made of: links, FIFOs, other owners, vanishing ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.judging import goes_on, judged
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_root
from tests.helpers.share import Session
from tests.helpers.waiting import wait_until


def other_file(kind: str, path: Path, data: bytes, elsewhere: Path) -> None:
    """A request.json that is not a plain file of our own."""
    target = elsewhere / "target.json"
    raw.replace(target, data)
    if kind == "symbolic link":
        path.symlink_to(target)
    elif kind == "second hard link":
        os.link(target, path)
    elif kind == "FIFO":
        os.mkfifo(path, 0o600)
    elif kind == "directory":
        path.mkdir(mode=0o700)
    elif kind == "dangling link":
        path.symlink_to(elsewhere / "nothing")
    else:
        raw.replace(path, data, mode=int(kind, 8))


@pytest.mark.parametrize(
    "kind",
    ["symbolic link", "dangling link", "second hard link", "FIFO", "directory", "620", "602", "666"],
)
def test_not_a_plain_file_of_our_own(warm: Pigeon, kind: str) -> None:
    session = raw.lay(warm)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch ran"))
    elsewhere = warm.namespace.root / f"elsewhere-{session.id}"
    elsewhere.mkdir()
    other_file(kind, session.directory / "request.json", data, elsewhere)
    raw.put_status(session, "pending")
    judged(warm, session)


def test_readable_by_others_is_no_reason_to_refuse(warm: Pigeon) -> None:
    """As older clients under an ordinary umask leave it."""
    session = raw.lay(warm)
    session.directory.chmod(0o755)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch may-run"))
    raw.replace(session.directory / "request.json", data, mode=0o644)
    raw.put_status(session, "pending")
    assert session.wait_final()["state"] == "succeeded"
    assert (warm.work / "may-run").exists()


@needs_root
def test_a_request_of_another_user(warm: Pigeon) -> None:
    session = raw.lay(warm)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch ran"))
    raw.replace(session.directory / "request.json", data)
    os.chown(session.directory / "request.json", NOBODY, NOBODY)
    raw.put_status(session, "pending")
    judged(warm, session)


@needs_root
def test_a_directory_of_another_user(warm: Pigeon) -> None:
    """Not run; an ordinary worker could not even claim it, and its client gives up by itself."""
    session = raw.lay(warm)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch ran"))
    raw.replace(session.directory / "request.json", data)
    os.chown(session.directory, NOBODY, NOBODY)
    raw.put_status(session, "pending")
    goes_on(warm)
    assert session.state in ("pending", "failed")
    assert not (warm.work / "ran").exists()


def test_a_session_that_is_a_symbolic_link(warm: Pigeon) -> None:
    real = raw.lay(warm)
    data = raw.dump(raw.a_request(real.id, warm.work, "touch ran"))
    raw.replace(real.directory / "request.json", data)
    moved = warm.namespace.root / f"moved-{real.id}"
    real.directory.rename(moved)
    real.directory.symlink_to(moved)
    raw.put_status(Session(moved), "pending")
    goes_on(warm)
    assert not (warm.work / "ran").exists()
    real.directory.unlink()


@pytest.mark.parametrize(
    "name", ["status.json", "stream.jsonl", "stdin.jsonl", "control.jsonl", "worker.claim"]
)
@pytest.mark.parametrize("kind", ["FIFO", "symbolic link", "directory"])
def test_another_file_that_is_not_one(warm: Pigeon, name: str, kind: str) -> None:
    """No hang, nothing written through a link, and the worker goes on; the session ends where that can be said."""
    session = raw.lay(warm)
    raw.replace(session.directory / "request.json", raw.dump(raw.a_request(session.id, warm.work, "true")))
    (session.directory / name).unlink(missing_ok=True)
    precious = warm.base / "precious"
    precious.write_bytes(b"precious")
    if kind == "symbolic link":
        (session.directory / name).symlink_to(precious)
    elif kind == "FIFO":
        os.mkfifo(session.directory / name, 0o600)
    else:
        (session.directory / name).mkdir()
    if name != "status.json":
        raw.put_status(session, "pending")
    goes_on(warm)
    if name not in ("status.json", "worker.claim"):
        session.wait_final(30)
    warm.wait_quiet(20)
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize(
    "name",
    ["text", "1-abc", "1700000000000-XYZ01234", "0" * 20, "1700000000000-0123456789ab ", "a\nb", "\udcff"],
)
def test_names_that_are_no_session(warm: Pigeon, name: str) -> None:
    other = raw.lay(warm, name)
    raw.replace(other.directory / "request.json", raw.dump(raw.a_request(name, warm.work, "touch ran")))
    raw.put_status(other, "pending")
    goes_on(warm)
    assert not (warm.work / "ran").exists()
    assert other.claim is None


def test_a_file_in_the_place_of_a_session(warm: Pigeon) -> None:
    raw.lay(warm).directory.with_name(raw.new_id()).write_text("not a directory")
    goes_on(warm)


def test_a_request_that_vanishes_before_the_claim(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, "touch ran")
    (session.directory / "request.json").unlink()
    pigeon.worker()
    goes_on(pigeon)
    assert not (pigeon.work / "ran").exists()


def test_a_session_that_vanishes_while_it_waits(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    gate = pigeon.base / "gate"
    gate.touch()
    holder = raw.publish(pigeon, f"while [ -e {gate} ]; do sleep 0.02; done")
    holder.wait_state("running")
    session = raw.publish(pigeon, "touch ran")
    wait_until(lambda: pigeon.namespace.workers()[0]["running"], 10, "a look of the worker")
    shutil.rmtree(session.directory)
    gate.unlink()
    holder.wait_final()
    goes_on(pigeon)
    assert not (pigeon.work / "ran").exists()


def test_a_session_that_vanishes_while_it_runs(pigeon: Pigeon) -> None:
    pigeon.worker(host_timeout=10)
    session = raw.publish(pigeon, "trap 'exit 0' HUP TERM; echo ready; while :; do sleep 0.2; done")
    wait_until(lambda: session.output() == b"ready\r\n", 15, "the command")
    shutil.rmtree(session.directory)
    goes_on(pigeon)
    pigeon.wait_quiet(60)


@pytest.mark.parametrize("state", ["running", "succeeded", "failed", "cancelled", "unheard-of"])
def test_a_state_that_is_not_pending_is_not_run(warm: Pigeon, state: str) -> None:
    session = raw.lay(warm)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch ran"))
    raw.replace(session.directory / "request.json", data)
    raw.put_status(session, state)
    goes_on(warm)
    assert not (warm.work / "ran").exists()


def test_an_unfinished_session_is_left_alone_until_it_is_whole(warm: Pigeon) -> None:
    session = raw.lay(warm)
    data = raw.dump(raw.a_request(session.id, warm.work, "touch may-run"))
    raw.replace(session.directory / "request.json", data)
    goes_on(warm)
    assert session.claim is None
    raw.put_status(session, "pending")
    assert session.wait_final()["state"] == "succeeded"


def half_made(pigeon: Pigeon, text: str, name: str, **changes: object) -> Session:
    """A published session without this one of its client's files."""
    session = raw.lay(pigeon)
    (session.directory / name).unlink()
    data = raw.dump(raw.a_request(session.id, pigeon.work, text, **changes))
    raw.replace(session.directory / "request.json", data)
    return session


@pytest.mark.parametrize("name", ["stdin.jsonl", "control.jsonl"])
def test_a_client_that_makes_its_files_late_is_served(warm: Pigeon, name: str) -> None:
    """What has not been said yet holds nothing up: the command's output comes as it is made."""
    go_on = warm.work / "go-on"
    text = f"echo out; until test -e {go_on}; do sleep 0.02; done; echo more"
    session = half_made(warm, text, name, terminal={"pty": False})
    raw.put_status(session, "pending")
    wait_until(lambda: session.output() == b"out\n", 15, "the output")
    wait_until(lambda: session.state == "running", 15, "the state")
    raw.replace(session.directory / name, b"")
    go_on.touch()
    assert session.wait_final()["state"] == "succeeded"
    assert session.output() == b"out\nmore\n"
    go_on.unlink()


@pytest.mark.parametrize("name", ["stdin.jsonl", "control.jsonl"])
@pytest.mark.parametrize("kind", ["FIFO", "666"])
def test_input_that_cannot_be_trusted_ends_the_session(warm: Pigeon, name: str, kind: str) -> None:
    session = half_made(warm, "echo out; exec sleep 1000", name, terminal={"pty": False})
    other_file(kind, session.directory / name, b"", warm.work)
    raw.put_status(session, "pending")
    status = session.wait_final()
    assert status["state"] == "failed"
    assert "cannot be trusted" in status["error"] and name in status["error"]
    goes_on(warm)
