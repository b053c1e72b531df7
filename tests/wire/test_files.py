"""Writing and reading real files: each step happened or did not, whatever fails in between."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from pigeon.errors import DamagedSession
from pigeon.wire import claim, files
from pigeon.wire.files import Appender, Refused
from pigeon.wire.names import SessionFiles
from pigeon.wire.records import heartbeat_line, stdin_line
from pigeon.wire.stream import output_line
from pigeon.wire.tail import Tail


def test_modes_are_private(session: SessionFiles) -> None:
    files.create(session.stream)
    files.replace(session.status, b"{}")
    for path in (session.stream, session.status):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(session.directory).st_mode) == 0o700


def test_replace_leaves_nothing_behind(session: SessionFiles) -> None:
    files.replace(session.status, b"one")
    files.replace(session.status, b"two")
    assert os.listdir(session.directory) == ["status.json"]
    assert files.read(session.status, 100) == b"two"


def test_replace_that_fails_keeps_the_old_file(session: SessionFiles) -> None:
    os.mkdir(session.status)
    with pytest.raises(OSError):
        files.replace(session.status, b"new")
    assert os.listdir(session.directory) == ["status.json"]


def test_read_has_a_limit(session: SessionFiles) -> None:
    files.create(session.request, b"x" * 200_000)
    assert len(files.read(session.request, 200_000)) == 200_000
    with pytest.raises(OSError) as caught:
        files.read(session.request, 199_999)
    assert caught.value.errno == errno.EFBIG


def make_symlink(path: str) -> None:
    os.symlink("/etc/passwd", path)


def make_fifo(path: str) -> None:
    os.mkfifo(path, 0o600)


def make_directory(path: str) -> None:
    os.mkdir(path)


def make_writable(path: str) -> None:
    files.create(path)
    os.chmod(path, 0o620)


def make_device(path: str) -> None:
    os.symlink("/dev/zero", path)


@pytest.mark.parametrize("make", [make_symlink, make_fifo, make_directory, make_writable, make_device])
def test_what_no_peer_makes_is_refused(session: SessionFiles, make: object) -> None:
    assert callable(make)
    make(session.request)
    with pytest.raises(Refused):
        files.read(session.request, 1000)
    with pytest.raises(Refused):
        Tail(session.request, ()).poll()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_foreign_files_are_refused(session: SessionFiles) -> None:
    files.create(session.request, b"{}")
    os.chown(session.request, 65534, -1)
    with pytest.raises(Refused, match="belongs to uid 65534"):
        files.read(session.request, 1000)


def test_a_second_name_is_refused_where_it_matters(session: SessionFiles) -> None:
    files.create(session.request, b"{}")
    os.link(session.request, f"{session.directory}/other")
    assert files.read(session.request, 10) == b"{}"
    with pytest.raises(Refused, match="more than one name"):
        files.read(session.request, 10, one_link=True)


def test_appending_never_creates(session: SessionFiles) -> None:
    appender = Appender(session.stream)
    appender.put(b"x\n")
    with pytest.raises(FileNotFoundError):
        appender.flush()
    assert appender.queued_bytes == 2, "kept for the next attempt"


def test_an_append_that_failed_is_overwritten_by_its_repetition(session: SessionFiles) -> None:
    """What a failed write left (a part, or all of it) is never followed by a second copy."""
    files.create(session.stream)
    appender = Appender(session.stream)
    appender.put(heartbeat_line())
    appender.flush()
    first = files.read(session.stream, 1000)
    line = output_line(0, "stdout", b"payload")
    appender.put(line)
    with open(session.stream, "r+b") as file:  # a write that reported an error but left half of its bytes
        file.seek(len(first))
        file.write(line[: len(line) // 2])
    appender.flush()
    assert files.read(session.stream, 1000) == first + line


def test_tail_reads_whole_lines_only(session: SessionFiles) -> None:
    files.create(session.stream)
    tail = Tail(session.stream, ("output",))
    line = output_line(0, "pty", b"hello")
    for end in range(1, len(line)):
        with open(session.stream, "wb") as file:
            file.write(line[:end])
        assert tail.poll() == []
        assert tail.grew
    with open(session.stream, "wb") as file:
        file.write(line)
    assert [r["type"] for r in tail.poll()] == ["output"]
    assert tail.offset == len(line)
    assert tail.poll() == [] and not tail.grew


def test_tail_stops_before_nul_bytes(session: SessionFiles) -> None:
    files.create(session.stream)
    lines = [output_line(n, "pty", b"x" * 50) for n in range(3)]
    whole = b"".join(lines)
    hole = bytearray(whole)
    hole[len(lines[0]) + 10 : len(lines[0]) + 40] = bytes(30)
    Path(session.stream).write_bytes(bytes(hole))
    tail = Tail(session.stream, ("output",))
    assert len(tail.poll()) == 1
    assert tail.poll() == []
    Path(session.stream).write_bytes(whole)
    assert len(tail.poll()) == 2


def test_damage_is_told_after_what_stands_before_it(session: SessionFiles) -> None:
    good = output_line(0, "pty", b"x")
    files.create(session.stream, good + b"garbage\n")
    tail = Tail(session.stream, ("output",))
    assert len(tail.poll()) == 1
    with pytest.raises(DamagedSession) as caught:
        tail.poll()
    assert caught.value.offset == len(good)
    assert caught.value.path == session.stream


@pytest.mark.parametrize("second", [0, 2, -1])
def test_a_gap_or_repetition_in_seq_is_damage(session: SessionFiles, second: int) -> None:
    files.create(session.stdin(), stdin_line(0, b"x") + stdin_line(second, b"y"))
    tail = Tail(session.stdin(), ("stdin", "stdin_eof"))
    assert len(tail.poll()) == 1
    with pytest.raises(DamagedSession, match="expected seq 1"):
        tail.poll()


def test_a_payload_that_is_none_is_named_as_such_at_each_look(session: SessionFiles) -> None:
    bad = b'{"channel":"pty","data_b64":"@@@","seq":1,"type":"output"}\n'
    files.create(session.stream, output_line(0, "pty", b"hi") + bad)
    tail = Tail(session.stream, ("output",))
    assert len(tail.poll()) == 1
    for _ in range(2):
        with pytest.raises(DamagedSession, match="payload"):
            tail.poll()


def test_unknown_types_and_fields_are_passed_over(session: SessionFiles) -> None:
    files.create(session.stream, b'{"type":"future","x":1}\n' + output_line(0, "pty", b"x"))
    assert len(Tail(session.stream, ("output",)).poll()) == 2


def test_a_long_line_is_read_in_one_piece(session: SessionFiles) -> None:
    line = output_line(0, "pty", os.urandom(3_000_000))
    files.create(session.stream, line)
    assert len(Tail(session.stream, ("output",)).poll()) == 1


def test_one_winner_among_many_claimants(session: SessionFiles) -> None:
    """Rivals start behind a barrier; whoever wins, all agree on him, and nothing else is left."""
    barrier = threading.Barrier(8)
    won: list[int] = []

    def rival(number: int) -> None:
        text = claim.worker_claim("host", number, f"w{number}", f"{number:032x}")
        barrier.wait(10)
        if claim.try_claim(session, f"{number:032x}", text):
            won.append(number)

    threads = [threading.Thread(target=rival, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1
    assert claim.read_claim(session).worker_id == f"w{won[0]}"
    assert os.listdir(session.directory) == ["worker.claim"]


def test_a_repeated_claim_knows_its_own(session: SessionFiles) -> None:
    text = claim.worker_claim("host", 1, "w", "t" * 32)
    assert claim.try_claim(session, "t" * 32, text)
    assert claim.try_claim(session, "t" * 32, text), "the reply to the first attempt was lost"
    assert not claim.try_claim(session, "u" * 32, claim.withdrawal("host", 2, "u" * 32))


def test_a_claim_that_broke_off_is_made_again(session: SessionFiles) -> None:
    text = claim.worker_claim("host", 1, "w", "t" * 32)
    files.create(f"{session.directory}/.claim-{'t' * 32}", text[:5])
    assert claim.try_claim(session, "t" * 32, text)
    assert claim.read_claim(session).features == {"heartbeat", "ack", "attach", "bulk"}


def test_an_empty_or_foreign_claim_is_not_ours(session: SessionFiles) -> None:
    files.create(session.claim)
    assert not claim.try_claim(session, "t" * 32, claim.worker_claim("host", 1, "w", "t" * 32))
    assert claim.read_claim(session).pairs == {}
