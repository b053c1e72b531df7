"""Detach and attach: `--detach`, `--keep`, `~d`, taking over, watching."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from pigeon.client import frames
from pigeon.client.outcome import Outcome
from pigeon.client.session import replay
from pigeon.client.session.guardian_front import GuardianFront
from pigeon.client.session.options import Options
from pigeon.wire.names import SessionFiles
from pigeon.wire.stream import output_line
from pigeon.wire.tail import StreamReader
from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, state_of
from tests.helpers.share import Session
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import wait_until

ECHO = 'stty size; while read -r line; do echo "got [$line]"; case $line in end) exit 6;; esac; done'


def detached(pigeon: Pigeon, *words: str, options: tuple[str, ...] = ()) -> Session:
    """A session that `--detach` has started, once its command runs."""
    result = pigeon.run(*words, options=("--detach", *options))
    assert (result.code, result.stderr) == (0, b"")
    session = Session(pigeon.namespace.root / "sessions" / result.stdout.decode().strip())
    session.wait_event("started")
    return session


def test_detached_from_the_start_and_attached_later(warm: Pigeon) -> None:
    session = detached(warm, "echo early; " + ECHO)
    wait_until(lambda: b"early" in session.output(), 15, "the output")
    window = warm.spawn_tty("attach", session.id, size=(93, 31))
    window.wait_for("early")
    session.wait_event("attached")
    window.type("hello\r")
    window.wait_for("got [hello]")
    window.type("end\r")
    window.wait_for("got [end]")
    assert window.wait().code == 6
    assert window.settings() == window.settings_before


def test_a_detached_command_needs_nobody(warm: Pigeon) -> None:
    session = detached(warm, "echo done > made; exit 5")
    status = session.wait_final()
    assert (status["state"], status["exit_code"]) == ("failed", 5)
    assert (warm.work / "made").read_text() == "done\n"
    late = warm.run("attach", session.id)
    assert late.code == 255
    assert f"pigeon logs {session.id}" in late.words


def test_detached_on_pipes_there_is_no_input(warm: Pigeon) -> None:
    result = warm.run("cat; echo made > made; exit 4", options=("--detach", "-T"))
    session = Session(warm.namespace.root / "sessions" / result.stdout.decode().strip())
    assert session.wait_final(20)["exit_code"] == 4
    assert (warm.work / "made").read_text() == "made\n"


def test_detaching_and_coming_back(warm: Pigeon) -> None:
    window = warm.spawn_tty(ECHO)
    window.wait_for("24 80")
    session = warm.sessions()[-1]
    window.type("one\r")
    window.wait_for("got [one]")
    window.type("~d")
    assert window.wait(10).code == 0
    assert f"pigeon attach {session.id}" in window.text().replace("\n", "")
    assert window.settings() == window.settings_before
    session.wait_state("running")
    back = warm.spawn_tty("attach", session.id)
    back.wait_for("got [one]")
    session.wait_event("attached")
    back.type("two\r")
    back.wait_for("got [two]")
    back.type("~d")
    assert back.wait(10).code == 0
    third = warm.spawn_tty("attach", session.id.partition("-")[2])
    third.wait_for("got [two]")
    wait_until(lambda: session.events().count("attached") == 2 or third.pump(), 15, "the second attachment")
    third.type("end\r")
    assert third.wait().code == 6


@pytest.mark.parametrize("how", ["window", "killed"])
def test_a_kept_session_outlives_its_client(warm: Pigeon, how: str) -> None:
    """`--keep`: the window is closed, or both of the client's processes are killed; a REPL is where it was left."""
    first = warm.spawn_tty("python3 -q", options=("--keep",))
    first.wait_for(">>>")
    session = warm.sessions()[-1]
    first.type("answer = 6 * 7\r")
    first.wait_for(lambda text: text.rstrip().endswith(">>>") and "answer" in text)
    if how == "window":
        first.hang_up()
    else:
        kill_client(first)
    first.process.wait(20)
    back = warm.spawn_tty("attach", session.id)
    session.wait_event("attached")
    back.type("print('it is', answer)\r")
    back.wait_for("it is 42")
    back.type("exit(9)\r")
    assert back.wait().code == 9


