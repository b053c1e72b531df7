"""A share that is missing, read-only, full or somebody else's; commands that cannot be; words that are too long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, WITHOUT_OVERRIDE, mount_small, needs_root, unmount
from tests.helpers.processes import Result, run_to_end
from tests.helpers.share import Share
from tests.helpers.waiting import wait_until


def complaint(result: Result, *wanted: str) -> None:
    """One line of what and why, hints, nothing on stdout, exit code 255 or 2."""
    assert result.stdout == b""
    assert result.code in (2, 255)
    lines = result.words.splitlines()
    assert lines
    assert all(line.startswith("pigeon: ") for line in lines)
    assert [line for line in lines if not line.startswith("pigeon: hint: ")] == lines[:1]
    for text in wanted:
        assert text in lines[0]


def both_complain(pigeon: Pigeon, *wanted: str, prefix: tuple[str, ...] = ()) -> None:
    """Client and worker, each in its own process."""
    for words in (["touch", "ran"], ["worker", "--journal", str(pigeon.journal)]):
        argv = [*prefix, *pigeon.command(*words)]
        complaint(run_to_end(argv, env=pigeon.env(), cwd=pigeon.work, timeout_s=20), *wanted)


def test_a_share_that_does_not_exist(pigeon: Pigeon) -> None:
    pigeon.configure(cache=str(pigeon.base / "not-mounted"))
    both_complain(pigeon, "not-mounted")
    assert not (pigeon.base / "not-mounted").exists()


def test_a_share_that_is_a_file(pigeon: Pigeon) -> None:
    (pigeon.base / "file").touch()
    pigeon.configure(cache=str(pigeon.base / "file"))
    both_complain(pigeon, str(pigeon.base / "file"))


def test_a_share_that_may_not_be_written(pigeon: Pigeon) -> None:
    pigeon.share.client_path.chmod(0o500)
    both_complain(pigeon, str(pigeon.share.client_path), prefix=WITHOUT_OVERRIDE)


@needs_root
def test_a_namespace_of_another_user(pigeon: Pigeon) -> None:
    for part in ("", "namespaces", "namespaces/test", "namespaces/test/sessions"):
        path = pigeon.share.client_path / part
        path.mkdir(mode=0o755, exist_ok=True)
        if part:
            os.chown(path, NOBODY, NOBODY)
    both_complain(pigeon, prefix=WITHOUT_OVERRIDE)


@pytest.fixture
def full(pigeon: Pigeon) -> Iterator[Pigeon]:
    """A share on a filesystem of its own without a free byte."""
    place = pigeon.base / "small"
    place.mkdir()
    mount_small(place, "256k")
    try:
        pigeon.share = Share(place, place)
        yield pigeon
    finally:
        unmount(place)


def fill(place: Path) -> Path:
    """Use up all space; removing the returned file frees it."""
    path = place / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return path


@needs_root
def test_a_full_share_ends_a_client_in_time(full: Pigeon) -> None:
    full.configure(client={"claim_timeout": 2})
    fill(full.share.client_path)
    result = full.run("true", timeout_s=60)
    complaint(result)
    assert "space" in result.words


@needs_root
def test_a_share_that_fills_while_output_comes_holds_the_command_up(full: Pigeon) -> None:
    """As a full pipe would; nothing is dropped or repeated when there is room again."""
    full.worker(journal=full.journal)
    gate = full.base / "gate"
    gate.touch()
    client = full.start(f"echo begun; while [ -e {gate} ]; do sleep 0.02; done; seq 1 5000")
    wait_until(lambda: client.out == b"begun\n", 15, "the first output")
    ballast = fill(full.share.client_path)
    gate.unlink()
    session = full.sessions()[0]
    stream = session.directory / "stream.jsonl"
    size = stream.stat().st_size
    wait_until(lambda: client.running and full.workers[0].child.running, 5, "both sides, still there")
    ballast.unlink()
    result = client.wait(60)
    assert stream.stat().st_size > size
    assert result.code == 0
    assert result.stdout == b"begun\n" + "".join(f"{n}\n" for n in range(1, 5001)).encode()


def test_an_unknown_command(warm: Pigeon) -> None:
    result = warm.run("no-such-command-anywhere")
    assert (result.code, result.stdout) == (127, b"")
    assert b"not found" in result.stderr


def test_words_that_are_too_long_for_one_argument(warm: Pigeon) -> None:
    """Each word fits, the text that they make does not: it runs, or it is said."""
    words = [f"word{number:06d}-{'x' * 90}" for number in range(2000)]
    result = warm.run("echo", *words)
    if result.code == 0:
        assert result.stdout.decode().split() == words
    else:
        assert result.code in (126, 255)
        assert "long" in result.words
        assert "Traceback" not in result.words
    assert warm.run("echo on").stdout == b"on\n"


def test_an_environment_that_is_too_big(warm: Pigeon) -> None:
    env = {f"BIG_{number}": "x" * 100_000 for number in range(18)}
    result = warm.run("echo $BIG_0 | wc -c", env=env)
    if result.code == 0:
        assert result.stdout.strip() == b"100001"
    else:
        assert "long" in result.words
    assert warm.run("echo on").stdout == b"on\n"


@pytest.mark.parametrize("verb", ["inspect", "logs", "stop", "attach"])
@pytest.mark.parametrize("name", ["a/b", "..", "", "1-x", "../../etc/passwd", "1700000000000-ffffffffffff"])
def test_session_ids_that_are_none(pigeon: Pigeon, verb: str, name: str) -> None:
    result = pigeon.run(verb, name)
    assert result.code in (1, 2, 255)
    assert result.words.startswith("pigeon: ")
    assert "Traceback" not in result.words


def test_a_corrupt_journal_is_named_and_left_alone(pigeon: Pigeon) -> None:
    pigeon.journal.write_bytes(b"this is no database, but somebody's diary\n" * 100)
    before = pigeon.journal.read_bytes()
    child = pigeon.start_worker()
    result = child.wait(20)
    assert result.code == 255
    assert str(pigeon.journal) in result.stdout.decode()
    assert pigeon.journal.read_bytes() == before
