"""`pigeon net CMD` seems to be CMD: its exit code, signals, terminal, job control. No network is needed for that."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.surroundings import PIGEON
from tests.helpers.waiting import wait_until


@pytest.fixture
def place(pigeon: Pigeon) -> Iterator[dict[str, str | None]]:
    """For the sockets of this test; short, as their names must be."""
    with tempfile.TemporaryDirectory(prefix="pgn-", dir="/tmp") as path:
        yield {"XDG_RUNTIME_DIR": path}


@pytest.mark.parametrize("option", ["--no-catch", "--no-env"])
@pytest.mark.parametrize(
    ("text", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_its_end_is_the_commands(
    pigeon: Pigeon, place: dict[str, str | None], option: str, text: str, code: int
) -> None:
    done = pigeon.run("net", option, "sh", "-c", text, env=place)
    assert done.code == code, done.words
    assert (done.returncode < 0) == (code > 128 and code != 255)


def test_output_input_and_words_are_the_commands(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    done = pigeon.run(
        "net", "sh", "-c", 'cat; echo "$@" >&2', "x", "--status", "-L", stdin=b"in\n", env=place
    )
    assert (done.code, done.stdout, done.stderr) == (0, b"in\n", b"--status -L\n")
    done = pigeon.run("net", "--", "echo", "--json", env=place)
    assert done.stdout == b"--json\n"


@pytest.mark.parametrize(
    ("words", "code"), [(("/nowhere/x",), 127), (("nosuch",), 127), (("/etc/passwd",), 126), ((), 2)]
)
def test_what_cannot_be_run(
    pigeon: Pigeon, place: dict[str, str | None], words: tuple[str, ...], code: int
) -> None:
    done = pigeon.run("net", *words, env=place)
    assert done.code == code
    assert done.words.startswith("pigeon: ")


def test_a_bad_port_is_told_before_the_command_starts(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    done = pigeon.run("net", "-D", "127.0.0.1:99999", "touch", "x", env=place)
    assert done.code == 2 and not (pigeon.work / "x").exists()
    done = pigeon.run("net", "-L", "[::2]:0:a:1", "-g", "touch", "x", env=place)
    assert done.code == 255 and "cannot listen there" in done.words and not (pigeon.work / "x").exists()


def test_a_signal_to_it_alone_reaches_the_command(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    text = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    child = pigeon.start("net", "bash", "-c", text, env=place)
    wait_until(lambda: b"ready" in child.out, 15, "the command")
    child.signal(signal.SIGTERM)
    done = child.wait()
    assert (done.code, done.stdout) == (3, b"ready\ngot\n")


def test_what_was_ignored_stays_so(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    script = f"trap '' INT; {PIGEON} net cat /proc/self/status"
    done = pigeon.start_process("bash", "-c", script, env=place).wait()
    status = dict(line.split(b":\t", 1) for line in done.stdout.splitlines() if b":\t" in line)
    assert int(status[b"SigIgn"], 16) == 1 << (signal.SIGINT - 1)
    assert int(status[b"SigBlk"], 16) == 0


def test_nobody_waits_for_what_only_pigeon_holds_open(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    script = f"{PIGEON} net sh -c 'echo out; echo err >&2' 2>&1 | cat"
    done = pigeon.start_process("bash", "-c", script, env=place).wait(15)
    assert sorted(done.stdout.split()) == [b"err", b"out"]


def test_variables(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    done = pigeon.run("net", "--no-catch", "--direct=files.example", "env", env=place)
    env = dict(line.split("=", 1) for line in done.stdout.decode().splitlines() if "=" in line)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", env["https_proxy"])
    assert env["ALL_PROXY"] == env["https_proxy"] and "files.example" in env["no_proxy"].split(",")
    assert "connect" in env["GIT_SSH_COMMAND"]
    done = pigeon.run("net", "--no-env", "env", env=place)
    assert b"proxy" not in done.stdout.lower()


def test_within_another_it_is_the_same_network(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    done = pigeon.run(
        "net",
        "sh",
        "-c",
        f"echo $PIGEON_PROXY; exec {PIGEON} net sh -c 'echo $PIGEON_PROXY; exit 5'",
        env=place,
    )
    first, second = done.stdout.splitlines()
    assert (first, done.code) == (second, 5)


def test_a_script_with_a_stopped_program_goes_on(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    """Where no shell does job control the kernel hangs a group up that is orphaned anew with a stopped member in it."""
    script = f"sleep 60 & kill -STOP $!; {PIGEON} net true; echo alive $?; kill -KILL $!"
    done = pigeon.start_process("setsid", "--wait", "bash", "-c", script, env=place).wait()
    assert (done.stdout, done.code) == (b"alive 0\n", 0)


def test_keys_of_the_terminal(pigeon: Pigeon, place: dict[str, str | None]) -> None:
    """An interactive shell stops and continues it, and Ctrl-C ends it, as if the command stood there itself."""
    terminal = pigeon.spawn_plain("bash", "--norc", "-i", env=place)
    terminal.type(f"{PIGEON} net bash -c 'echo re''ady; read x; echo \"got $x\"; sleep 1000'\r")
    terminal.wait_for("ready")
    terminal.type("\x1a")
    terminal.wait_for("Stopped")
    terminal.type("fg\r")
    # What is typed while the shell has the terminal is the shell's.
    terminal.wait_true(lambda: terminal.foreground != terminal.process.pid)
    terminal.type("hello\r")
    terminal.wait_for("got hello")
    terminal.type("\x03")
    terminal.type("echo code=$?\r")
    terminal.wait_for("code=130")
    terminal.type("exit\r")
    assert terminal.wait().code == 0


def test_the_command_goes_on_whichever_process_of_pigeon_dies(
    pigeon: Pigeon, place: dict[str, str | None]
) -> None:
    for victim in ("front", "keeper"):
        (pigeon.work / "go").unlink(missing_ok=True)
        text = "echo $PPID; until [ -e go ]; do sleep 0.05; done; exec 3<>/dev/tcp/127.0.0.1/$0; echo alive >&3; exit 9"
        with_port = pigeon.start_process(
            "/usr/bin/python3",
            "-uc",
            "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1]);"
            " print(s.accept()[0].recv(10))",
        )
        wait_until(lambda server=with_port: server.out, 10, "a server")  # type: ignore[misc]  # bound now
        port = with_port.out.decode().split()[0]
        child = pigeon.start("net", "bash", "-c", text, port, env=place)
        wait_until(lambda net=child: net.out, 15, "the command")  # type: ignore[misc]  # bound now
        os.kill(int(child.out) if victim == "front" else child.pid, signal.SIGKILL)
        if victim == "keeper":
            child.wait()
        (pigeon.work / "go").touch()
        assert b"alive" in with_port.wait(15).stdout
        if victim == "front":
            assert child.wait(15).code == 9
        pigeon.wait_quiet()
