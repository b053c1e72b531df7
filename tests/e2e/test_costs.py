"""What a command may cost on the share, counted and not timed: no fsync, and few records."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.surroundings import ROOT

# Every process of pigeon notes what it makes durable. SQLite does so in C for the journal, which is not meant here.
HOOK = """
import os

def noting(name):
    plain = getattr(os, name)
    def call(*args):
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(name + " " + (os.readlink(f"/proc/self/fd/{args[0]}") if args else "") + "\\n")
        return plain(*args)
    setattr(os, name, call)

for name in ("fsync", "fdatasync", "sync"):
    noting(name)
"""
MEGABYTE = 1_000_000


def synced(pigeon: Pigeon) -> list[str]:
    """Run commands with output, input and a signal; what of the share was made durable meanwhile."""
    place, notes = pigeon.directory("hook"), pigeon.base / "notes"
    (place / "sitecustomize.py").write_text(HOOK)
    env = {"PYTHONPATH": f"{place}:{ROOT}", "NOTES": str(notes)}
    pigeon.worker(env=env)
    assert pigeon.run("true", env=env).code == 0
    assert pigeon.run("cat", stdin=bytes(MEGABYTE), env=env).stdout == bytes(MEGABYTE)
    assert pigeon.run("kill -TERM $$", env=env).code == 143
    text = notes.read_text() if notes.exists() else ""
    return [line for line in text.splitlines() if str(pigeon.share.client_path) in line or line == "sync "]


def test_nothing_is_made_durable_on_the_share(pigeon: Pigeon) -> None:
    assert synced(pigeon) == []


def test_all_of_it_is_where_that_is_wished(pigeon: Pigeon) -> None:
    pigeon.configure(wire={"fsync": True})
    names = {Path(line.split()[1]).name.partition("-")[0] for line in synced(pigeon)}
    assert {"stream.jsonl", "stdin.jsonl", "control.jsonl", ".tmp"} <= names


# Reads of a terminal bring 4 KiB, so a record for each of them would be 245 in a megabyte.
LIMITS = {"pipes": 32, "terminal": 120}


@pytest.mark.parametrize("way", LIMITS)
def test_records_in_a_megabyte_of_output(warm: Pigeon, way: str) -> None:
    writer = f"{sys.executable} -c 'import os; [os.write(1, bytes(1000000)) for _ in range(8)]'"
    known = warm.namespace.session_names()
    result = warm.run(writer, options=("-t",) if way == "terminal" else ())
    assert len(result.stdout) == 8 * MEGABYTE
    stream = warm.wait_session(known).directory / "stream.jsonl"
    records = stream.read_bytes().count(b'"type":"output"')
    assert records / 8 <= LIMITS[way]


def test_a_session_that_writes_more_than_it_may_is_told_so(pigeon: Pigeon) -> None:
    """Nobody reads it. What arrived is whole up to there, and nobody takes it for all."""
    pigeon.worker(max_stream="2MiB")
    pigeon.run("yes | head -c 9000000; echo end", options=("--detach", "-T"))
    session = pigeon.sessions()[0]
    assert session.wait_final(60)["error"] == "the session wrote as much as `max_stream` allows"
    records = session.records()
    assert sum("nine tenths of what" in str(record.get("message")) for record in records) == 1
    assert records[-1]["hung_up"] == session.status["error"] and session.state == "failed"
    result = pigeon.run("logs", session.id)
    assert MEGABYTE < len(result.stdout) < 2 << 20
    assert result.stdout == (b"y\n" * len(result.stdout))[: len(result.stdout)]
    assert sum(path.stat().st_size for path in session.directory.iterdir()) <= 2 << 20


def test_what_is_read_makes_room_for_more(pigeon: Pigeon) -> None:
    """Four times what may lie there, to a client that acknowledges it."""
    pigeon.worker(max_stream="2MiB")
    result = pigeon.run("yes | head -c 8000000; echo end", timeout_s=60)
    assert (result.code, result.stderr, len(result.stdout)) == (0, b"", 8_000_004)
