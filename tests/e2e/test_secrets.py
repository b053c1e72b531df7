"""What was piped in or typed lies on the share no longer than until the command has it."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.surroundings import PIGEON
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until
from tests.terminal.test_job_control import leave, prompted, shell

SECRET = b"xyzzy-open-sesame-0123456789-abcdefghijklmnop"


def lies_in(directory: Path) -> list[str]:
    """The files that hold the secret, as it is or in base64 at whatever place of a group of three."""
    forms = [SECRET, *(base64.b64encode(b"x" * n + SECRET)[4:-8] for n in range(3))]
    found = []
    for path in directory.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if any(form in data for form in forms):
            found.append(path.name)
    return found


def gone(pigeon: Pigeon) -> None:
    share = pigeon.namespace.root
    wait_until(lambda: not lies_in(share), 15, lambda: f"no secret in {lies_in(share)}")


HOLDS = "touch taken; until [ -e go ]; do sleep 0.02; done"


@pytest.mark.parametrize("options", [(), ("-t",)], ids=["pipe", "tty"])
def test_what_is_piped_in_is_gone_while_the_command_runs(warm: Pigeon, options: tuple[str, ...]) -> None:
    place = warm.directory(f"piped {len(options)}")
    text = f"read -r x; {HOLDS}; test $x = {SECRET[:9].decode()}* && exit 3"
    client, session = warm.begin(
        f"stty -echo 2>&-; echo ready; {text}", cwd=place, stdin=subprocess.PIPE, options=options
    )
    wait_until(lambda: b"ready" in client.out, 15, client.tell)
    client.type(SECRET + b"\n")
    wait_until((place / "taken").exists, 15, "the secret's arrival")
    gone(warm)
    session.wait_state("running")
    client.type(b"more\n")
    (place / "go").touch()
    client.wait(15)
    session.wait_final()
    gone(warm)


def test_what_is_typed_for_a_password_is_gone_while_the_command_runs(warm: Pigeon) -> None:
    """It goes another way than stdin does."""
    place = warm.directory("typed")
    window = shell(warm, place)
    window.type(
        f"{PIGEON} 'echo A''sk >/dev/tty; read -rs x </dev/tty; {HOLDS}; echo ${{#x}}' </dev/null >out\r"
    )
    window.wait_for("Ask")
    window.wait_true(lambda: window.is_raw)
    window.type(SECRET + b"\r")
    window.wait_true((place / "taken").exists)
    gone(warm)
    (place / "go").touch()
    window.wait_for(prompted)
    assert (place / "out").read_text() == f"{len(SECRET)}\n"
    leave(window)
    gone(warm)


def test_what_the_command_never_reads_is_gone_after_its_end(warm: Pigeon) -> None:
    client = warm.start("sleep 0.2; exit 3", stdin=subprocess.PIPE)
    client.type(SECRET + b"\n")
    assert client.wait(15).code == 3
    warm.sessions()[-1].wait_final()
    gone(warm)


def test_what_waited_for_a_command_that_never_ran(warm: Pigeon) -> None:
    place = warm.directory("never")
    holder = warm.start("echo held; exec sleep 1000", cwd=place)
    wait_until(lambda: holder.out == b"held\n", 15, holder.tell)
    client, session = warm.begin("cat", cwd=place, stdin=subprocess.PIPE)
    client.type(SECRET + b"\n")
    wait_until(lambda: lies_in(session.directory), 15, "the input")
    client.signal(signal.SIGINT)
    client.wait(15)
    gone(warm)
    holder.signal(signal.SIGTERM)
    holder.wait(15)


@pytest.mark.parametrize("who", ["client", "runner"])
def test_whoever_dies_it_is_gone_in_the_end(warm: Pigeon, who: str) -> None:
    place = warm.directory(f"dies {who}")
    client, session = warm.begin(
        "echo up; exec sleep 1000", cwd=place, stdin=subprocess.PIPE, options=("--keep",)
    )
    wait_until(lambda: client.out == b"up\n", 15, client.tell)
    client.type(SECRET + b"\n")
    wait_until(lambda: lies_in(session.directory), 15, "the input")
    if who == "client":
        client.kill()
        warm.run("stop", session.id)
    else:
        os.kill(runner_of(warm, session), signal.SIGKILL)
        client.wait(20)
    session.wait_final(30)
    gone(warm)
