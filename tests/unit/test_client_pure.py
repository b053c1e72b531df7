"""Escapes, frames, windows and ends: bytes in, decisions out."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pigeon.client import frames
from pigeon.client.outcome import Outcome
from pigeon.client.session import session_end, upstream
from pigeon.client.session.options import Options
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.session_end import SessionEnd
from pigeon.client.session.submit import Submission, is_over, publish
from pigeon.client.session.trouble import ShareTrouble, Told
from pigeon.client.session.upstream import Upstream
from pigeon.client.terminal import escapes, leaving
from pigeon.client.terminal.escapes import Escapes
from pigeon.client.terminal.giveup import presses_in
from pigeon.wire import input_end, share, states
from pigeon.wire.documents import Request
from pigeon.wire.names import Namespace, SessionFiles
from pigeon.wire.states import Status


@pytest.mark.parametrize(
    ("typed", "passed", "actions"),
    [
        (b"~.", b"", [escapes.HANG_UP]),
        (b"x~.", b"x~.", []),
        (b"x\r~.", b"x\r", [escapes.HANG_UP]),
        (b"x\n~d", b"x\n", [escapes.DETACH]),
        (b"~~.", b"~.", []),
        (b"~x", b"~x", []),
        (b"~\x1a", b"", [escapes.SUSPEND]),
        (b"~?~?", b"", [escapes.HELP, escapes.HELP]),
        (b"\r~~\r~.", b"\r~\r", [escapes.HANG_UP]),
    ],
)
def test_escapes(typed: bytes, passed: bytes, actions: list[str]) -> None:
    assert Escapes("~").feed(typed) == (passed, actions)
    one = Escapes("~")
    pieces = [one.feed(bytes([byte])) for byte in typed]
    assert b"".join(p for p, _ in pieces) == passed
    assert [a for _, found in pieces for a in found] == actions


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_without_an_escape_character_everything_passes(pieces: list[bytes]) -> None:
    off = Escapes("")
    assert b"".join(off.feed(piece)[0] for piece in pieces) == b"".join(pieces)


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"~", b"")), max_size=10))
def test_bytes_without_the_character_pass(pieces: list[bytes]) -> None:
    on = Escapes("~")
    pieces = [*pieces, b"x"]  # the end of any key report
    assert b"".join(on.feed(piece)[0] for piece in pieces) == b"".join(pieces)


@pytest.mark.parametrize(
    "pressed", ["~", "\x1b[126u", "\x1b[96:126;2u", "\x1b[96:126;2:1u", "\x1b[27;2;126~"]
)
@pytest.mark.parametrize("enter", ["\r", "\x1b[13u", "\x1b[13;1:1u\x1b[13;1:3u", "\x1b[27;1;13~"])
@pytest.mark.parametrize("silent", ["", "\x1b[96;2:3u", "\x1b[96:126;2:2u\x1b[57441;1:3u", "\x1b[1;1:3A"])
def test_escapes_in_key_reports(pressed: str, enter: str, silent: str) -> None:
    """Also split within the numbers, where no key that is typed ends."""
    dots = {
        ".": escapes.HANG_UP,
        "\x1b[46u": escapes.HANG_UP,
        "\x1b[122;5:1u": escapes.SUSPEND,
        "x": "",
        "\x1b[A": "",
    }
    for dot, action in dots.items():
        typed = f"a{enter}{pressed}{silent}{dot}".encode()
        wanted = (f"a{enter}".encode(), [action]) if action else (typed, [])
        assert Escapes("~").feed(typed) == wanted
        for at in range(1, len(typed)):
            if typed[:at].endswith((b"\x1b", b"\x1b[")):
                continue
            one = Escapes("~")
            pieces = [one.feed(typed[:at]), one.feed(typed[at:])]
            assert (b"".join(p for p, _ in pieces), pieces[0][1] + pieces[1][1]) == wanted, at
    twice = f"{enter}{pressed}{silent}{pressed}.".encode()
    assert Escapes("~").feed(twice) == (f"{enter}{pressed}.".encode(), [])


@given(
    st.lists(st.sampled_from(["~.", "x", "\r", "\x1b", "[", "\x1b[", "1", "99", ";", ":3", "u", "A"])),
    st.data(),
)
def test_keys_arrive_as_typed_wherever_they_are_split(keys: list[str], draw: st.DataObject) -> None:
    typed = "".join(["x", *keys]).replace("\r~", "\r").encode() + b"x"
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(typed)), max_size=5)))
    one = Escapes("~")
    pieces = [one.feed(typed[a:b]) for a, b in zip([0, *cuts], [*cuts, len(typed)], strict=True)]
    if not any(actions for _, actions in pieces):
        assert b"".join(passed for passed, _ in pieces) == typed


@pytest.mark.parametrize("character", ["^]", "^A"])
def test_a_control_character(character: str) -> None:
    byte = bytes([ord(character[1]) - 0x40])
    assert Escapes(character).feed(b"\r" + byte + b".") == (b"\r", [escapes.HANG_UP])
    code = ord(character[1].lower())
    assert Escapes(character).feed(b"\r\x1b[%d;5u." % code) == (b"\r", [escapes.HANG_UP])
    assert escapes.help_text(character).startswith(f"{character}.  ")


@pytest.mark.parametrize(
    ("keys", "presses"),
    [
        (b"\x03", 1),
        (b"\x03\x03", 2),
        (b"\x03x", 0),
        (b"\x1b[99;5u", 1),
        (b"\x1b[99;5:1u\x1b[99;5:3u", 1),
        (b"\x1b[99;69u\x03", 2),
        (b"\x1b[27;5;99~", 1),
        (b"\x1b[99;5:3u", 0),
        (b"\x1b[57442;5u", 0),
        (b"\x1b[99;6u", 0),
        (b"\x1b[99;5ux", 0),
        (b"\x1b", 0),
    ],
)
def test_presses_of_the_interrupt_key(keys: bytes, presses: int) -> None:
    assert presses_in(keys) == presses


def test_frames_survive_a_full_pipe() -> None:
    one, other = frames.pair()
    payloads = [os.urandom(70_000) for _ in range(5)]
    for payload in payloads:
        one.send(frames.KEYS, payload)
    received: list[bytes] = []
    while len(received) < 5:
        arrived = other.receive()
        assert arrived is not None
        received += [payload for _, payload in arrived]
        one.flush()
    assert received == payloads
    os.close(one.writing)
    assert other.receive() is None
    for fd in (one.reading, other.reading, other.writing):
        os.close(fd)


TWO_PROCESSES = """
import os, sys, time
from pigeon.client import frames
from pigeon.client.following import in_two_processes
from pigeon.client.outcome import Outcome
{}
began = time.monotonic()
code = in_two_processes(lambda mine: Outcome(pump(mine)), reads_keyboard=False, speaks=False)
print(code, time.monotonic() - began < {})
"""


def run_two_processes(pump: str, within_s: float = 20.0) -> tuple[list[str], bytes]:
    """What a guardian says of a pump that is defined like this: its code, whether it was quick; and its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_PROCESSES.format(pump, within_s)],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    return done.stdout.decode().split(), done.stderr


