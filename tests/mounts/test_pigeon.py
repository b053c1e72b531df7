"""Pigeon with its client behind one mount and its worker behind another, on each rig; and in bad moments."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers import raw
from tests.helpers.notes import Notes, overlapping
from tests.helpers.rows import wait_until_forgotten, wait_with_a_row
from tests.helpers.share import Share
from tests.helpers.surroundings import ROOT
from tests.helpers.waiting import wait_until
from tests.mounts.pigeon_rig import Rig, make_rig

RIGS = ("plain", "twocache", "gluster")
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module", params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One rig for the module's tests, with a worker."""
    with ExitStack() as stack:
        made = make_rig(stack, request.param, tmp_path_factory.mktemp(request.param))
        made.pigeon.worker(max_jobs=16)
        yield made


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Rig]:
    """A two-cache rig of this test's own."""
    with ExitStack() as stack:
        yield make_rig(stack, "twocache", tmp_path)


@pytest.fixture
def faulty(bare: Rig) -> Rig:
    """The same with a worker."""
    bare.pigeon.worker(debug=True)
    return bare


def test_output_codes_and_stderr(rig: Rig) -> None:
    result = rig.pigeon.run("echo out; echo err >&2; exit 9")
    assert (result.stdout, result.stderr, result.code) == (b"out\n", b"err\n", 9)
    assert rig.pigeon.run("kill -TERM $$").code == 143


def test_pipes_are_exact_both_ways(rig: Rig) -> None:
    data = os.urandom(10 * MEBIBYTE)
    result = rig.pigeon.run("cat", stdin=data, timeout_s=100)
    assert result.code == 0
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()


@pytest.mark.long
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_big_pipe_is_exact(rig: Rig, way: str, tmp_path: Path) -> None:
    """100 MB. Only the share is between the two ends."""
    data = os.urandom(100_000_000)
    digest = hashlib.sha256(data).hexdigest()
    if way == "in":
        result = rig.pigeon.run("sha256sum", stdin=data, timeout_s=600)
        assert (result.code, result.stdout.split()[0].decode()) == (0, digest)
        return
    (tmp_path / "data").write_bytes(data)
    result = rig.pigeon.run("cat", str(tmp_path / "data"), timeout_s=600)
    assert (result.code, hashlib.sha256(result.stdout).hexdigest()) == (0, digest)


def test_input_over_several_turns(rig: Rig) -> None:
    client = rig.pigeon.start('while read -r line; do echo "got $line"; done', stdin=subprocess.PIPE)
    for turn in range(5):
        client.type(b"%d\n" % turn)
        wait_until(lambda turn=turn: b"got %d\n" % turn in client.out, 30, f"the answer to turn {turn}")  # type: ignore[misc]
    client.close_stdin()
    assert client.wait().code == 0


def test_a_terminal(rig: Rig) -> None:
    window = rig.pigeon.spawn_tty("bash --norc --noprofile")
    window.wait_for("bash-", timeout_s=30)
    window.type(b"echo $((6*7)); sleep 100\r")
    window.wait_for("42", timeout_s=30)
    window.type(b"\x03")
    window.type(b"exit 5\r")
    assert window.wait(timeout_s=30).code == 5


def test_many_at_once(rig: Rig) -> None:
    pigeon = rig.pigeon
    clients = [pigeon.start(f"echo {n}; exit {n}", cwd=pigeon.directory(f"many{n}")) for n in range(24)]
    for number, client in enumerate(clients):
        result = client.wait(120)
        assert (result.stdout, result.code) == (b"%d\n" % number, number), result.words


def test_two_workers_share_the_work_and_exclude_each_other(rig: Rig) -> None:
    """The second worker sits behind the client's mount: two hosts that serve one namespace."""
    pigeon = rig.pigeon
    notes = Notes(pigeon.base / "notes")
    swapped = pigeon.share
    pigeon.share = Share(swapped.client_path, swapped.client_path)
    second = pigeon.worker(max_jobs=16, journal=pigeon.base / "second.db")
    pigeon.share = swapped
    names = [f"s{n}" for n in range(12)]
    clients = [pigeon.start(notes.text(name)) for name in names]
    for client in clients:
        assert client.wait(120).code == 0
    assert overlapping(notes.intervals(names)) == []
    second.stop()