def test_an_editor_is_left_as_it_was_by_a_killed_client(warm: Pigeon) -> None:
    """`pigeon --keep vim`: both halves of the client are killed; what was typed is there, and the screen is drawn."""
    path = warm.work / "letter"
    first = warm.spawn_tty("vim", "-u", "NONE", "-i", "NONE", "-N", "letter", options=("--keep",))
    first.wait_for(lambda screen: screen.count("\n~") > 10)
    session = warm.sessions()[-1]
    first.type("ifirst line\rsecond")
    first.wait_for("second")
    kill_client(first)
    back = warm.spawn_tty("attach", session.id, size=(70, 19))
    back.wait_for(lambda screen: "first line\nsecond" in screen and screen.count("\n~") == 16)
    session.wait_event("attached")
    back.type(" line")  # vim is still in insert mode
    back.wait_for("second line")
    back.type("\x1b:wq\r")
    assert back.wait().code == 0
    assert path.read_text() == "first line\nsecond line\n"
    assert back.settings() == back.settings_before
    status = session.status
    assert (status["state"], status["exit_code"]) == ("succeeded", 0)


def test_the_second_takes_over_and_the_first_says_so(warm: Pigeon) -> None:
    first = warm.spawn_tty(ECHO)
    first.wait_for("24 80")
    session = warm.sessions()[-1]
    second = warm.spawn_tty("attach", session.id)
    second.wait_for("24 80")
    wait_until(lambda: first.pump() or not first.running, 15, "the end of the first")
    assert first.wait().code == 0
    assert "attached to from elsewhere" in first.text()
    assert first.settings() == first.settings_before
    second.type("mine\r")
    second.wait_for("got [mine]")
    third = warm.spawn_tty("attach", session.id)
    third.wait_for("got [mine]")
    wait_until(lambda: second.pump() or not second.running, 15, "the end of the second")
    assert second.wait().code == 0
    third.type("end\r")
    assert third.wait().code == 6
    names = sorted(name for name in os.listdir(session.directory) if name.startswith("stdin"))
    assert names == ["stdin.1.jsonl", "stdin.2.jsonl", "stdin.jsonl"]


def is_raw(window: Terminal) -> bool:
    """Whether pigeon has made the window's terminal raw."""
    return window.settings() != window.settings_before


def test_one_that_only_watches(warm: Pigeon) -> None:
    """It sees everything, changes nothing, and leaves with the session or on its own."""
    owner = warm.spawn_tty(ECHO)
    owner.wait_for("24 80")
    session = warm.sessions()[-1]
    watcher = warm.spawn_tty("attach", "--read-only", session.id, size=(70, 20))
    leavers = {
        keys: warm.spawn_tty("attach", "-r", session.id) for keys in ("~.", "~d", "\x03", "\x1b[99;5u")
    }
    for window in (watcher, *leavers.values()):
        window.wait_for("24 80")
    watcher.type("not mine\r")
    for keys, leaver in leavers.items():
        wait_until(partial(is_raw, leaver), 15, "raw mode")
        leaver.type(keys)
        assert leaver.wait(10).code == 0
        assert "pigeon: stopped watching; the session goes on" in leaver.text()
        assert leaver.settings() == leaver.settings_before
    owner.type("mine\r")
    for window in (owner, watcher):
        window.wait_for("got [mine]")
    owner.type("end\r")
    assert owner.wait().code == 6
    assert watcher.wait().code == 6
    assert "not mine" not in watcher.text() + owner.text()
    assert not any(name.startswith("control.1") for name in os.listdir(session.directory))


def test_leaving_while_the_output_so_far_is_read(warm: Pigeon) -> None:
    """Ctrl-C ends the attacher, not the command; nothing has been claimed."""
    (warm.work / "much").write_bytes(b"\x1b[1;2H\x1b[31mred\x1b[m " * 800_000)
    session, window, pump = half_read(warm)
    window.type("\x03")
    window.wait_for("^C")
    os.kill(pump, signal.SIGCONT)
    assert window.wait(10).code == 130
    assert "left before it was attached" in window.text()
    assert not any(name.startswith("control.1") for name in os.listdir(session.directory))
    assert session.state == "running"
    assert warm.run("stop", session.id).code == 0