def test_a_pump_that_is_slow_to_go_holds_nobody() -> None:
    """It has said its exit code, and nothing more is to come from it."""
    pump = """
def pump(mine):
    ends = os._exit
    os._exit = lambda code: (os.close(1), os.close(2), time.sleep(4), ends(code))
    return 7
"""
    assert run_two_processes(pump, 3.0) == (["7", "True"], b"")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("return 3", "3", b""),
        ("os._exit(4)", "4", b""),
        (
            "os.kill(os.getpid(), 9)",
            "255",
            leaving.PUMP_KILLED % 9,
        ),
    ],
)
def test_how_a_pump_can_end(words: str, code: str, said: bytes) -> None:
    assert run_two_processes(f"def pump(mine):\n    {words}\n") == ([code, "True"], said)


def test_nothing_that_a_pump_has_said_is_lost() -> None:
    """More than a pipe holds at a time."""
    pump = """
def pump(mine):
    mine.send(frames.MESSAGE, b"x" * 3_000_000 + b"\\n")
    return 5
"""
    (code, _), said = run_two_processes(pump)
    assert (code, len(said)) == ("5", 3_000_001)


@pytest.fixture
def session(tmp_path: Path) -> SessionFiles:
    """The files of a session that is there, and in which nothing stands yet."""
    namespace = Namespace(str(tmp_path), "test")
    files = namespace.session("1700000000000-0123456789ab")
    Path(files.directory).mkdir(parents=True)
    Path(files.stdin()).touch(0o600)
    Path(files.control()).touch(0o600)
    Path(files.claim).write_text("worker_host=x\nworker_pid=1\nfeatures=ack\n")
    return files