FAULTS = [
    ("ESTALE", "open", "*/stream.jsonl", {"times": 6}),
    ("EIO", "read", "*/stream.jsonl", {"times": 6}),
    ("ENOENT", "open", "*/stdin.jsonl", {"times": 8}),
    ("ESTALE", "open", "*/control.jsonl", {"times": 6}),
    ("ENOSPC", "write", "*/stream.jsonl", {"times": 5}),
    ("EDQUOT", "flush", "*/stream.jsonl", {"times": 5}),
    ("EIO", "rename", "*/status.json", {"times": 2}),
    ("ENOSPC", "create", "*/.tmp-*", {"times": 3}),
    ("EIO", "flush", "*/stdin.jsonl", {"times": 5}),
    ("EIO", "readdir", "*/sessions", {"times": 5}),
    ("EROFS", "write", "*/stream.jsonl", {"times": 5}),
    ("EACCES", "open", "*/stream.jsonl", {"times": 6}),
    ("EPERM", "open", "*/stdin.jsonl", {"times": 6}),
    ("EACCES", "rename", "*/status.json", {"times": 3}),
]


@pytest.mark.parametrize(
    ("error", "operation", "path", "details"), FAULTS, ids=[f"{f[0]} {f[1]} {f[2]}" for f in FAULTS]
)
def test_a_bad_moment_loses_nothing(
    faulty: Rig, error: str, operation: str, path: str, details: dict[str, int]
) -> None:
    """Errors that pass are carried through: every byte arrives once, in order, and the exit code is the command's."""
    data = os.urandom(300_000)
    client = faulty.pigeon.start("cat; exit 3", stdin=subprocess.PIPE)
    client.type(data[:1000])
    wait_until(lambda: len(client.out) >= 1000, 60, "the first bytes")
    fault = faulty.control.fail(operation, path, error, **details)
    client.type(data[1000:])
    client.close_stdin()
    result = client.wait(90)
    assert (result.code, result.stdout == data) == (3, True), (result.words, len(result.stdout), fault.fired)


@pytest.mark.parametrize("operation", ["link", "rename", "create", "write"])
def test_a_lost_reply_does_nothing_twice(faulty: Rig, operation: str) -> None:
    """The operation was carried out and an error reported: nobody claims, starts or writes twice."""
    notes = Notes(faulty.pigeon.base / "notes")
    faulty.control.lose_reply(operation, "*/sessions/*", times=2, nth=4)
    client = faulty.pigeon.start(notes.text("it", "echo out"))
    result = client.wait(60)
    if result.code == 0:
        assert result.stdout == b"out\n"
        assert len(notes.starts("it")) == 1
    else:  # its own publication failed: told, and nothing ran
        assert result.code == 255 and result.words and not notes.starts("it")


def test_a_publication_that_fails_is_told_and_leaves_nothing(faulty: Rig) -> None:
    faulty.control.fail("flush", "*/stream.jsonl", "EDQUOT", times=50)
    result = faulty.pigeon.run("true")
    assert result.code == 255 and "disk quota exceeded" in result.words
    assert faulty.pigeon.namespace.session_names() == []


def test_a_quota_that_stays_used_up_is_told(faulty: Rig) -> None:
    """A quota does not show in the free space; nobody is given up for it, and nothing is lost."""
    word = "your quota on the shared directory"
    faulty.pigeon.configure(client={"worker_timeout": 10})
    client = faulty.pigeon.start("cat; exit 3", options=("-v",), stdin=subprocess.PIPE)
    client.type(b"one\n")
    wait_until(lambda: client.out == b"one\n", 60, "the first line")
    fault = faulty.control.fail("flush", "*", "EDQUOT", times=1_000_000)
    client.type(b"two\n")
    wait_until(lambda: word in client.err, 30, "what is wrong")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 21, 60, "a time in which a silent owner is given up")
    assert client.running
    fault.remove()
    client.close_stdin()
    result = client.wait(60)
    assert (result.code, result.stdout) == (3, b"one\ntwo\n")
    assert result.words.count(word) == 1
    assert "the shared directory works again" in result.words
    assert "worker lost" not in result.words


def test_a_quota_that_is_used_up_is_found_by_the_doctor(faulty: Rig) -> None:
    faulty.control.fail("flush", "*/doctor-*", "EDQUOT", times=1000)
    result = faulty.pigeon.run("doctor", timeout_s=90)
    assert result.code == 1
    lines = result.stdout.decode().splitlines()
    assert "FAIL  quota        your quota here is used up" in lines
    assert "`pigeon clean`" in lines[lines.index("FAIL  quota        your quota here is used up") + 1]