def half_read(pigeon: Pigeon) -> tuple[Session, Terminal, int]:
    """A session, an attacher that has read a part of its output, and its process that reads: that one is stopped.

    It reads a megabyte in some milliseconds; where this process got no processor in time, another one is tried.
    """
    for _ in range(20):
        made = pigeon.work / "made"
        made.unlink(missing_ok=True)
        session = detached(pigeon, "cat much; touch made; exec sleep 60")
        wait_until(made.exists, 30, "the output")
        size = sum(path.stat().st_size for path in session.directory.glob("stream.*"))
        window = pigeon.spawn_tty("attach", session.id)
        pump = stop_the_reader(window, 2_000_000)
        if read_by(pump) < size:
            return session, window, pump
        kill_client(window)
        assert pigeon.run("stop", session.id).code == 0
    raise AssertionError("each had read all of it before it could be stopped")


def stop_the_reader(window: Terminal, count: int) -> int:
    """Stop the half of a client that works on the share once it has read so much; its pid."""
    window.wait_true(lambda: children_of(window.process.pid))
    (pump,) = children_of(window.process.pid)
    wait_until(lambda: read_by(pump) >= count, 30, "a part of the output", interval_s=0.0)
    os.kill(pump, signal.SIGSTOP)
    wait_until(lambda: state_of(pump) == "T", 15, "its stop")
    return pump


