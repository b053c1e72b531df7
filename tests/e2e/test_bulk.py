"""Much output goes raw into segments, exactly, and what lies on the share stays bounded; who does not know of them is
served with lines."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from pathlib import Path

from pigeon.clock import utc_seconds
from pigeon.report import newest, session_view
from pigeon.wire.names import Namespace
from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.share import Session
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until

MEBIBYTE = 1 << 20
SEGMENT = 16 * MEBIBYTE


def random_file(path: Path, size: int) -> str:
    """A file of random bytes; its SHA-256."""
    data = os.urandom(size)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def bytes_of(session: Session, ending: str) -> int:
    return sum(path.stat().st_size for path in session.directory.iterdir() if path.name.endswith(ending))


def test_both_outputs_are_exact_and_little_stays(warm: Pigeon) -> None:
    source = warm.work / "source"
    digest = random_file(source, 120 * MEBIBYTE)
    client, session = warm.begin(f"cat {source} & head -c 9000000 {source} >&2; wait; exit 3")
    result = client.wait(60)
    assert result.code == 3
    assert hashlib.sha256(result.stdout).hexdigest() == digest
    assert result.stderr == source.read_bytes()[:9_000_000]
    assert bytes_of(session, "stream.jsonl") < 2 * MEBIBYTE  # no base64 beyond the beginning
    assert (
        bytes_of(session, ".bulk") < 4 * SEGMENT
    )  # the last acknowledgement, the scrollback, and what is not full
    exit_event = session.records()[-1]
    assert exit_event["event"] == "exit" and exit_event["bulk_bytes"] > 125 * MEBIBYTE


def test_a_short_output_makes_no_segment(warm: Pigeon) -> None:
    client, session = warm.begin("head -c 500000 /dev/zero")
    assert len(client.wait().stdout) == 500_000
    assert "bulk" not in session.events() and not list(session.directory.glob("*.bulk"))


def test_logs_has_the_end_and_says_what_is_gone(warm: Pigeon) -> None:
    source = warm.work / "source"
    random_file(source, 130 * MEBIBYTE)
    client, session = warm.begin(f"cat {source}")
    whole = client.wait(60).stdout
    shown = warm.run("logs", session.id, timeout_s=60)
    assert shown.code == 0 and "MB of the output are no longer kept (`[worker] scrollback`)" in shown.words
    assert SEGMENT < len(shown.stdout) < len(whole)
    assert whole.endswith(shown.stdout[-SEGMENT:]) and whole.startswith(shown.stdout[:700_000])


def test_without_a_client_pipes_keep_everything(warm: Pigeon) -> None:
    result = warm.run("seq 5000000; echo end >&2", options=("--detach", "-T"))
    session = Session(warm.namespace.root / "sessions" / result.stdout.decode().strip())
    assert session.wait_final(60)["exit_code"] == 0
    shown = warm.run("logs", session.id, timeout_s=60)
    assert (
        hashlib.sha256(shown.stdout).digest()
        == hashlib.sha256(b"".join(b"%d\n" % n for n in range(1, 5_000_001))).digest()
    )
    assert shown.stderr == b"end\n"


def test_without_a_client_a_terminal_keeps_its_scrollback_and_runs_on(pigeon: Pigeon) -> None:
    """Forty times what may lie there."""
    pigeon.worker(max_stream="2MiB", scrollback="64KiB")
    result = pigeon.run("seq 4000000; echo the end; exit 4", options=("--detach", "-t"))
    session = Session(pigeon.namespace.root / "sessions" / result.stdout.decode().strip())
    assert session.wait_final(60)["exit_code"] == 4
    assert bytes_of(session, ".bulk") <= 2 * SEGMENT
    assert pigeon.run("logs", session.id, timeout_s=60).stdout.endswith(b"\n4000000\r\nthe end\r\n")


def test_a_runner_that_is_killed_loses_nothing_that_was_written(warm: Pigeon) -> None:
    client, session = warm.begin("seq 100000000")
    wait_until(lambda: len(list(session.directory.glob("*.bulk"))) > 1, 30, "a second segment")
    os.kill(runner_of(warm, session), signal.SIGKILL)
    result = client.wait(60)
    assert result.code == 255
    count = result.stdout.count(b"\n")
    expected = b"".join(b"%d\n" % n for n in range(1, count + 2))
    assert len(result.stdout) > SEGMENT and expected.startswith(result.stdout)


def test_an_attacher_that_does_not_know_segments_gets_lines(warm: Pigeon) -> None:
    go = warm.directory("old attacher") / "go"
    client, session = warm.begin(
        f"seq 500000; while [ ! -e '{go}' ]; do sleep 0.02; done; echo after; exit 5"
    )
    session.wait_event("bulk")
    raw.replace(session.directory / "stdin.1.jsonl", b"")
    raw.replace(session.directory / "control.1.jsonl", b'{"ts":"","type":"heartbeat"}\n')
    session.wait_event("attached")
    assert client.wait().code == 0  # it has been taken over
    go.touch()
    session.wait_event("exit")
    assert session.events()[-2:] == ["lines", "exit"]
    assert session.output().endswith(b"after\n")


def test_one_that_knows_them_sees_what_comes_now(warm: Pigeon) -> None:
    go = warm.directory("new attacher") / "go"
    # NULs, which cost the emulator nothing to show.
    text = f"head -c 1200000 /dev/zero; echo ready; while [ ! -e '{go}' ]; do sleep 0.02; done; echo after; exit 5"
    window = warm.spawn_tty(text)
    window.wait_for("ready", timeout_s=30)
    session = warm.sessions()[-1]
    window.type("~d")
    assert window.wait(10).code == 0
    back = warm.spawn_tty("attach", session.id)
    back.wait_for("ready")
    session.wait_event("attached")
    go.touch()
    back.wait_for("after")
    assert back.wait().code == 5
    assert "lines" not in session.events()


def test_events_in_the_segments_are_not_taken_for_output(warm: Pigeon) -> None:
    """How long a session has been quiet counts from its last output, however much has been said since."""
    client, session = warm.begin("head -c 3000000 /dev/zero; cat >/dev/null", stdin=subprocess.PIPE)
    session.wait_event("bulk")
    namespace = Namespace(str(warm.share.client_path), str(warm.settings["namespace"]))

    def acknowledgements() -> list[str]:
        return [str(record["ts"]) for record in session.records() if record.get("event") == "ack"]

    def last_output() -> float | None:
        return newest.output_at(session_view.view(namespace, session.id))

    written = (session.directory / "stream.1.bulk").stat().st_mtime
    wait_until(lambda: len(client.out) == 3_000_000, 20, "the output")
    for count in (1, 2):
        client.type(b"x")
        wait_until(lambda count=count: len(acknowledgements()) == count, 20, "an acknowledgement")  # type: ignore[misc]
        at = last_output()
        assert at is not None and written - 1 <= at <= (utc_seconds(acknowledgements()[0]) or 0.0)
    client.close_stdin()
    assert client.wait().code == 0


def test_the_lines_do_not_fall_silent_beside_the_segments(pigeon: Pigeon) -> None:
    """Another worker judges the runner by stream.jsonl, and would end a session that goes on."""
    pigeon.worker()
    go = pigeon.directory("pour") / "go"
    client, session = pigeon.begin(
        f"head -c 3000000 /dev/zero; until [ -e '{go}' ]; do echo more; sleep 0.05; done"
    )
    session.wait_event("bulk")
    session.wait_event("heartbeat", timeout_s=20)
    go.touch()
    assert client.wait().code == 0
