"""`pigeon.run` and its like: what is as with subprocess, and what becomes of what goes wrong."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pigeon
from tests.helpers.driving import has_ended, pid_in
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of
from tests.helpers.waiting import PATIENCE, wait_until

SLACK_S = 4 * PATIENCE
"""What a timeout may take beyond itself on a machine that does other things, too. Hanging up, which it does not wait
for, takes ten seconds."""


def timed(call: Callable[[], Any]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def expires(timeout_s: float, *words: str, **options: Any) -> pigeon.TimeoutExpired:
    """Run into a timeout, and return in time."""
    began = time.monotonic()
    with pytest.raises(pigeon.TimeoutExpired) as caught:
        pigeon.run(list(words), timeout=timeout_s, **options)
    took = time.monotonic() - began
    assert (caught.value.timeout, caught.value.cmd) == (timeout_s, list(words))
    assert took < timeout_s + SLACK_S
    return caught.value


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


SCRIPTS = [
    "echo out; echo err >&2",
    "exit 255",
    "kill -SEGV $$",
    "printf 'no newline'",
    "cat",
    "head -c 300000 /dev/zero",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_same_comes_of_it_as_with_subprocess(served: Pigeon, script: str) -> None:
    how: Any = {"input": b"a\0b\xff", "capture_output": True}
    here = subprocess.run(["sh", "-c", script], **how)
    there = pigeon.run(["sh", "-c", script], **how)
    assert vars(there) == vars(here)


def test_words_are_exact(served: Pigeon) -> None:
    words: list[Any] = ["$HOME", "A=1", "", "a b", "*", b"\xff", Path("x"), "--no-lock"]
    out = pigeon.check_output(["printf", "%s|", *words])
    assert out == b"$HOME|A=1||a b|*|\xff|x|--no-lock|"


def test_env_is_laid_over_the_workers(served: Pigeon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "own")
    script = 'echo "$OWN|$GIVEN|${PATH:+path}"'
    assert pigeon.getoutput(script) == "own||path"
    assert pigeon.check_output(["bash", "-c", script], env={"GIVEN": "1"}, text=True) == "|1|path\n"


def test_what_cannot_be_started_raises_as_from_subprocess(served: Pigeon, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    for words, kind in (["no-such-program"], FileNotFoundError), ([str(plain)], PermissionError):
        with pytest.raises(kind) as here:
            subprocess.run(words)
        for run in (pigeon.run, pigeon.call, pigeon.check_call, pigeon.check_output):
            with pytest.raises(kind) as there:
                run(words)
            assert (there.value.errno, there.value.filename) == (here.value.errno, here.value.filename)
        with pigeon.Popen(words) as process, pytest.raises(kind):
            process.wait_started()
        assert isinstance(process.failure, kind)
    with pytest.raises(FileNotFoundError):
        pigeon.run(["true"], cwd=tmp_path / "nowhere")


def test_a_directory_that_the_worker_does_not_have(served: Pigeon, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    with pigeon.Popen(["sleep", "60"], cwd=gone) as first:  # holds the directory, so the next one waits
        first.wait_started()
        with pigeon.Popen(["true"], cwd=gone) as second:
            wait_until(lambda: second.waits_for, describe="a reason to wait")
            assert "held by" in str(second.waits_for)
            gone.rename(tmp_path / "elsewhere")
            first.kill()
            with pytest.raises(NotADirectoryError):
                second.wait_started()


@pytest.mark.parametrize(
    "options",
    [
        {"preexec_fn": print},
        {"pass_fds": (0,)},
        {"user": "root"},
        {"group": 0},
        {"extra_groups": []},
        {"env": {"A=": "1"}},
        {"env": {"A": "\0"}},
        {"args": ["a\0"]},
        {"args": []},
        {"creationflags": 1},
        {"stdin": pigeon.PIPE, "input": b""},
        {"stdout": pigeon.PIPE, "capture_output": True},
    ],
)
def test_arguments_that_mean_nothing_are_refused(served: Pigeon, options: dict[str, Any]) -> None:
    before = served.namespace.session_names()
    with pytest.raises(ValueError):
        pigeon.run(**{"args": ["true"], **options})
    with pytest.raises(TypeError):
        pigeon.run(["true"], no_such_argument=1)
    assert served.namespace.session_names() == before


def test_without_a_worker_it_is_safe_to_try_again(unserved: Pigeon) -> None:
    with pytest.raises(pigeon.NoWorker, match="pigeon worker") as caught:
        pigeon.run(["true"], claim_timeout=0.5)
    assert (caught.value.may_have_run, caught.value.kind) == (False, "no_worker")
    assert caught.value.session in unserved.namespace.session_names()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again), vars(again)) == (pigeon.NoWorker, str(caught.value), vars(caught.value))


def test_a_share_that_is_not_there(served: Pigeon, tmp_path: Path) -> None:
    with pytest.raises(pigeon.SessionFailed, match="does not exist") as caught:
        pigeon.run(["true"], cache=tmp_path / "nowhere")
    assert (caught.value.may_have_run, caught.value.session) == (False, None)
    with pytest.raises(pigeon.SessionFailed, match="namespace"):
        pigeon.run(["true"], namespace="a/b")


def test_a_lost_worker_and_a_stopped_session_may_have_run(unserved: Pigeon) -> None:
    worker = unserved.worker()
    with pigeon.Popen(["sleep", "60"]) as process:
        process.wait_started()
        assert unserved.run("stop", str(process.session)).code == 0
        process.wait()
        assert isinstance(process.failure, pigeon.HungUp) and process.failure.may_have_run
    with pigeon.Popen(["sh", "-c", "echo $PPID >runner; exec sleep 60"]) as process:
        runner = wait_until(partial(pid_in, unserved.work / "runner"), describe="the runner's pid")
        os.kill(runner, signal.SIGKILL)
        process.wait()
        assert isinstance(process.failure, pigeon.WorkerLost) and process.failure.may_have_run
    assert process.returncode == 255
    worker.stop()


# Timeouts


def test_a_timeout_carries_the_output_and_leaves_nothing(served: Pigeon) -> None:
    # What a busy machine has started in the first second says nothing in it.
    for timeout_s in (1.0, 5.0, 20.0):
        error = expires(timeout_s, "sh", "-c", "echo so far; echo err >&2; sleep 60", capture_output=True)
        served.wait_quiet()
        if error.stderr:
            break
    assert (error.stdout, error.stderr) == (b"so far\n", b"err\n")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 61 & wait",
        "sleep 62 & ",  # the command ends, and leaves one behind that holds its output
        "setsid sleep 63 & wait",
        "trap '' HUP TERM INT; sleep 64; sleep 65",
        "trap '' HUP TERM INT; bash -mc 'sleep 66 & sleep 67'",
        "kill -STOP $$",
    ],
)
def test_a_timeout_ends_whatever_there_is(served: Pigeon, script: str) -> None:
    expires(1.0, "sh", "-c", script, capture_output=True)
    served.wait_quiet()


def test_a_timeout_ends_a_flood(served: Pigeon) -> None:
    expires(1.0, "cat", "/dev/zero", stdout=subprocess.DEVNULL)
    served.wait_quiet()


def test_a_timeout_ends_a_flood_that_is_kept_as_soon_as_subprocess_does(served: Pigeon) -> None:
    # subprocess copies all that it has read once more, which takes it a part of a second for a gigabyte.
    def late(module: Any) -> float:
        began = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            module.run(["cat", "/dev/zero"], timeout=1, capture_output=True)
        return time.monotonic() - began - 1

    pairs: list[tuple[float, float]] = []
    while not pairs or pairs[-1][0] - pairs[-1][1] >= SLACK_S:
        assert len(pairs) < 3, pairs
        pairs.append((late(pigeon), late(subprocess)))
    served.wait_quiet()


def test_a_timeout_covers_the_wait_for_the_directory_and_for_a_worker(
    served: Pigeon, unserved: Pigeon, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires(1.0, "touch", "ran")  # `unserved` has no worker
    monkeypatch.setenv("PIGEON_CONFIG", str(served.client_config()))
    with pigeon.Popen(["sleep", "60"]) as first:
        first.wait_started()
        expires(1.0, "touch", "ran")
        with pytest.raises(pigeon.TimeoutExpired):
            pigeon.call(["touch", "ran"], timeout=0.7)
        first.kill()
    assert pigeon.run(["true"]).returncode == 0
    assert not (unserved.work / "ran").exists()


def test_a_timeout_returns_although_the_share_does_not_answer(served: Pigeon) -> None:
    # A stopped process does what one does that sits in a call to a dead mount: nothing.
    def hang() -> None:
        (process,) = wait_until(lambda: set(children_of(os.getpid())) - others, describe="the client")
        (pump,) = wait_until(lambda: children_of(process), describe="its process on the share")
        os.kill(pump, signal.SIGSTOP)
        pumps.append(pump)

    pumps: list[int] = []
    others = set(children_of(os.getpid()))
    hanging = threading.Thread(target=hang)
    hanging.start()
    began = time.monotonic()
    with pytest.raises(pigeon.TimeoutExpired):
        pigeon.run(["sleep", "60"], timeout=1)
    took = time.monotonic() - began
    hanging.join()
    os.kill(pumps[0], signal.SIGCONT)  # the share answers again: the command is hung up
    assert took < 1 + 2 + SLACK_S  # it asks the client to end for two seconds
    served.wait_quiet()


def test_whoever_waits_for_the_start_may_lose_patience(unserved: Pigeon) -> None:
    with pigeon.Popen(["true"]) as process:
        with pytest.raises(pigeon.TimeoutExpired):
            process.wait_started(0.2)
        process.terminate()
    assert (process.returncode, process.failure) == (-signal.SIGTERM, None)


# Signals and ends


def test_signals_are_for_the_command(served: Pigeon) -> None:
    script = "trap 'echo T; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    with pigeon.Popen(["sh", "-c", script], stdout=pigeon.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.communicate() == (b"T\n", None)
    assert (process.returncode, process.failure) == (3, None)
    for end, code in (pigeon.Popen.kill, -9), (pigeon.Popen.kill_all, -9), (pigeon.Popen.hang_up, -1):
        with pigeon.Popen(["sleep", "60"]) as process:
            process.wait_started()
            end(process)
        assert (process.returncode, process.failure) == (code, None)
        end(process)  # harmless by now


CALLER = """
import pigeon, sys
try:
    pigeon.run(["sh", "-c", "echo $$ >pid; exec sleep 60"], start_new_session={alone})
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("whom", ["group", "python", "python alone"])
def test_ctrl_c_in_a_script_ends_its_command(served: Pigeon, whom: str) -> None:
    program = CALLER.format(alone=whom == "python alone")
    caller = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    pid = wait_until(partial(pid_in, served.work / "pid"), describe="the command")
    (os.killpg if whom == "group" else os.kill)(caller.pid, signal.SIGINT)
    assert timed(lambda: caller.wait(30)) < SLACK_S
    assert caller.communicate()[0] == b"interrupted\n"
    wait_until(partial(has_ended, pid), SLACK_S, "the command's end")
    (served.work / "pid").unlink()


