"""`pigeon.Executor`: functions on a worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import pigeon
from tests.api import farmost
from tests.helpers.driving import has_ended, pid_in
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import patient, wait_until

OTHER_PYTHONS = [
    Path("/usr/bin/python3"),
    *(
        path
        for minor in (8, 9, 10, 12, 13, 14)
        for path in sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"))[:1]
    ),
]


def executor(max_workers: int = 2, **options: Any) -> pigeon.Executor:
    return pigeon.Executor(max_workers, **{"python": sys.executable, **options})


def test_calls_results_and_exceptions(served: Pigeon) -> None:
    with executor() as pool:
        assert pool.submit(farmost.add, 1, b=2).result() == 3
        assert list(pool.map(farmost.add, range(50), range(50))) == list(range(0, 100, 2))
        assert pool.submit(len, bytes(20_000_000)).result() == 20_000_000
        assert len(pool.submit(bytes, 20_000_000).result()) == 20_000_000
        error = pool.submit(farmost.boom, "bad").exception()
        assert isinstance(error, ValueError) and error.args == ("bad",)
        assert isinstance(error.__cause__, pigeon.RemoteTraceback)
        assert "farmost.py" in str(error.__cause__) and "in boom" in str(error.__cause__)
        with pytest.raises(pigeon.RemoteError, match="OddError: odd"):
            pool.submit(farmost.odd).result()
        with pytest.raises(AttributeError, match="local object"):
            pool.submit(farmost.local).result()
        with pytest.raises(SystemExit):
            pool.submit(sys.exit, 3).result()
        assert pool.submit(farmost.add, 1, 2).result() == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(len, "")
    served.wait_quiet()


def test_what_cannot_be_pickled_is_told_in_submit(served: Pigeon) -> None:
    with executor() as pool, pytest.raises(TypeError, match="lock"):
        pool.submit(farmost.add, threading.Lock(), 1)


def test_prints_go_to_the_callers_stderr(served: Pigeon, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w+") as file, executor(stderr=file) as pool:
        assert pool.submit(farmost.talk).result() == ""
        pool.shutdown()
        file.seek(0)
        assert sorted(file.read().splitlines()) == ["from a child", "printed", "to stderr"]


def test_only_the_call_whose_python_died_fails(served: Pigeon) -> None:
    with executor() as pool:
        first, dying, *rest = (
            pool.submit(farmost.add, 1, 1),
            pool.submit(farmost.die, 9),
            *(pool.submit(farmost.add, n, n) for n in range(10)),
        )
        error = dying.exception()
        assert isinstance(error, pigeon.WorkerDied) and error.returncode == 9
        assert first.result() == 2
        assert [call.result() for call in rest] == list(range(0, 20, 2))


def test_a_python_that_is_killed_is_not_replaced_for_its_call(served: Pigeon) -> None:
    path = served.work / "runs"
    with executor(1) as pool:
        call = pool.submit(farmost.nap, 60, str(path))
        pid = wait_until(partial(pid_in, path), describe="the call")
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(pigeon.WorkerDied):
            call.result(10)
        assert pool.submit(farmost.add, 1, 2).result() == 3
    assert len(path.read_text().splitlines()) == 1  # run once


def test_a_lost_session_is_told(served: Pigeon) -> None:
    path = served.work / "lost"
    with executor(1) as pool:
        call = pool.submit(farmost.nap, 60, str(path))
        wait_until(partial(pid_in, path), describe="the call")
        (python,) = pool._pool.pythons
        assert served.run("stop", str(python.process.session)).code == 0
        error = call.exception(10)
    assert isinstance(error, pigeon.WorkerDied) and isinstance(error.__cause__, pigeon.HungUp)


def test_without_a_worker_or_a_python_every_call_says_so(unserved: Pigeon) -> None:
    with executor(2, claim_timeout=0.5) as pool:
        calls = [pool.submit(farmost.add, n, n) for n in range(8)]
        assert {type(call.exception()) for call in calls} == {pigeon.NoWorker}
    unserved.worker()
    with executor(1, python="no-such-python") as pool:
        assert isinstance(pool.submit(farmost.add, 1, 1).exception(), FileNotFoundError)
    with executor(1, python="true") as pool, pytest.raises(RuntimeError, match="has to be a Python"):
        pool.submit(farmost.add, 1, 1).result()


def test_initializer(served: Pigeon) -> None:
    with executor(1, initializer=farmost.get_ready, initargs=("now",)) as pool:
        assert pool.submit(farmost.is_ready).result() == ["now"]
    with executor(1, initializer=farmost.boom, initargs=("bad",)) as pool:
        with pytest.raises(futures.BrokenExecutor) as caught:
            pool.submit(farmost.is_ready).result()
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(futures.BrokenExecutor):
            pool.submit(farmost.is_ready)
    for options in {"max_workers": 0}, {"by_value": "always"}:
        with pytest.raises(ValueError):
            executor(**options)


def test_an_idle_python_leaves_and_another_comes(served: Pigeon) -> None:
    with executor(1, idle_timeout=0.3) as pool:
        first = pool.submit(farmost.pid).result()
        wait_until(lambda: has_ended(first), 15, "the idle Python's end")
        assert pool.submit(farmost.pid).result() != first


# By value


def test_code_travels_between_equal_pythons(served: Pigeon) -> None:
    factor = 3
    with executor() as pool:
        assert list(pool.map(lambda n: n * factor, range(4))) == [0, 3, 6, 9]
        assert pool.submit(lambda: lambda: 7).result()() == 7
    with executor(by_value="never") as pool, pytest.raises(TypeError, match="move it into a module"):
        pool.submit(lambda: 1)


def test_functions_of_the_main_script_travel_by_value(served: Pigeon) -> None:
    program = served.work / "program.py"
    program.write_text(
        "import pigeon, sys\n"
        "class Thing:\n    pass\n"
        "def make():\n    return Thing()\n"
        "if __name__ == '__main__':\n"
        "    with pigeon.Executor(1, python=sys.executable) as pool:\n"
        "        print(type(pool.submit(make).result()).__name__)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert done.stdout == "Thing\n", done


@pytest.mark.parametrize("python", OTHER_PYTHONS, ids=lambda path: path.parents[1].name)
def test_other_pythons_take_references_and_no_code(served: Pigeon, python: Path) -> None:
    with executor(1, python=python) as pool:
        version = pool.submit(farmost.python_of).result()
        assert "/usr" in str(python) or version[1] == int(python.parents[1].name.split(".")[1])
        with pytest.raises(ValueError, match="bad"):
            pool.submit(farmost.boom, "bad").result()
        with pytest.raises(TypeError, match=r"over there.*; move it into a module"):
            pool.submit(lambda: 1)
        assert pool.submit(farmost.add, 1, 2).result() == 3


# The end


def test_cancelling_and_shutting_down(served: Pigeon) -> None:
    pool = executor(1)
    path = served.work / "first"
    running = pool.submit(farmost.nap, 0.5, str(path))
    queued = [pool.submit(farmost.nap, 30) for _ in range(3)]
    wait_until(partial(pid_in, path), describe="the call")
    assert not running.cancel() and queued[0].cancel()
    pool.shutdown(cancel_futures=True)
    assert running.result() == 0.5
    assert all(call.cancelled() for call in queued)
    pool.shutdown()


def raise_in_block(error: BaseException, path: Path) -> None:
    with executor(1) as pool:
        for _ in range(3):
            pool.submit(farmost.nap, 60, str(path))
        wait_until(partial(pid_in, path), describe="the call")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError()])
def test_a_block_that_is_left_by_an_exception_ends_what_runs(served: Pigeon, error: BaseException) -> None:
    path = served.work / f"left-{type(error).__name__}"
    with pytest.raises(type(error)):
        raise_in_block(error, path)
    wait_until(partial(has_ended, pid_in(path)), 5, "the call's end")
    assert len(path.read_text().splitlines()) == 1


SCRIPTS: dict[str, str] = {
    "in the block": "with pool: [pool.submit(farmost.nap, 60, sys.argv[1]) for _ in range(3)]",
    "in result": "pool.submit(farmost.nap, 60, sys.argv[1]).result()",
    "in shutdown": "pool.submit(farmost.nap, 60, sys.argv[1]); pool.shutdown()",
}


@pytest.mark.parametrize("where", SCRIPTS)
def test_ctrl_c_ends_what_runs(served: Pigeon, where: str) -> None:
    path = served.work / where.replace(" ", "-")
    program = (
        "import pigeon, sys\nfrom tests.api import farmost\n"
        f"pool = pigeon.Executor(1, python=sys.executable)\n{SCRIPTS[where]}\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", program, path], stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    pid = wait_until(partial(pid_in, path), describe="the call")
    os.killpg(caller.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in caller.communicate(timeout=patient(15))[1]
    wait_until(partial(has_ended, pid), 5, "the call's end")


def test_what_was_submitted_is_done_before_the_program_ends(served: Pigeon) -> None:
    program = (
        "import pigeon, sys\nfrom tests.api import farmost\n"
        "pool = pigeon.Executor(1, python=sys.executable)\n"
        "pool.submit(farmost.nap, 0.3).add_done_callback(lambda call: print(call.result()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0.3\n", "")


def test_an_executor_that_nobody_has_any_more_ends(served: Pigeon) -> None:
    pool = executor(1)
    pid = pool.submit(farmost.pid).result()
    del pool
    wait_until(lambda: has_ended(pid), 15, "the Python's end")


def test_callbacks_may_use_the_executor(served: Pigeon) -> None:
    with executor(1) as pool:
        done: list[Any] = []
        calls = [pool.submit(farmost.nap, 0.2) for _ in range(3)]
        for call in calls:

            def again(_call: futures.Future[Any]) -> None:
                with contextlib.suppress(RuntimeError):
                    done.append(pool.submit(farmost.add, 1, 1))

            call.add_done_callback(again)
        calls[0].result()
        pool.shutdown(cancel_futures=True)
    assert all(call.done() for call in done)


# With others


def test_under_asyncio(served: Pigeon) -> None:
    async def main(pool: pigeon.Executor) -> list[int]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(pool, farmost.add, n, n) for n in range(8))))

    with executor() as pool:
        assert asyncio.run(main(pool)) == list(range(0, 16, 2))
        assert asyncio.run(asyncio.to_thread(pool.submit(farmost.add, 1, 2).result)) == 3


def test_it_schedules_dask(served: Pigeon) -> None:
    from dask.base import compute
    from dask.delayed import delayed

    with executor() as pool:
        squares = [delayed(pow)(n, 2) for n in range(8)]
        assert delayed(sum)(squares).compute(scheduler=pool) == 140
        bag = delayed(lambda n: n + 1)(delayed(farmost.add)(1, 2))
        assert compute(bag, scheduler=pool) == (4,)  # type: ignore[no-untyped-call]


def best(call: Callable[[], Any], tries: int = 3) -> float:
    took = []
    for _ in range(tries):
        began = time.monotonic()
        call()
        took.append(time.monotonic() - began)
    return min(took)


def a_command() -> None:
    """Through pigeon as any other: what calls are measured by, whatever the machine does besides."""
    assert pigeon.call(["true"]) == 0


def test_a_call_is_quick(served: Pigeon) -> None:
    # tools/bench measures it alone.
    command_s = best(a_command)
    with executor(1) as pool:
        pool.submit(farmost.pid).result()
        assert best(lambda: pool.submit(farmost.add, 1, 2).result(), 200) < command_s / 5


def test_commands_through_an_executor_are_quick(served: Pigeon) -> None:
    command_s = best(a_command)
    with executor(8) as pool:

        def hundred() -> None:
            calls = [pool.submit(subprocess.run, ["true"]) for _ in range(100)]
            assert all(call.result().returncode == 0 for call in calls)

        assert best(hundred) < 30 * command_s
