"""Nothing reaches a terminal or a log raw: the one way out, and whoever in the sources goes past it."""

from __future__ import annotations

import ast
import json
import os
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon import printing
from pigeon.worker.debug import Debug, tell
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import needs_root

PACKAGE = Path(printing.__file__).parent

HOSTILE = (
    "\x00\x07\x08\x0a\x0b\x0d\x1b[31m\x7f\x85\x90\x9b31m"
    "\u061c\u200f\u2028\u202e\u2066\ufeff\udc9b\udcff\ud800\U000e0041"
)
"""C0, DEL, C1, bidirectional controls, line ends, bytes that are not UTF-8, tags."""

# (file, the call as it is written there): what may write by itself, and why.
ALLOWED = {
    ("printing.py", "*"): "the way out",
    ("cli.py", "sys.stderr.buffer.write"): "the last words of a process, made visible there",
    (
        "client/terminal/raw.py",
        "os.write(2",
    ): "gets what printing has made visible; ends lines as a raw terminal needs",
    ("client/terminal/raw.py", "os.write(1"): "sequences that put the terminal back, which are ours",
    ("client/notification.py", "os.write(2"): "a sequence of ours round a visible command",
    ("report/screen.py", "os.write(1"): "a screen that is drawn from visible text",
    ("commands/connect.py", "os.write(1"): "the bytes of a connection, which are nobody's words",
    ("commands/proxy.py", "sys.stdout.buffer.write"): "assignments for `eval`, quoted where they are made",
    ("commands/completion.py", "sys.stdout.write"): "a program of ours for a shell, no words",
}


def calls_of(path: Path) -> Iterator[tuple[int, str]]:
    """Each call in a module that writes to stdout or stderr by itself."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        first = ast.unparse(node.args[0]) if node.args else ""
        if name == "print" or (
            name.startswith(("sys.stdout.", "sys.stderr.")) and name.endswith((".write", ".writelines"))
        ):
            yield node.lineno, name
        elif name == "os.write" and (first in ("1", "2") or first.startswith("1 if")):
            yield node.lineno, f"os.write({first[0]}"


def test_nobody_writes_past_the_one_way_out() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = str(path.relative_to(PACKAGE))
        for line, call in calls_of(path):
            allowed = (place, call) in ALLOWED or (place, "*") in ALLOWED
            assert allowed, f"pigeon/{place}:{line}: `{call}` goes past pigeon.printing"


def test_what_is_allowed_is_still_there() -> None:
    for place, call in ALLOWED:
        assert call == "*" or call in {found for _, found in calls_of(PACKAGE / place)}, (place, call)


def is_raw(text: str, *, but: str = "") -> list[str]:
    """What a terminal would act upon."""
    return [
        c
        for c in text
        if c not in but and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")
    ]


def test_what_a_terminal_would_act_upon_becomes_an_escape() -> None:
    assert is_raw(HOSTILE)
    assert not is_raw(printing.visible(HOSTILE))
    assert not is_raw(printing.visible_lines(HOSTILE), but="\n")
    assert printing.visible("日本 ü 👩‍🔧") == "日本 ü 👩‍🔧", "words of any script stay"
    once = printing.visible(HOSTILE)
    assert printing.visible(once) == once
    coloured = printing.styled(f"\x1b[1;31mred\x1b[m {HOSTILE}")
    assert coloured.startswith("\x1b[1;31mred\x1b[m ")
    assert not is_raw(coloured.replace("\x1b[1;31m", "").replace("\x1b[m", "").replace("\x1b[31m", ""))
    assert not is_raw(printing.styled("\x1b]0;title\x07\x1b[2J\x1b[31"), but="")


@pytest.mark.parametrize("colour", [False, True])
def test_a_workers_log(capfd: pytest.CaptureFixture[str], colour: bool) -> None:
    debug = Debug(enabled=True, environ={"FORCE_COLOR": "1"} if colour else {})
    debug.say("queue", HOSTILE)
    tell(HOSTILE)
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 2
    assert not is_raw(said.replace("\x1b[36m", "").replace("\x1b[0m", ""), but="\n")


NAME = "a\x1b[31m\x9b31m\u202eb\nc"
"""As a directory, a file or a host's name may be."""


