"""A command through pigeon writes the same bytes and ends with the same code as run plainly."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Child, Result, run_to_end
from tests.helpers.waiting import wait_until

TEXTS = {
    "nothing": "true",
    "code": "exit 3",
    "no last newline": "printf x",
    "stderr apart": "echo out; echo err >&2; exit 4",
    "stderr only": "printf 'no newline' >&2",
    "every byte": r"""for i in {0..255}; do printf "\\x$(printf %02x $i)"; done""",
    "carriage returns": r"printf 'a\r\nb\n\rc\r'",
    "NULs": "head -c 300000 /dev/zero",
    "one long line": "head -c 3000000 /dev/zero | tr '\\0' x",
    "many lines": "seq 1 200000",
    "terminal sequences": r"printf '\033[31mred\033[0m \033[6n \033]11;?\007'",
    "not UTF-8": r"printf '\377\376\300'; printf '\355\240\200' >&2",
    "is no terminal": "test -t 0 || test -t 1 || test -t 2; echo $?",
    "syntax error": "if; then",
    "unknown": "no-such-command-anywhere",
    "not executable": "/etc/passwd",
    "a directory": "/etc",
    "unset variable": "set -u; echo $NOT_SET_ANYWHERE",
    "quotes": """echo "a  b" 'c  d' \\"e\\" $((6*7)) `echo f` | tr ' ' _""",
    "here document": "cat <<END\nline one\n  line two\nEND\n",
    "several lines": "echo one\necho two\nexit 5\n",
    "arithmetic exit": "exit $((255))",
    "subshell": "(exit 9)",
    "killed child": "{ sh -c 'kill -9 $$'; } 2> /dev/null; echo $?",
    "glob": "cd /etc; echo p*d",
}


def plainly(pigeon: Pigeon, text: str, stdin: bytes | None = None) -> Result:
    """The same text without pigeon."""
    return run_to_end(["bash", "-lc", text], env=pigeon.env(), cwd=pigeon.work, stdin=stdin)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_same_bytes_and_code(warm: Pigeon, text: str) -> None:
    expected = plainly(warm, text)
    result = warm.run(text)
    # bash names itself and the line in its own messages in the same way, so stderr is compared whole, too
    assert result == expected


@pytest.mark.parametrize(
    "words",
    [
        ["echo", "a  b", "c"],
        ["printf", "%s\\n", "", "it's", 'say "x"', "`id`", "a;b", "*", "~", "#", "\\", "a\nb", "!"],
        ["printf", "%s|", "-v", "--", "-t", "--help"],
        ["printf", "%s", b"\xff\xfe\x80"],
        ["env", "A=1", "sh", "-c", "echo $A"],
        ["bash", "-lc", "echo $0 $1 $2", "zero", "o n e", "two"],
        ["sh", "-c", "exit 7"],
    ],
)
def test_words_arrive_as_they_were_typed(warm: Pigeon, words: list[str | bytes]) -> None:
    assert warm.run(*words) == run_to_end(words, env=warm.env(), cwd=warm.work)


def in_batches(count: int, start: Callable[[int], Child], numbers: list[int]) -> dict[int, Result]:
    """Results by number, with at most `count` clients at a time."""
    results = {}
    for position in range(0, len(numbers), count):
        children = {number: start(number) for number in numbers[position : position + count]}
        results.update({number: child.wait(60) for number, child in children.items()})
    return results


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_exit_code(warm: Pigeon, part: int) -> None:
    codes = list(range(part, 256, 4))
    results = in_batches(16, lambda n: warm.start(f"exit {n}", options=("--no-lock",)), codes)
    assert {number: result.returncode for number, result in results.items()} == {n: n for n in codes}
    assert {(r.stdout, r.stderr) for r in results.values()} == {(b"", b"")}


NOT_FATAL = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
    signal.SIGWINCH,
}
FATAL = [int(number) for number in sorted(signal.valid_signals() - NOT_FATAL)]


@pytest.mark.slow
def test_every_fatal_signal(warm: Pigeon) -> None:
    def start(number: int) -> Child:
        # `exec` leaves no shell between the command and the runner that could turn the signal into a code
        return warm.start(f"ulimit -c 0; exec sh -c 'kill -{number} $$'", options=("--no-lock",))

    codes = {number: result.code for number, result in in_batches(16, start, FATAL).items()}
    assert codes == {number: 128 + number for number in FATAL}


def test_the_raw_return_code_is_kept(warm: Pigeon) -> None:
    known = warm.namespace.session_names()
    assert warm.run("exec sh -c 'kill -9 $$'").code == 137
    session = warm.wait_session(known)
    assert session.records()[-1]["raw_return_code"] == -9
    session.wait_final()
    assert session.status["exit_code"] == 137
    assert session.status["state"] == "failed"


@pytest.mark.slow
def test_huge_output_is_exact(warm: Pigeon) -> None:
    result = warm.run("seq 1 6000000", timeout_s=60)
    expected = plainly(warm, "seq 1 6000000 | sha256sum").stdout.split()[0].decode()
    assert result.code == 0
    assert hashlib.sha256(result.stdout).hexdigest() == expected


def test_what_bash_starts_with_is_the_same(warm: Pigeon) -> None:
    """No other signal is ignored or blocked (SIGPIPE above all); of our descriptors it has only the lock's."""
    text = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls -l /proc/self/fd | grep -vc '[.]lock$'; ulimit -a; umask"
    assert warm.run(text).stdout == plainly(warm, text).stdout


def test_output_comes_while_the_command_runs(warm: Pigeon) -> None:
    gate = warm.work / "gate"
    gate.touch()
    client = warm.start(f"echo one; while [ -e {gate} ]; do sleep 0.02; done; printf two >&2")
    try:
        wait_until(lambda: client.out == b"one\n", 15, "the first line while the command still runs")
        assert client.running
    finally:
        gate.unlink()
    assert client.wait() == Result(b"one\n", b"two", 0)
