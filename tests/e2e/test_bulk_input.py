"""Much input goes raw into segments, exactly, and vanishes as the command takes it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
from pathlib import Path

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of
from tests.helpers.share import Session, frames
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

MEBIBYTE = 1 << 20
WINDOW = SEGMENT = 16 * MEBIBYTE


def segments_of(session: Session) -> list[Path]:
    """What lies there of the input."""
    return list(session.directory.glob("stdin.*.bulk"))


def lines_of(session: Session) -> int:
    return (session.directory / "stdin.jsonl").stat().st_size


def test_it_is_exact_and_nothing_stays(warm: Pigeon) -> None:
    data = os.urandom(MEBIBYTE) * 45 + b"the end"
    client, session = warm.begin("sha256sum; echo done", stdin=subprocess.PIPE)
    client.type(data)
    client.close_stdin()
    result = client.wait(60)
    assert result.code == 0
    assert result.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert lines_of(session) < 2 * MEBIBYTE  # no base64 beyond the beginning
    assert max(record.get("bulk_bytes", 0) for record in session.records()) > 40 * MEBIBYTE
    wait_until(lambda: not segments_of(session), 10, "what was taken to be gone")


def test_little_input_makes_no_segment(warm: Pigeon) -> None:
    client, session = warm.begin("wc -c; sleep 0", stdin=subprocess.PIPE)
    client.type(b"x" * 500_000)
    client.close_stdin()
    assert client.wait().stdout.strip() == b"500000"
    assert not any("bulk_bytes" in record for record in session.records())


def test_what_has_been_taken_vanishes_while_the_command_runs(warm: Pigeon) -> None:
    """A secret that was piped in does not lie there any longer than the command needs to read it."""
    go = warm.directory("taken") / "go"
    client, session = warm.begin(
        f"head -c 40000000 >/dev/null; cat > '{go}.rest'; until [ -e '{go}' ]; do sleep 0.05; done",
        stdin=subprocess.PIPE,
    )
    client.type(bytes(40_000_000))
    client.type(b"more")
    wait_until(Path(f"{go}.rest").exists, 60, "the first forty megabytes to be read")
    wait_until(lambda: len(segments_of(session)) == 1, 20, "the full ones to be gone")
    client.close_stdin()
    wait_until(lambda: not segments_of(session), 20, "the last one to be gone with the end of the input")
    assert client.running
    assert Path(f"{go}.rest").read_bytes() == b"more"
    go.touch()
    assert client.wait().code == 0


def test_a_command_that_does_not_read_holds_the_source_up(warm: Pigeon) -> None:
    go = warm.directory("unread") / "go"
    text = f"until [ -e '{go}' ]; do sleep 0.05; done; sha256sum"
    client, session = warm.begin(text, stdin=subprocess.PIPE)
    digest = hashlib.sha256()
    written = 0
    piece = os.urandom(MEBIBYTE)

    def lies() -> int:
        return sum(path.stat().st_size for path in segments_of(session))

    assert client.process.stdin is not None
    source = client.process.stdin.fileno()
    os.set_blocking(source, False)
    fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, MEBIBYTE)
    wait_until(lambda: session.state == "running", 20, "the command")

    def full() -> bool:
        """As much has been read from the source as is read ahead."""
        nonlocal written
        try:
            count = os.write(source, piece)
        except BlockingIOError:
            return lies() >= WINDOW - 3 * MEBIBYTE
        digest.update(piece[:count])
        written += count
        return False

    wait_until(full, 60, "the source to be held up")
    assert WINDOW - 2 * MEBIBYTE < written < WINDOW + 4 * MEBIBYTE
    shown = warm.run("inspect", session.id).stdout.decode()
    assert "MiB of input that it does not read" in shown
    go.touch()
    client.close_stdin()
    assert client.wait(60).stdout.split()[0].decode() == digest.hexdigest()


def test_a_client_that_is_killed_leaves_nothing_of_its_input(warm: Pigeon) -> None:
    client, session = warm.begin("sleep 100", stdin=subprocess.PIPE)
    client.type(os.urandom(4 * MEBIBYTE))
    wait_until(lambda: len(segments_of(session)) == 1, 20, "a segment")
    for pid in (client.pid, *children_of(client.pid)):
        os.kill(pid, signal.SIGKILL)
    assert warm.run("stop", session.id).code == 0
    session.wait_final()
    wait_until(lambda: not segments_of(session), 10, "the segments to be gone")


def test_a_runner_that_is_killed_leaves_nothing_of_it_either(warm: Pigeon) -> None:
    client, session = warm.begin("cat >/dev/null; sleep 100", stdin=subprocess.PIPE)
    client.type(os.urandom(4 * MEBIBYTE))
    wait_until(lambda: len(segments_of(session)) == 1, 20, "a segment")
    payload = b"".join(data for _, data in frames(session.directory, "stdin"))
    assert len(payload) <= 4 * MEBIBYTE
    os.kill(runner_of(warm, session), signal.SIGKILL)
    assert client.wait(60).code == 255
    wait_until(lambda: not segments_of(session), 10, "the segments to be gone")