def test_verbs_and_their_errors(pigeon: Pigeon) -> None:
    place = pigeon.directory(NAME)
    pigeon.worker(debug=True)
    client, session = pigeon.begin("sleep 60", NAME, cwd=place)
    for words in (
        ("sessions",),
        ("inspect", session.id),
        ("stop", session.id),
        ("history",),
        ("history", session.id),
        ("inspect", session.id, "--here"),
        ("clean", "--dry-run", "--older-than", "0"),
        ("clean", "--older-than", NAME),
        ("inspect", NAME),
        ("stop", NAME),
        ("logs", NAME),
        ("history", NAME),
        ("history", "--since", NAME),
        ("doctor", "--release", str(place)),
        ("doctor", "--release", NAME),
        ("config", "show", "--config", NAME),
        ("config", "trust", NAME),
        ("--namespace", NAME, "sessions"),
        ("--cache", f"/{NAME}", "sessions"),
        ("--route", NAME, "true"),
        (f"--{NAME}", "true"),
        ("sessions", f"--{NAME}"),
    ):
        done = pigeon.run(*words, cwd=place)
        for said in (done.stdout, done.stderr):
            assert not is_raw(said.decode("utf-8", "strict"), but="\n"), (words, said)
    client.wait()
    assert not is_raw(pigeon.workers[-1].log, but="\n"), pigeon.workers[-1].log


def test_outputs_for_programs(pigeon: Pigeon, tmp_path: Path) -> None:
    """JSON stays JSON, CSV CSV, and a page, a unit or a table of sums acts upon nobody's terminal either."""
    place = pigeon.directory(NAME)
    pigeon.worker()
    assert pigeon.run("true", NAME, cwd=place).code == 0
    session = pigeon.sessions()[-1]
    page = tmp_path / "page.html"
    for words in (
        ("sessions", "--all", "--json"),
        ("inspect", session.id, "--json"),
        ("history", "--json"),
        ("history", "--csv"),
        ("history", "--stats"),
        ("history", "--stats", "directory", "--json"),
        ("history", "--html", str(page)),
        ("doctor", "--json"),
        ("logs", session.id),
        ("worker", "--print-unit", "--namespace", NAME),
        ("config", "show", "--namespace", NAME),
        ("completion", "bash"),
    ):
        done = pigeon.run(*words, cwd=place)
        text = done.stdout.decode("utf-8", "strict")
        assert not is_raw(text, but="\n\t\r"), (words, text)
        assert not is_raw(done.words, but="\n"), (words, done)
        if "--json" in words:
            json.loads(text)
    assert "\x1b" not in page.read_text()
    assert "\u202e" not in page.read_text()


def test_a_screen_that_is_drawn(pigeon: Pigeon) -> None:
    """`top` shows where others work and what they run: the screen's own sequences are all that it gets."""
    place = pigeon.directory(NAME)
    pigeon.worker()
    client, _ = pigeon.begin(f": '{NAME}'; exec sleep 60", cwd=place)
    top = pigeon.spawn_tty("top", size=(160, 24))
    top.wait_for("1 running")
    drawn = top.raw.decode("utf-8", "strict")
    assert r"\x1b[31m" in drawn
    for raw in ("\x1b[31m", "\x9b", "\u202e"):
        assert raw not in drawn, drawn
    top.type("q")
    top.wait()
    client.signal(15)
    client.wait()


@needs_root
def test_a_hosts_name(pigeon: Pigeon) -> None:
    """Which is part of the worker's first line, of its file, and of what clients say of it."""
    script = "import socket, sys, os; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])"
    host = "h\x1b[31m\u202e"
    child = pigeon.start_worker(prefix=("unshare", "--uts", "/usr/bin/env", "python3", "-c", script, host))
    done = pigeon.run("true", options=("-v", "--claim-timeout", "3"))
    assert not is_raw(done.words, but="\n"), done.words
    for words in (("sessions", "--all"), ("doctor",)):
        done = pigeon.run(*words)
        assert not is_raw((done.stdout + done.stderr).decode(), but="\n"), words
    child.signal(15)
    child.wait(20)
    assert not is_raw(child.out.decode(), but="\n"), child.out
    assert socket.gethostname() != host
    assert os.getpid()