def test_the_command_of_a_killed_caller_is_gone_soon(served: Pigeon) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CALLER.format(alone=False)])
    pid = wait_until(partial(pid_in, served.work / "pid"), describe="the command")
    caller.kill()
    caller.wait()
    wait_until(partial(has_ended, pid), SLACK_S, "the command's end")
    (served.work / "pid").unlink()


def test_a_killed_client_is_told_apart_from_a_killed_command(served: Pigeon) -> None:
    with pigeon.Popen(["sleep", "60"]) as process:
        process.wait_started()
        os.kill(process.pid, signal.SIGKILL)
    failure = process.failure
    assert isinstance(failure, pigeon.SessionFailed) and failure.kind == "client" and failure.may_have_run


def test_who_stops_reading_ends_it_as_a_pipe_does(served: Pigeon) -> None:
    with pigeon.Popen(["yes"], stdout=pigeon.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    assert process.returncode == -signal.SIGPIPE


def test_a_pipeline_of_two_commands(served: Pigeon) -> None:
    first = pigeon.Popen(["seq", "100000"], stdout=pigeon.PIPE, lock=False)
    assert first.stdout is not None
    with pigeon.Popen(["wc", "-l"], stdin=first.stdout, stdout=pigeon.PIPE, text=True, lock=False) as second:
        first.stdout.close()
        assert second.communicate()[0] == "100000\n"
    assert first.wait() == 0


def test_a_terminal_where_one_is_asked_for(served: Pigeon) -> None:
    script = "test -t 1 && echo terminal || echo pipe"
    assert pigeon.check_output(script, shell=True) == b"pipe\n"
    assert pigeon.check_output(script, shell=True, tty=True) == b"terminal\r\n"


def test_inside_a_session_it_runs_in_place(served: Pigeon) -> None:
    program = (
        "import pigeon, os\n"
        "print(pigeon.run(['sh', '-c', 'echo $PPID $A'], env={'A': '1'}, capture_output=True).stdout.split()[1:])\n"
        "print(pigeon.call(['sh', '-c', 'kill -TERM $$']), pigeon.call('exit 3', shell=True))\n"
        "p = pigeon.Popen(['sleep', '60']); p.wait_started(); p.kill(); print(p.wait())\n"
        "try: pigeon.run(['no-such-program'])\n"
        "except FileNotFoundError: print('not found')\n"
    )
    done = pigeon.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.stdout == "[b'1']\n-15 3\n-9\nnot found\n", done


def test_inside_a_session_on_a_terminal_pipes_are_pipes(served: Pigeon) -> None:
    program = "import pigeon; print('got', pigeon.run(['cat'], input=b'in').returncode, flush=True)"
    terminal = served.spawn_tty(sys.executable, "-c", program)
    terminal.wait_for("ingot 0")
    assert terminal.wait().code == 0


def test_the_umask_travels(served: Pigeon) -> None:
    assert pigeon.check_output("umask", shell=True, umask=0o027) == b"0027\n"


def test_it_answers_where_the_prompt_would_be(served: Pigeon) -> None:
    # No prompt waits for a newline that nobody wrote.
    with pigeon.Popen(
        ["sh", "-c", "printf 'name? '; read n; echo hello $n"],
        stdin=pigeon.PIPE,
        stdout=pigeon.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert os.read(process.stdout.fileno(), 100) == b"name? "
        process.stdin.write(b"you\n")
        assert process.communicate() == (b"hello you\n", None)


# Many


def test_many_threads_at_once(served: Pigeon) -> None:
    count = 24
    many_threads(count)


@pytest.mark.long
def test_a_hundred_threads_at_once(served: Pigeon) -> None:
    many_threads(100)


def many_threads(count: int) -> None:
    """Each gets its own answer, and nothing is left in this process."""
    failures: list[object] = []
    before = descriptors(), threading.active_count(), set(children_of(os.getpid()))

    def call(number: int) -> None:
        try:
            done = pigeon.run(
                ["sh", "-c", "cat; exit $0", str(number)],
                input=b"%d" % number,
                capture_output=True,
                lock=False,
                claim_timeout=120,
            )
            if (done.returncode, done.stdout, done.stderr) != (number, b"%d" % number, b""):
                failures.append(done)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (descriptors(), threading.active_count(), set(children_of(os.getpid()))) == before


def test_calls_leave_nothing(served: Pigeon) -> None:
    leave_nothing(20)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_thousand_calls_leave_nothing(served: Pigeon) -> None:
    leave_nothing(1000)


def leave_nothing(count: int) -> None:
    """Every kind of call in turn."""
    pigeon.run(["true"])
    before = descriptors(), threading.active_count(), set(children_of(os.getpid()))
    for number in range(count // 4):
        assert pigeon.run(["echo", str(number)], capture_output=True, text=True).stdout == f"{number}\n"
        assert pigeon.call(["sh", "-c", "exit 3"]) == 3
        with pytest.raises(FileNotFoundError):
            pigeon.run(["no-such-program"])
        process = pigeon.Popen(["sleep", "60"], stdin=pigeon.PIPE, stdout=pigeon.PIPE)
        process.kill()
        process.communicate()
        assert process.returncode == -9
    assert (descriptors(), threading.active_count(), set(children_of(os.getpid()))) == before


def test_a_command_whose_input_is_the_programs_holds_up_no_other_of_it(served: Pigeon) -> None:
    """Each would wait for the other: the first for its input, the program for the second, that for the directory."""
    with pigeon.Popen(["cat"], stdin=pigeon.PIPE, stdout=pigeon.PIPE) as first:
        first.wait_started(30)
        assert pigeon.check_output(["echo", "beside"], timeout=60) == b"beside\n"
        assert first.poll() is None
        assert first.communicate(b"fed", timeout=30)[0] == b"fed"


def test_what_is_ordered_before_the_input_is_closed_comes_before_its_end(served: Pigeon) -> None:
    """As kill(2) does: `cat` would end with 0 otherwise, now and then."""
    codes = []
    for _ in range(12):
        with pigeon.Popen(["cat"], stdin=pigeon.PIPE, lock=False) as process:
            process.wait_started(30)
            process.kill()
        codes.append(process.returncode)
    assert codes == [-signal.SIGKILL] * 12
