"""Signals to a client without a terminal go to the command; a stop is the client's own."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child
from tests.helpers.waiting import wait_until

NAMES = ("INT", "QUIT", "TERM", "HUP", "USR1", "USR2")


def wait_for_output(child: Child, wanted: bytes) -> None:
    """Until the client has printed it."""
    wait_until(lambda: wanted in child.out, 15, child.tell)


def test_each_is_forwarded(warm: Pigeon) -> None:
    traps = "; ".join(f"trap 'echo got {name}' {name}" for name in NAMES)
    text = f"{traps}; echo ready; until [ -e gone ]; do sleep 0.02; done; exit 9"
    place = warm.directory("forwarded")
    child = warm.start(text, cwd=place)
    wait_until(lambda: b"ready" in child.out, 15, child.tell)
    for name in NAMES:
        child.signal(getattr(signal, f"SIG{name}"))
        wait_for_output(child, f"got {name}\n".encode())
    (place / "gone").touch()
    assert child.wait().code == 9
    assert child.out.split() == b" ".join([b"ready", *(f"got {name}".encode() for name in NAMES)]).split()


def state_of(pid: int) -> str:
    """The letter of proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_stopping_and_going_on(warm: Pigeon) -> None:
    """The command goes on meanwhile; what it says is printed afterwards."""
    place = warm.directory("stopped")
    wait = "until [ -e {} ]; do sleep 0.02; done"
    text = f"echo ready; {wait.format('gone')}; echo said; touch done; {wait.format('over')}"
    words = shlex.join([str(word) for word in warm.command(text)])
    # A shell with job control as parent: a process whose group is orphaned cannot be stopped by SIGTSTP.
    shell = f"{words} < /dev/null > out & echo $! > pid; wait; wait $!; echo code $?"
    # In a group of its own: that of a test run without a terminal may itself be orphaned.
    own_group = "import os, sys; os.setpgid(0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    child = warm.start_process(sys.executable, "-c", own_group, "bash", "-mc", shell, cwd=place)
    out = place / "out"
    wait_until(lambda: out.exists() and out.read_text() == "ready\n", 15, child.tell)
    session = warm.sessions()[-1]
    pid = int((place / "pid").read_text())
    os.kill(pid, signal.SIGTSTP)
    wait_until(lambda: state_of(pid) == "T", 15, child.tell)
    (place / "gone").touch()
    wait_until(lambda: (place / "done").exists(), 15, "the command goes on")
    assert out.read_text() == "ready\n"
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: out.read_text() == "ready\nsaid\n", 15, child.tell)
    (place / "over").touch()
    child.wait()
    told = [record.get("event") for record in session.records("control.jsonl") if record["type"] == "client"]
    assert told == ["suspended", "resumed"]
