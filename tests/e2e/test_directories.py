"""The command runs in the directory where pigeon was called, whatever it is called."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from pigeon.wire.names import Namespace
from pigeon.worker.locks import strict
from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import run_to_end
from tests.helpers.surroundings import PIGEON
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

UGLY = [
    b"with space",
    b"trailing space ",
    b"new\nline",
    b"ends with newline\n",
    b"quotes'\"`$HOME\\",
    b"-rf",
    b"\xc3\xbcmlaut",
    b"\xff\xfe not utf-8",
    b"*?[a]{b,c}~#!&;|<>()",
    b"n" * 200,
]


@pytest.mark.parametrize("name", UGLY)
def test_ugly_directories(warm: Pigeon, name: bytes) -> None:
    cwd = os.fsencode(warm.directory(name))
    result = warm.run("pwd; printf made > made", cwd=cwd, env={"PWD": os.fsdecode(cwd)})
    assert (result.stdout, result.stderr, result.code) == (cwd + b"\n", b"", 0)
    assert Path(os.fsdecode(cwd), "made").read_bytes() == b"made"


def test_a_symbolic_link_keeps_its_name(warm: Pigeon) -> None:
    real = warm.directory("real").resolve()
    link = real.with_name("link")
    link.symlink_to(real)
    text = 'pwd; pwd -P; echo "$PWD"; printf made > made'
    result = warm.run(text, cwd=link, env={"PWD": str(link)})
    expected = run_to_end(["bash", "-lc", text], env=warm.env({"PWD": str(link)}), cwd=link)
    assert result == expected
    assert result.stdout.decode().splitlines() == [str(link), str(real), str(link)]


@pytest.mark.parametrize("stale", ["/", "/nonexistent", "relative", ""])
def test_a_wrong_pwd_is_not_believed(warm: Pigeon, stale: str) -> None:
    assert warm.run("pwd", env={"PWD": stale}).stdout == os.fsencode(warm.work.resolve()) + b"\n"


def test_the_lock_is_that_of_the_resolved_directory(warm: Pigeon) -> None:
    real = warm.directory("locked").resolve()
    link = real.with_name("locked-link")
    link.symlink_to(real)
    notes = Notes(warm.base / "link-notes")
    first = warm.start(notes.holding("first"), cwd=real)
    notes.wait_started("first")
    second, _ = warm.begin(notes.text("second"), cwd=link, env={"PWD": str(link)})
    assert warm.run("true").code == 0  # meanwhile the worker has looked at all that is there
    assert warm.namespace.lock_path(real).exists()
    assert not notes.starts("second")
    notes.release("first")
    assert (first.wait().code, second.wait().code) == (0, 0)
    assert notes.interval("first").end <= notes.interval("second").start


def test_a_directory_that_is_gone(warm: Pigeon) -> None:
    """The shell still stands in it, as happens after a checkout was removed."""
    where = warm.directory("gone")
    script = f"cd {where} && rmdir {where} && exec {PIGEON} pwd"
    result = run_to_end(["bash", "-c", script], env=warm.env(), cwd=warm.work)
    assert result.stdout == b""
    assert result.code in (2, 255)
    assert result.words.startswith("pigeon: ")
    assert "Traceback" not in result.words


def test_files_and_links_appear_where_it_was_started(warm: Pigeon) -> None:
    where = warm.directory("files")
    result = warm.run("mkdir -p a/b; echo x > a/b/c; ln -s a/b/c l; chmod 751 a", cwd=where)
    assert result.code == 0
    assert (where / "l").read_text() == "x\n"
    assert (where / "a").stat().st_mode & 0o777 == 0o751


def test_words_of_the_shell_are_relative_to_it(warm: Pigeon) -> None:
    where = warm.directory("relative")
    (where / "script").write_text("#!/bin/sh\necho here $1\n")
    (where / "script").chmod(0o755)
    assert warm.run("./script", "x", cwd=where).stdout == b"here x\n"
    listing = subprocess.run(["ls", "-a"], cwd=where, capture_output=True, check=True)
    assert warm.run("ls", "-a", cwd=where).stdout == listing.stdout


def test_a_directory_that_was_exchanged_for_a_link_waits_for_both(pigeon: Pigeon) -> None:
    """Where the name leads once it is the session's turn, another command may be at work."""
    pigeon.worker()
    notes = Notes(pigeon.base / "notes")
    one, other = pigeon.directory("one").resolve(), pigeon.directory("other").resolve()
    holders = [pigeon.start(notes.holding(where.name), cwd=where) for where in (one, other)]
    for where in (one, other):
        notes.wait_started(where.name)
    client, session = pigeon.begin(notes.text("intruder", "pwd -P"), cwd=one)
    one.rename(one.with_name("moved"))
    one.symlink_to(other)
    notes.release("one")
    assert holders[0].wait().code == 0
    assert pigeon.run("true").code == 0  # meanwhile the worker has tried it
    assert not notes.starts("intruder")
    assert session.claim is None
    notes.release("other")
    assert holders[1].wait().code == 0
    assert client.wait().stdout == os.fsencode(other) + b"\n"
    assert notes.interval("other").end <= notes.interval("intruder").start


def test_a_link_on_the_workers_side_is_no_hindrance(pigeon: Pigeon) -> None:
    """As `/home` is on some hosts: the session runs, and holds the directory under both names."""
    pigeon.worker()
    notes = Notes(pigeon.base / "notes")
    real = pigeon.directory("real").resolve()
    link = real.with_name("link")
    link.symlink_to(real)
    request = raw.publish(pigeon, notes.holding("far"), cwd=link)
    notes.wait_started("far")
    client, _ = pigeon.begin(notes.text("near"), cwd=real)
    assert pigeon.run("true").code == 0  # meanwhile the worker has looked at all that is there
    assert not notes.starts("near")
    notes.release("far")
    assert request.wait_final()["exit_code"] == 0
    assert client.wait().code == 0
    assert notes.interval("far").end <= notes.interval("near").start


def test_recovery_frees_both_names_of_a_directory(pigeon: Pigeon) -> None:
    """With `strict`, what a killed runner leaves are files, which another host's worker must not break."""
    pigeon.worker(lock="strict")
    real = pigeon.directory("real").resolve()
    link = real.with_name("link")
    link.symlink_to(real)
    session = raw.publish(pigeon, "echo ready; exec sleep 1000", stdin=None, cwd=link)
    wait_until(lambda: b"ready" in session.output(), 15, "the command")
    namespace = Namespace(str(pigeon.share.worker_path), "test")
    paths = [namespace.lock(str(where)) for where in (link, real)]
    assert all(strict.holders(path) for path in paths)
    os.kill(runner_of(pigeon, session), signal.SIGKILL)
    assert session.wait_final(30)["state"] == "failed"
    wait_until(lambda: not any(map(strict.holders, paths)), 15, "both locks to be free")
    pigeon.wait_quiet(30)
