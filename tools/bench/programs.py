"""What `import pigeon` costs a program: a call beside the same command through the executable, and an Executor's calls.

As a program (`python programs.py PIGEON…`) it is the caller that is measured, run by the Python that pigeon is
installed in; it prints figures as JSON.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contenders import Standing
    from .table import Metrics

PAIRS = 15
CALLS = 200
TOGETHER = 100
SESSIONS = 8


def calls(standing: Standing) -> Metrics:
    """Figures by name, as the caller has printed them."""
    command = standing.argv("")[:-1]
    python = f"{os.path.dirname(command[0])}/python3"
    done = subprocess.run(
        [python, __file__, *command],
        env=standing.env,
        cwd=standing.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    figures: Metrics = json.loads(done.stdout)
    return figures


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main(command: list[str]) -> None:
    """Be the caller."""
    import pigeon

    words = ["sh", "-c", "exit 0"]  # no login shell on either way
    pairs = [
        (
            _seconds(lambda: subprocess.run([*command, "-T", "sh", "-c", "exit 0"], check=True)),
            _seconds(lambda: pigeon.run(words, check=True)),
        )
        for _ in range(PAIRS)
    ]
    with pigeon.Executor(SESSIONS, python=sys.executable) as executor:
        for ready in [executor.submit(time.sleep, 0.3) for _ in range(SESSIONS)]:
            ready.result()
        single = [_seconds(lambda: executor.submit(abs, -1).result()) for _ in range(CALLS)]

        def together() -> None:
            for call in [executor.submit(subprocess.run, ["true"]) for _ in range(TOGETHER)]:
                call.result()

        hundred = min(_seconds(together) for _ in range(3))
    print(
        json.dumps(
            {
                "executable_ms": 1000 * statistics.median(executable for executable, _ in pairs),
                "run_ms": 1000 * statistics.median(run for _, run in pairs),
                "more_ms": 1000 * statistics.median(run - executable for executable, run in pairs),
                "times": statistics.median(run / executable for executable, run in pairs),
                "executor_p50_ms": 1000 * statistics.median(single),
                "hundred_s": hundred,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