@pytest.fixture
def written(session: SessionFiles, tmp_path: Path) -> Upstream:
    """The writer of its client."""
    request = Request(session.session_id, ["true"], "/")
    submission = Submission(Namespace(str(tmp_path), "test"), session, request)
    peer = OwnerState(submission, claim_timeout_s=1, worker_timeout_s=1)
    return Upstream(session, peer, Options(), 0, 0.0)


def test_what_can_never_be_read_is_known_to_be_over(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for place, expected in ((os.devnull, True), ("/dev/zero", False), (tmp_path / "empty", False)):
        fd = os.open(place, os.O_RDONLY)
        assert is_over(fd) is expected, place
        os.close(fd)
    reading, writing = os.pipe()
    assert not is_over(reading)
    os.write(writing, b"x")
    os.close(writing)
    assert not is_over(reading)  # what was written is still to be read
    os.read(reading, 1)
    assert is_over(reading)
    os.close(reading)


def test_an_end_of_input_that_was_published_is_not_written_again(tmp_path: Path) -> None:
    cache = tmp_path / "share"
    cache.mkdir(mode=0o700)
    request = Request("1700000000000-0123456789ab", ["true"], "/")
    line = input_end.stdin_eof_line(0)
    submission = publish(share.enter(str(cache), "test", make=True), request, line)
    peer = OwnerState(submission, claim_timeout_s=1, worker_timeout_s=1)
    client = Upstream(submission.session, peer, Options(), 0, 0.0)
    client.ended_before(submission.input_bytes)
    assert not client.wants_input()
    client.end()
    assert not client.write(1.0, (0, 0))  # nor is a heartbeat due so soon
    assert Path(submission.session.stdin()).read_bytes() == line
    assert Path(submission.session.control()).read_bytes() == b""
    assert client.write(10.0, (0, 0))
    assert b"heartbeat" in Path(submission.session.control()).read_bytes()


@pytest.mark.parametrize("started", [False, True])
def test_keys_beyond_the_window_wait(
    written: Upstream, monkeypatch: pytest.MonkeyPatch, started: bool
) -> None:
    monkeypatch.setattr(upstream, "KEYBOARD_BYTES", 10_000)
    written.is_started = started
    for _ in range(10):
        written.type(bytes(3000))
    written.type(b"")
    held = written.input.end
    assert 10_000 <= held < 15_000
    written.write(0.0, (0, 0))
    assert written.due(1.0) == [4.0]
    written._peer.input_taken(held)
    assert written.due(1.0) == [4.0, -1.0]
    written.write(1.0, (0, 0))
    assert 20_000 <= written.input.end < 26_000
    written._peer.input_taken(10**9)
    written.write(2.0, (0, 0))
    assert written.has_ended
    assert written.passed_bytes == 30_000


def test_an_older_worker_gets_all_keys(written: Upstream, session: SessionFiles) -> None:
    Path(session.claim).write_text("worker_host=x\nworker_pid=1\n")
    written.is_started = True
    written.input.put(b"x" * (upstream.KEYBOARD_BYTES + 1))
    written.type(b"key")
    assert written.passed_bytes == 3


def told(session: SessionFiles, state: str, **fields: object) -> None:
    """Publish a status."""
    status = Status(session.session_id, state, created_at="")
    for name, value in fields.items():
        setattr(status, name, value)
    Path(session.status).write_bytes(status.encode())
    Path(session.status).chmod(0o600)


def outcome_at(one: SessionEnd, now: float, **changes: bool | int) -> Outcome | None:
    """What it says, all printed and read, unless changed."""
    return one.due(now, **{"printing": False, "read_bytes": 100, "is_quiet": True, **changes})  # type: ignore[arg-type]


def test_an_exit_event_decides(session: SessionFiles) -> None:
    one = SessionEnd(session, 0.0)
    Path(session.takeover).touch()  # cannot matter: the owner has just been heard
    one.exited(Outcome(3), 5.0)
    told(session, states.FAILED, exit_code=255, ended_by="takeover", error="lost")
    assert one.look(10.0, started=True, silence_s=0.0) == states.FAILED
    assert outcome_at(one, 10.0, printing=True) is None
    found = outcome_at(one, 10.0)
    assert found is not None
    assert (found.code, found.message, found.abnormal) == (3, "", False)


def exited_behind_a_takeover(session: SessionFiles) -> SessionEnd:
    """With code 3, 5 s after the start, and another worker has claimed to give the session its end."""
    one = SessionEnd(session, 0.0)
    one.joined()
    Path(session.takeover).touch()
    one.exited(Outcome(3), 5.0)
    return one


def test_an_exit_event_behind_a_takeover_does_not(session: SessionFiles) -> None:
    one = exited_behind_a_takeover(session)
    assert outcome_at(one, 5.0) is None
    told(session, states.FAILED, exit_code=255, ended_by="takeover", error="lost")
    assert one.look(5.0, started=True, silence_s=0.0) == states.FAILED
    found = outcome_at(one, 5.0)
    assert found is not None
    assert (found.code, found.message, found.abnormal) == (255, "pigeon: lost", True)


def test_a_takeover_that_nobody_finishes_is_not_waited_for(session: SessionFiles) -> None:
    one = exited_behind_a_takeover(session)
    assert outcome_at(one, 4.9 + session_end.DOUBT_S) is None
    found = outcome_at(one, 5.1 + session_end.DOUBT_S)
    assert found is not None and found.code == 3


def test_a_status_by_the_runner_itself_agrees_with_its_exit_event(session: SessionFiles) -> None:
    one = exited_behind_a_takeover(session)
    told(session, states.FAILED, exit_code=3, error="exit code 3")
    one.look(5.0, started=True, silence_s=0.0)
    found = outcome_at(one, 5.0)
    assert found is not None
    assert (found.code, found.message, found.abnormal) == (3, "", False)


def test_a_status_alone_is_believed_when_all_is_read(session: SessionFiles) -> None:
    one = SessionEnd(session, 0.0)
    told(session, states.FAILED, exit_code=9)
    assert one.look(0.1, started=True, silence_s=0.0) == ""
    assert one.look(1.0, started=True, silence_s=0.0) == states.FAILED
    for changes in ({"printing": True}, {"is_quiet": False}):
        assert outcome_at(one, 1.0, **changes) is None
    found = outcome_at(one, 1.0)
    assert found is not None and found.code == 9


def test_how_often_the_status_is_looked_at(session: SessionFiles) -> None:
    """The budget of an idle session: 40 visits a second after a minute, 12 after ten."""
    for silence_s, looks in ((60.0, 1.0), (600.0, 0.5)):
        one = SessionEnd(session, 0.0)
        one.started(0.0)
        times = []
        for step in range(1, 1000):
            before = one.next_look
            one.look(step / 10, started=True, silence_s=silence_s)
            times += [step / 10] * (one.next_look != before)
        assert len(times) / 100 <= looks * 1.05


def test_one_trouble_is_told_once_though_reading_and_writing_fail() -> None:
    said: list[str] = []
    told = Told(said.append)
    reading, writing = ShareTrouble("/share/x", told), ShareTrouble("/share/x", told)
    for now in (0.0, 4.0, 5.0):
        reading.began(OSError(errno.EIO, "Input/output error"), now)
        writing.began(OSError(errno.EIO, "Input/output error"), now)
    assert len(said) == 1
    reading.over()
    assert len(said) == 1
    writing.over()
    assert said[1:] == ["the shared directory works again"]
    for now in (10.0, 14.0):  # these are two
        reading.began(OSError(errno.EIO, "Input/output error"), now)
        writing.began(OSError(errno.ENOSPC, "No space left on device"), now)
    assert len(said) == 4


def test_a_share_that_is_gone_for_good_is_given_up() -> None:
    """One that is not there; what does not answer is waited for."""
    told: list[str] = []
    trouble = ShareTrouble("/share/x", Told(told.append))
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "/share/x/stream.jsonl")
    for now in (0.0, 4.0, 299.0):
        trouble.began(gone, now)
    assert len(told) == 1
    with pytest.raises(Outcome) as raised:
        trouble.began(gone, 301.0)
    assert "`/share/x/stream.jsonl`: No such file" in raised.value.message
    trouble.over()
    for now in (400.0, 4000.0):
        trouble.began(OSError(errno.EIO, "Input/output error"), now)
