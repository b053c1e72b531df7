"""Whatever one file holds costs the session that it belongs to, is said once, and the worker serves on."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import WITHOUT_OVERRIDE, needs_root
from tests.helpers.share import Session
from tests.helpers.surroundings import ROOT
from tests.helpers.waiting import wait_until

VERBS = (["sessions", "--all"], ["clean", "--dry-run"], ["doctor", "--json"])


def write(session: Session, name: str, data: bytes) -> None:
    raw.replace(session.directory / name, data)


def a_status(session: Session, **fields: object) -> bytes:
    return raw.dump({"session_id": session.id, "state": "pending", "created_at": raw.STAMP, **fields})


def status_with_the_names_of_parameters(session: Session) -> None:
    fields = dict.fromkeys(("self", "fields", "cls", "document"), 1)
    write(session, "status.json", a_status(session, **fields))


def claim_of_a_worker_with_nul(session: Session) -> None:
    raw.claim(session, "worker_host=x\nworker_id=a\0b\nclaim_token=t\n" + "\0" * 4096)


def claim_of_a_worker_elsewhere(session: Session) -> None:
    raw.claim(session, f"worker_host=x\nworker_id=../../{'y' * 300}\nclaim_token=t\n")


def status_is_a_directory(session: Session) -> None:
    (session.directory / "status.json").unlink()
    (session.directory / "status.json").mkdir()
    (session.directory / "status.json" / "inside").touch()


def status_is_a_hole(session: Session) -> None:
    os.truncate(session.directory / "status.json", 1 << 21)


def status_of_another(session: Session) -> None:
    write(session, "status.json", a_status(session, session_id=raw.new_id()))


def number_beyond_all(session: Session) -> None:
    data = (session.directory / "request.json").read_bytes()
    write(session, "request.json", data[:-1] + b',"future":1e999}')


def no_json(session: Session) -> None:
    write(session, "request.json", b'{"a":')


DAMAGES: dict[str, tuple[Callable[[Session], None], str | None]] = {
    "a status with the names of parameters": (status_with_the_names_of_parameters, "succeeded"),
    "a claim of a worker whose name has a NUL": (claim_of_a_worker_with_nul, None),
    "a claim of a worker that lies elsewhere": (claim_of_a_worker_elsewhere, None),
    "a status that is a directory": (status_is_a_directory, "failed"),
    "a status that is a hole": (status_is_a_hole, "failed"),
    "a status of another session": (status_of_another, "failed"),
    "a number beyond all": (number_beyond_all, "failed"),
    "a request that is no JSON": (no_json, "failed"),
}


def test_a_damaged_file_costs_one_session(pigeon: Pigeon) -> None:
    damaged = {name: raw.publish(pigeon, "true", lock="none") for name in DAMAGES}
    for name, session in damaged.items():
        DAMAGES[name][0](session)
    worker = pigeon.worker(host_timeout=2)
    for name, session in damaged.items():
        end = DAMAGES[name][1]
        if end is not None:
            assert session.wait_state(end, timeout_s=20)["state"] == end, name
    assert pigeon.run("echo served").stdout == b"served\n"
    for words in VERBS:
        assert "bug of pigeon" not in pigeon.run(*words).words
    assert pigeon.run("echo served").stdout == b"served\n"
    assert worker.child.running
    for name, session in damaged.items():
        assert worker.log.count(session.id) <= 2, (name, worker.log)
    assert worker.log.count("works again") == 0, worker.log
    worker.stop()
    again = pigeon.worker()
    assert pigeon.run("echo served").stdout == b"served\n"
    assert again.child.running


@needs_root
def test_a_status_that_nobody_may_read_gets_an_end(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, "true", lock="none")
    (session.directory / "status.json").chmod(0)
    pigeon.worker(prefix=WITHOUT_OVERRIDE)
    assert session.wait_state("failed")["error"].startswith("status.json refused")


@pytest.mark.parametrize("where", ["cwd", "env", "name", "command"])
def test_text_that_stands_for_no_bytes_is_refused(warm: Pigeon, where: str) -> None:
    changes: dict[str, dict[str, Any]] = {
        "cwd": {"cwd": "/\ud800", "lock": "none"},
        "env": {"env": {"A": "\ud800"}},
        "name": {"env": {"\ud800": "a"}},
        "command": {"command": ["bash", "-lc", "\ud800"]},
    }
    session = raw.publish(warm, "true", **changes[where])
    assert session.wait_state("failed")["exit_code"] == 255
    assert "Traceback" not in warm.workers[0].log
    assert warm.run("echo served").stdout == b"served\n"


def test_damage_is_told_where_json_is_not_loaded() -> None:
    """The accelerator of Python 3.11 finds no error to raise there."""
    code = (
        "import sys\n"
        "from pigeon.wire.jsontext import decode\n"
        "bad = (b'', b'{', b'[1', b'{\"a\":}', b'nul', b'\"', b'{\"a\" 1}', b'[1,]', b'\\xff', b'1e999', b'[' * 9999)\n"
        "for text in bad:\n"
        "    try: decode(text)\n"
        "    except ValueError: continue\n"
        "    sys.exit(repr(text))\n"
        "assert 'json' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("how", ["cut", "a bit"])
def test_a_damaged_memory_is_no_memory(pigeon: Pigeon, how: str) -> None:
    pigeon.worker()
    for _ in range(2):
        assert pigeon.run("echo served").stdout == b"served\n"
    (memory,) = (pigeon.home / ".cache" / "pigeon").glob("*client.toml.json")
    data = memory.read_bytes()
    at = data.index(b'"test"') + 1
    changed = data[: len(data) // 2] if how == "cut" else data[:at] + b"u" + data[at + 1 :]
    memory.write_bytes(changed)
    assert pigeon.run("echo served").stdout == b"served\n"


def test_a_damaged_stream_hangs_the_command_up(pigeon: Pigeon) -> None:
    pigeon.worker()
    client, session = pigeon.begin("echo ready; exec sleep 60")
    wait_until(lambda: client.out, 15, "output")
    raw.append(session, "stream.jsonl", b"{no json\n")
    assert "the session is damaged" in client.wait().words
    pigeon.wait_quiet()


# A locale that is not UTF-8


@pytest.fixture
def latin(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose locale is ISO 8859-1."""
    if not shutil.which("localedef"):
        pytest.skip("needs localedef(1)")
    place = tmp_path / "locales"
    place.mkdir()
    words = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", "--no-archive", str(place / "en_US.ISO-8859-1")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        pytest.skip(f"this locale cannot be made here: {done.stderr.strip()}")
    return {"LOCPATH": str(place), "LANG": "en_US.ISO-8859-1", "LC_ALL": "en_US.ISO-8859-1"}


