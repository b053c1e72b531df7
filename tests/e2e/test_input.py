"""What the client reads arrives at the command: byte for byte, turn by turn, and with its end where it is."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import run_to_end
from tests.helpers.surroundings import PIGEON
from tests.helpers.waiting import wait_until


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"no last newline", b"\x04\x03\x1a\x7f\r\n", bytes(range(256)) * 5000, b"line\n" * 400_000],
    ids=["empty", "one byte", "no last newline", "control characters", "every byte", "2 MB of lines"],
)
def test_input_is_exact(warm: Pigeon, data: bytes) -> None:
    result = warm.run("cat", stdin=data)
    assert (result.code, result.stderr) == (0, b"")
    assert result.stdout == data


@pytest.mark.slow
def test_large_input_is_exact(warm: Pigeon) -> None:
    data = os.urandom(1 << 20) * 24
    result = warm.run("sha256sum", stdin=data, timeout_s=60)
    assert result.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_empty_standard_input(warm: Pigeon) -> None:
    assert warm.run("wc -c").stdout.strip() == b"0"


def test_questions_and_answers_through_pipes(warm: Pigeon) -> None:
    text = 'for i in 1 2 3; do printf "name $i? "; read -r n; echo "hello $n"; done; read -r n || echo end'
    client = warm.start(text, stdin=subprocess.PIPE)
    said = ""
    for turn, name in enumerate(("ann", "bo b", "c\tc"), 1):
        said += f"name {turn}? "
        wait_until(lambda said=said: client.out.decode() == said, 15, f"question {turn}")  # type: ignore[misc]
        client.type(f"{name}\n".encode())
        said += f"hello {name}\n"
    client.close_stdin()
    result = client.wait()
    assert (result.stdout.decode(), result.code) == (said + "end\n", 0)


def test_the_end_of_input_comes_when_it_comes(warm: Pigeon) -> None:
    client, _ = warm.begin("cat > got; echo whole", stdin=subprocess.PIPE)
    wait_until((warm.work / "got").exists, 15, "the command")
    client.type(b"partial line")
    wait_until(lambda: (warm.work / "got").read_bytes() == b"partial line", 15, "the input, before its end")
    assert client.running
    client.close_stdin()
    assert client.wait().stdout == b"whole\n"


def test_a_command_that_does_not_read(warm: Pigeon) -> None:
    assert warm.run("true", stdin=b"x" * 3_000_000).code == 0


def test_an_endless_source(warm: Pigeon) -> None:
    result = warm.start_process("bash", "-c", f"yes | {PIGEON} head -1").wait()
    assert (result.stdout, result.stderr, result.code) == (b"y\n", b"", 0)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(warm: Pigeon, closed: str) -> None:
    """Nothing hangs, nothing is opened in the place of what is missing, and the command runs."""
    path = warm.work / f"ran{len(closed)}"
    result = run_to_end(
        ["bash", "-c", f"exec {PIGEON} 'touch {path}; cat' {closed}"],
        env=warm.env(),
        cwd=warm.work,
        timeout_s=20,
    )
    assert path.exists()
    assert b"Traceback" not in result.stderr
    assert result.code in (0, 1, 141)


def test_input_from_a_file_stays_where_it_was_read(warm: Pigeon) -> None:
    path = warm.work / "lines"
    path.write_bytes(b"one\ntwo\nthree\n")
    with path.open("rb") as file:
        result = warm.run("cat", stdin=file)
    assert result.stdout == b"one\ntwo\nthree\n"
