"""CPython's own tests of subprocess, asyncio's subprocesses and concurrent.futures, with pigeon's names put in place.

tests/api/cpython.py runs them in a process of their own. All pass but those that are listed here, each with its
reason; a few of each in the default suite, all of them in the long one.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.api.cpython import places
from tests.helpers.pigeon import Pigeon
from tests.helpers.surroundings import ROOT

WAITS_FOR_NOTHING = "Popen() returns before the command has been started: `wait_started` and `run` raise this"
EXCEPTIONS = {
    "ProcessTestCase.test_cwd_with_absolute_arg": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_cwd_with_relative_arg": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_cwd_with_relative_executable": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_double_close_on_error": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_executable_takes_precedence": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_handles_closed_on_exception": WAITS_FOR_NOTHING,
    "ProcessTestCase.test_leaking_fds_on_error": WAITS_FOR_NOTHING,
    "ContextManagerTests.test_invalid_args": WAITS_FOR_NOTHING,
    "ProcessTestCase.test__use_vfork": "it looks at what subprocess hands to its C module",
    "SubprocessThreadedWatcherTests.test_stdin_broken_pipe": "it hands a descriptor on (pass_fds)",
    "SubprocessPidfdWatcherTests.test_stdin_broken_pipe": "it hands a descriptor on (pass_fds)",
}
assert len(EXCEPTIONS) <= 12

FEW = {
    "subprocess": [
        "ProcessTestCase.test_communicate",
        "ProcessTestCase.test_communicate_timeout",
        "ProcessTestCase.test_communicate_pipe_buf",
        "ProcessTestCase.test_env",
        "ProcessTestCase.test_invalid_env",
        "ProcessTestCase.test_wait_timeout",
        "ProcessTestCase.test_executable",
        "ProcessTestCase.test_stdout_stderr_file",
        "RunFuncTestCase.test_run_kwargs",
        "RunFuncTestCase.test_check_output_timeout",
        "MiscTests.test_getoutput",
        "POSIXProcessTestCase.test_shell_string",
        "POSIXProcessTestCase.test_close_fds_0_1_2",
    ],
    "asyncio": [
        "SubprocessPidfdWatcherTests.test_communicate",
        "SubprocessPidfdWatcherTests.test_cancel_make_subprocess_transport_exec",
        "SubprocessPidfdWatcherTests.test_kill",
        "SubprocessPidfdWatcherTests.test_pause_reading",
        "SubprocessPidfdWatcherTests.test_shell",
        "SubprocessPidfdWatcherTests.test_start_new_session",
    ],
    "futures": [
        "PigeonExecutorTest.test_map",
        "PigeonExecutorTest.test_map_exception",
        "PigeonExecutorTest.test_no_stale_references",
        "PigeonExecutorTest.test_shutdown_race_issue12456",
        "PigeonAsCompletedTest.test_no_timeout",
    ],
}


def run_suite(pigeon: Pigeon, suite: str, names: list[str]) -> dict[str, str]:
    """How the tests went: test -> `ok`, `skipped`, or the last line of what went wrong."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.api.cpython", suite, *names],
        capture_output=True,
        text=True,
        timeout=800,
        env={**pigeon.env(), "PYTHONPATH": str(ROOT)},
        cwd=pigeon.work,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not places("test_concurrent_futures.py"), reason="needs libpython3-testsuite")
@pytest.mark.parametrize("suite", FEW)
def test_a_few_of_each(served: Pigeon, suite: str) -> None:
    found = run_suite(served, suite, FEW[suite])
    assert len(found) >= len(FEW[suite])
    assert set(found.values()) <= {"ok"}, found


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("suite", FEW)
def test_all_but_the_listed_ones(served: Pigeon, suite: str) -> None:
    found = run_suite(served, suite, [])
    wrong = {name: text for name, text in found.items() if text not in ("ok", "skipped")}
    assert wrong.keys() <= EXCEPTIONS.keys(), wrong
    assert list(found.values()).count("ok") > {"subprocess": 100, "asyncio": 50, "futures": 20}[suite]