def read_by(pid: int) -> int:
    """How many bytes a process has read."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError(f"no `rchar` of {pid}")


@pytest.mark.parametrize(
    ("frame", "code"),
    [((frames.SIGNAL, b"15"), 143), ((frames.HANG_UP, b""), 255), ((frames.DETACH, b""), 0)],
)
def test_what_is_heard_while_the_output_so_far_is_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    frame: tuple[bytes, bytes],
    code: int,
) -> None:
    """After a stay in the background it goes on, and says what it is doing; then the user leaves."""
    monkeypatch.setattr(replay, "READING_S", 0.0)
    session = SessionFiles(str(tmp_path), "1700000000000-0123456789ab")
    path = tmp_path / "stream.jsonl"
    path.write_bytes(b"".join(output_line(n, "pty", bytes(32768)) for n in range(100)))
    guardian, mine = frames.pair()
    options = Options()
    options.speaks = True
    reader = replay.Reader(GuardianFront(mine, options), options, str(path))
    guardian.send(frames.KEYS, b"typed ahead")
    guardian.send(frames.SUSPEND)
    guardian.send(frames.SIZE, b"50 20")
    guardian.send(frames.RESUME)
    pieces = 0

    def hear() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            guardian.send(*frame)
        reader.hear()

    with pytest.raises(Outcome) as raised:
        replay.replay(StreamReader(session), hear=hear)
    assert (pieces, raised.value.code, options.window) == (3, code, (50, 20))
    assert guardian.receive() == [(frames.SUSPENDED, b"")]
    assert capfd.readouterr().err == "pigeon: reading 3 MB of output so far\n"
    frames.close(guardian)
    frames.close(mine)


def test_a_full_screen_program_is_drawn_again(warm: Pigeon) -> None:
    path = warm.work / "file"
    path.write_text("first line\n\tsecond\n")
    words = ("vim", "-u", "NONE", "-i", "NONE", "-N", "file")
    window = warm.spawn_tty(*words)
    window.wait_for(lambda screen: screen.count("\n~") > 10)
    window.type("Othe new one\x1b")
    window.wait_for("the new one")
    window.wait_still(0.3)
    drawn = window.emulator.cells()
    session = warm.sessions()[-1]
    window.type("\r~d")
    assert window.wait(10).code == 0
    assert "\x1b[?1049l" in window.raw.decode("utf-8", "replace"), "the alternate screen is left"
    back = warm.spawn_tty("attach", session.id)
    back.wait_for(lambda screen: "the new one" in screen and screen.count("\n~") > 10)
    session.wait_event("attached")
    back.wait_still(0.5)
    assert back.emulator.cells()[0] == drawn[0]
    other = warm.spawn_tty("attach", session.id, size=(60, 20))
    other.wait_for(lambda screen: "the new one" in screen and screen.count("\n~") > 10)
    wait_until(lambda: other.pump() or session.events().count("attached") == 2, 15, "the takeover")
    other.type("\x1b:wq\r")
    assert other.wait().code == 0
    assert path.read_text() == "the new one\nfirst line\n\tsecond\n"
    assert other.settings() == other.settings_before


def kill_client(window: Terminal) -> None:
    """SIGKILL to both halves, first to the one that could still say something."""
    pid = window.process.pid
    for victim in [*children_of(pid), pid]:
        os.kill(victim, signal.SIGKILL)
    window.process.wait()


@pytest.mark.slow
def test_clients_and_attachers_that_die(pigeon: Pigeon) -> None:
    """A kept session goes on and can be attached to; another is hung up, also when an attacher was the last."""
    pigeon.worker(client_timeout=10)
    kept = pigeon.spawn_tty(ECHO, options=("--keep",), cwd=pigeon.directory("kept"))
    kept.wait_for("24 80")
    other = pigeon.spawn_tty("echo ready; exec sleep 60", cwd=pigeon.directory("other"))
    other.wait_for("ready")
    keeps, hangs = pigeon.sessions()
    attacher = pigeon.spawn_tty("attach", hangs.id)
    hangs.wait_event("attached")
    for window in (kept, attacher):
        kill_client(window)
    wait_until(lambda: other.pump() or not other.running, 15, "the end of the first client")
    assert hangs.wait_final(40)["state"] == "cancelled"
    keeps.wait_event("client_lost", 30)
    keeps.wait_state("running")
    back = pigeon.spawn_tty("attach", keeps.id)
    back.wait_for("24 80")
    keeps.wait_event("attached")
    back.type("end\r")
    assert back.wait().code == 6


def test_attaching_without_a_terminal_shows_the_output_and_the_code(warm: Pigeon) -> None:
    gate = warm.work / "gate"
    gate.touch()
    client, session = warm.begin(f"echo one; while [ -e {gate} ]; do sleep 0.02; done; echo two; exit 4")
    wait_until(lambda: client.out == b"one\n", 15, "the first line")
    child = warm.start("attach", session.id)
    assert client.wait().code == 0
    wait_until(lambda: child.out == b"one\n", 15, "the first line again")
    gate.unlink()
    assert child.wait() == (b"one\ntwo\n", b"", 4)


@pytest.mark.parametrize("options", [(), ("--read-only",)])
def test_what_cannot_be_attached_to(pigeon: Pigeon, options: tuple[str, ...]) -> None:
    waits = raw.publish(pigeon)
    refused = pigeon.run("attach", *options, waits.id)
    assert refused.code == 255
    assert "has not been started yet" in refused.words
    assert pigeon.run("attach", *options, "nothing").code == 1
    if not options:
        old = raw.publish(pigeon)
        raw.claim(old)
        raw.put_status(old, "running")
        refused = pigeon.run("attach", old.id)
        assert refused.code == 255
        assert "--read-only" in refused.words
    assert not any("." in name.removesuffix(".jsonl") and "1" in name for name in os.listdir(waits.directory))


def test_a_program_on_the_main_screen_is_shown_with_its_scrollback(warm: Pigeon) -> None:
    """Lines that have scrolled away, then a frame that is drawn again and again by relative movements."""
    text = (
        "seq -f 'line %.0f' 3000; for i in $(seq 400); do printf 'spin %04d\\nframe\\n\\033[2A' $i; done;"
        " printf '\\n\\n'; touch spun; read -r x; echo got $x"
    )
    plain = warm.spawn_plain("bash", "-c", text)
    plain.wait_for("spin 0400")
    plain.wait_true(lambda: (warm.work / "spun").exists())
    (warm.work / "spun").unlink()
    session = detached(warm, text)
    wait_until(lambda: (warm.work / "spun").exists(), 30, "the last frame")
    back = warm.spawn_tty("attach", session.id)
    back.wait_for("spin 0400")
    session.wait_event("attached")
    assert b"line 1\r\nline 2\r\n" in back.raw
    for window in (plain, back):
        window.type("end\r")
        assert window.wait(20).code == 0
    shown = [window.text().replace("end\n", "") for window in (plain, back)]
    assert shown[0] == shown[1]