def test_a_client_that_has_no_room_for_its_last_word_leaves_all_the_same(bare: Rig) -> None:
    """Its session is held up until there is room, and ends then, as one whose client has gone."""
    bare.pigeon.worker(client_timeout=10)
    client, session = bare.pigeon.begin("cat", options=("-v",), stdin=subprocess.PIPE)
    client.type(b"one\n")
    wait_until(lambda: client.out == b"one\n", 60, "the first line")
    fault = bare.control.fail("flush", "*.jsonl", "ENOSPC", times=1_000_000)
    client.type(b"two\n")
    wait_until(lambda: "the shared directory is full" in client.err, 30, "what is wrong")
    client.signal(signal.SIGTERM)
    assert client.wait(15).code == 128 + signal.SIGTERM
    assert session.state == "running"
    fault.remove()
    assert session.wait_final(60)["state"] == "cancelled"


def test_a_client_whose_own_code_lies_on_the_share_leaves_while_all_of_it_hangs(faulty: Rig) -> None:
    """As one in a home directory on the mount that is dead: nothing is imported any more, whatever the user does."""
    code = faulty.pigeon.share.client_path.parent / "code"
    shutil.copytree(ROOT / "pigeon", code / "pigeon", ignore=shutil.ignore_patterns("__pycache__"))
    argv = [sys.executable, "-m", "pigeon", "echo ready; exec sleep 1000"]
    window = faulty.pigeon.spawn_plain(*argv, env={"PYTHONPATH": str(code)})
    window.wait_for("ready", 60)
    stall = faulty.control.stall()
    try:
        window.process.send_signal(signal.SIGUSR1)
        window.type("\x1b[3~")  # Delete, a key that comes as a sequence
        window.type("\r~.")
        assert window.wait(15).code == 255
        assert "hung up" in window.text()
    finally:
        stall.remove()
    assert (
        faulty.pigeon.run("stop", faulty.pigeon.sessions()[-1].id).code == 0
    )  # if nothing has told the runner


def test_a_claim_made_on_the_other_host_is_seen_at_once(bare: Rig) -> None:
    """By a worker that waits with the row of a dead runner, whatever its host has remembered of the name."""
    worker, session = wait_with_a_row(bare.pigeon)
    raw.claim(session)
    raw.put_status(session, "running")
    wait_until_forgotten(bare.pigeon, session)
    assert f"{session.id}: is not ours any more, forgotten" in worker.log


def test_a_stall_of_everything_is_waited_for_and_told(faulty: Rig) -> None:
    client = faulty.pigeon.start("for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done", options=("-v",))
    wait_until(lambda: b"1\n" in client.out, 30, "the first line")
    stall = faulty.control.stall()
    try:
        wait_until(lambda: "has not answered" in client.err, 30, "a word that the share hangs")
    finally:
        stall.remove()
    result = client.wait(60)
    assert (result.stdout, result.code) == (b"1\n2\n3\n4\n5\n6\n", 0), result.words


def test_a_short_write_is_completed(faulty: Rig) -> None:
    data = os.urandom(200_000)
    faulty.control.shorten("write", "*.jsonl", size_bytes=1000, times=20)
    result = faulty.pigeon.run("cat", stdin=data, timeout_s=60)
    assert (result.stdout == data, result.code) == (True, 0)


def test_a_full_share_holds_the_command_up(faulty: Rig) -> None:
    faulty.control.limit_space(1 * MEBIBYTE)
    client = faulty.pigeon.start("head -c 4194304 /dev/zero; echo; exit 4")
    wait_until(lambda: len(client.out) > 100_000, 60, "the output that fits")
    faulty.control.limit_space(None)
    result = client.wait(90)
    assert (len(result.stdout), result.code) == (4 * MEBIBYTE + 1, 4)


def test_clocks_that_disagree_change_nothing(faulty: Rig) -> None:
    """The files' times and the stamps in them are hours off; only what is printed differs."""
    client, session = faulty.pigeon.begin("echo on; sleep 1; echo off")
    for path in Path(session.directory).iterdir():
        os.utime(path, (0, 0))
    assert client.wait(60).stdout == b"on\noff\n"


def test_a_lost_lock_is_told_and_the_command_goes_on(faulty: Rig) -> None:
    """The server has dropped the lock (its client was away for longer than a lease): only reading says so."""
    client, session = faulty.pigeon.begin("echo on; cat; exit 3", stdin=subprocess.PIPE, options=("-v",))
    wait_until(lambda: client.out == b"on\n", 30, "the command's start")
    faulty.control.lose_locks("b")
    # After trouble with the share the lock is looked at soon; without, every 20 s.
    trouble = faulty.control.fail("write", "*/stream.jsonl", "EIO", times=1)
    client.type(b"more\n")
    wait_until(lambda: "the lock of this directory was lost" in client.err, 40, "a word of the loss")
    wait_until(lambda: trouble.fired > 0, 30, "the trouble")
    client.close_stdin()
    result = client.wait(30)
    assert (result.stdout, result.code) == (b"on\nmore\n", 3), result.words
    assert session.state == "failed"
