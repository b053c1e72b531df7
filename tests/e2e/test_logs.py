"""`pigeon logs`: a session's output from the share, finished or live."""

from __future__ import annotations

from tests.helpers import raw
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until


def test_a_finished_session_byte_for_byte(warm: Pigeon) -> None:
    client, session = warm.begin("printf 'a\\0\\377\\n'; echo bad >&2; head -c 300000 /dev/urandom; exit 3")
    original = client.wait()
    assert original.code == 3
    shown = warm.run("logs", session.id)
    assert (shown.stdout, shown.stderr, shown.code) == (original.stdout, b"bad\n", 0)
    random_part = session.id.partition("-")[2]
    assert warm.run("logs", random_part[:8]).stdout == original.stdout


def test_a_live_one_with_and_without_following(warm: Pigeon) -> None:
    gate = warm.work / "gate"
    gate.touch()
    client, session = warm.begin(f"echo one; while [ -e {gate} ]; do sleep 0.02; done; echo two; exit 4")
    wait_until(lambda: client.out == b"one\n", 15, "the first line")
    assert warm.run("logs", session.id) == (b"one\n", b"", 0)
    follower = warm.start("logs", "-f", session.id)
    wait_until(lambda: follower.out == b"one\n", 15, "the follower's first line")
    assert follower.running
    gate.unlink()
    assert client.wait().code == 4
    assert follower.wait() == (b"one\ntwo\n", b"", 0)


def test_following_one_that_has_not_begun(pigeon: Pigeon) -> None:
    client, session = pigeon.begin("echo hello")
    follower = pigeon.start("logs", "-f", session.id)
    pigeon.worker()
    assert follower.wait().stdout == b"hello\n"
    assert client.wait().code == 0


def test_why_there_is_no_output(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon)
    raw.put_status(session, "failed", exit_code=255, ended_by="takeover", error="its worker was silent")
    raw.append(session, "stream.jsonl", raw.output(0, b"so far\n"), b'{"type":"out')
    for options in ((), ("-f",)):
        shown = pigeon.run("logs", *options, session.id)
        assert (shown.stdout, shown.code) == (b"so far\n", 0)
        assert "its worker was silent" in shown.words


def test_damage_is_told(pigeon: Pigeon) -> None:
    session = raw.publish(pigeon)
    raw.append(session, "stream.jsonl", raw.output(0, b"good\n"), raw.output(2, b"bad\n"))
    shown = pigeon.run("logs", session.id)
    assert (shown.stdout, shown.code) == (b"good\n", 255)
    assert "stream.jsonl" in shown.words
    assert "seq 1" in shown.words


def test_a_reader_that_leaves(warm: Pigeon) -> None:
    client, session = warm.begin("yes | head -c 1000000")
    assert client.wait().code == 0
    script = " ".join(map(str, warm.command("logs", session.id))) + " | head -1; exit ${PIPESTATUS[0]}"
    child = warm.start_process("bash", "-c", script)
    assert child.wait() == (b"y\n", b"", 141)


def test_unknown_and_ambiguous_names(pigeon: Pigeon) -> None:
    for _ in range(2):
        raw.publish(pigeon)
    for name in ("nothing", "../../etc"):
        shown = pigeon.run("logs", name)
        assert shown.code == 1
        assert f"there is no session `{name}`" in shown.words
    shown = pigeon.run("logs", "1")
    assert shown.code == 1
    assert "2 sessions" in shown.words