@pytest.mark.parametrize("side", ["client", "worker", "both"])
def test_text_is_utf_8_whatever_the_locale(pigeon: Pigeon, latin: dict[str, str], side: str) -> None:
    pigeon.worker(env=latin if side != "client" else None)
    place = pigeon.directory("grün-日本".encode())
    listed = f"{place}:/usr/bin"  # a list of directories that are looked at on the worker's host
    env = {**(latin if side != "worker" else {}), "NAME": os.fsdecode("日本".encode()), "PYTHONPATH": listed}
    asked = 'printf \'%s \' "$NAME" \'größe\'; test "$PYTHONPATH" = "$PWD:/usr/bin" && pwd'
    result = pigeon.run(asked, cwd=os.fsencode(place), env=env)
    assert (result.code, result.stdout) == (0, "日本 größe ".encode() + os.fsencode(place) + b"\n"), result


# What fails inside pigeon


def hooked(pigeon: Pigeon, code: str) -> dict[str, str]:
    """An environment in which pigeon's processes run `code` before anything else."""
    place = pigeon.directory("hook")
    (place / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": f"{place}:{ROOT}"}


FAILS = """
import os, sys
def trace(module, name):
    import importlib.abc
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, wanted, path, target=None):
            if wanted != module: return None
            sys.meta_path.remove(self)
            import importlib.util
            spec = importlib.util.find_spec(wanted)
            load = spec.loader.exec_module
            def exec_module(made):
                load(made)
                def fail(*_, **__): raise RuntimeError("told to")
                setattr(made, name, fail)
            spec.loader.exec_module = exec_module
            return spec
    sys.meta_path.insert(0, Finder())
trace(%r, %r)
"""


def test_a_runner_that_fails_ends_its_session_with_the_reason(pigeon: Pigeon) -> None:
    worker = pigeon.worker(env=hooked(pigeon, FAILS % ("pigeon.worker.runner.launch", "prepare")))
    result = pigeon.run("true")
    assert result.code == 255
    assert "RuntimeError: told to" in result.words
    assert worker.child.running
    worker.child.out_path.write_bytes(b"")  # it has a traceback, as it must


def test_a_runner_that_fails_before_its_claim_is_not_tried_for_ever(pigeon: Pigeon) -> None:
    worker = pigeon.worker(env=hooked(pigeon, FAILS % ("pigeon.worker.runner.directory_hold", "try_hold")))
    result = pigeon.run("true")
    assert result.code == 255
    assert "could not be started in 3 attempts" in result.words
    assert worker.child.running
    worker.child.out_path.write_bytes(b"")


# A worker that lives and can start nothing


def a_lock_that_is_a_directory(pigeon: Pigeon) -> None:
    pigeon.namespace.lock_path(pigeon.work).mkdir()


def a_lock_that_is_a_link(pigeon: Pigeon) -> None:
    pigeon.namespace.lock_path(pigeon.work).symlink_to("/dev/null")


def runners_that_are_a_file(pigeon: Pigeon) -> None:
    shutil.rmtree(f"{pigeon.journal}.runners", ignore_errors=True)
    Path(f"{pigeon.journal}.runners").touch(mode=0o600)


CANNOT: dict[str, tuple[Callable[[Pigeon], None], str]] = {
    "a lock that is a directory": (a_lock_that_is_a_directory, "cannot lock a directory"),
    "a lock that is a link": (a_lock_that_is_a_link, "cannot lock a directory"),
    "runners that are a file": (runners_that_are_a_file, "proof of life"),
}


@pytest.mark.parametrize("what", CANNOT)
def test_a_worker_that_cannot_start_it_says_why(pigeon: Pigeon, what: str) -> None:
    act, reason = CANNOT[what]
    pigeon.worker()
    act(pigeon)
    result = pigeon.run("true", options=("-v", "--claim-timeout", "3"), timeout_s=40)
    assert result.code == 255
    assert "waiting for a worker that can start the session" in result.words
    assert "no worker could start the session within 3 s" in result.words
    assert reason in result.words
    assert pigeon.sessions()[-1].wait_final()["state"] == "cancelled"


def test_a_directory_that_a_stranger_has_locked(pigeon: Pigeon) -> None:
    pigeon.worker()
    path = pigeon.namespace.lock_path(pigeon.work)
    path.touch(mode=0o600)
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = pigeon.run("true", options=("--claim-timeout", "3"), timeout_s=40)
    assert result.code == 255
    assert "locked by a process that no worker has started" in result.words
    assert pigeon.run("echo served").stdout == b"served\n"


def test_a_journal_that_is_damaged_meanwhile_ends_the_worker(pigeon: Pigeon) -> None:
    worker = pigeon.worker()
    assert pigeon.run("true").code == 0
    for suffix in ("-wal", "-shm"):
        Path(f"{pigeon.journal}{suffix}").unlink(missing_ok=True)
    pigeon.journal.write_bytes(b"no database" * 1000)
    client = pigeon.start("true", options=("--claim-timeout", "2"))
    assert worker.wait(30) != 0
    assert "journal" in worker.log
    assert client.wait(40).code in (0, 255)  # SQLite may have all that the command needs in its memory


# Secrets


def test_a_withdrawn_session_keeps_no_secrets(pigeon: Pigeon) -> None:
    client = pigeon.start("true", env={"SECRET": "s3cr3t"})
    session = pigeon.wait_session()
    assert b"s3cr3t" in (session.directory / "request.json").read_bytes()
    client.signal(signal.SIGINT)
    assert client.wait().code == 130
    request = json.loads((session.directory / "request.json").read_bytes())
    assert request["env"]["SECRET"] is None


def test_a_taken_over_session_keeps_no_secrets(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon, "true", env={"SECRET": "s3cr3t"})
    raw.claim(session, "worker_host=gone\nworker_pid=1\nworker_id=gone-1\nclaim_token=t\n")
    pigeon.worker(host_timeout=1)
    assert session.wait_state("failed", timeout_s=30)
    wait_until(lambda: b"s3cr3t" not in (session.directory / "request.json").read_bytes(), 15, "blank values")


@pytest.mark.parametrize("words", [["stop", ""], ["logs", ""], ["inspect", ""], ["attach", ""]])
def test_an_empty_word_names_no_session(pigeon: Pigeon, words: list[str]) -> None:
    session = raw.publish(pigeon)
    result = pigeon.run(*words)
    assert result.code in (1, 2), result
    assert session.state == "pending"


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_a_strict_lock_has_our_modes_whatever_the_umask(pigeon: Pigeon, umask: int) -> None:
    pigeon.worker(lock="strict", umask=umask)
    client = pigeon.start("echo ready; exec sleep 60")
    wait_until(lambda: client.out, 20, "output")
    found = list((pigeon.namespace.root / "locks").rglob("*"))
    assert any(".strict" in path.name for path in found)
    for path in found:
        assert path.stat().st_mode & 0o077 == 0, path
    client.signal(signal.SIGTERM)
    client.wait()
