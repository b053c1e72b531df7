"""`await pigeon.create_subprocess_exec` and `_shell`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import pigeon
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import PATIENCE

SLACK_S = 4 * PATIENCE
"""What a timeout may take beyond itself on a busy machine; hanging up would take ten seconds."""


async def output_of(*words: str, **options: Any) -> tuple[bytes, int | None]:
    process = await pigeon.create_subprocess_exec(*words, stdout=pigeon.PIPE, lock=False, **options)
    out, _ = await process.communicate()
    return out, process.returncode


def test_many_at_once(served: Pigeon) -> None:
    async def main() -> list[tuple[bytes, int | None]]:
        return await asyncio.gather(*(output_of("sh", "-c", "echo $0; exit $0", str(n)) for n in range(12)))

    assert asyncio.run(main()) == [(b"%d\n" % n, n) for n in range(12)]


def test_what_cannot_be_started_raises_at_once(served: Pigeon, unserved: Pigeon) -> None:
    async def main() -> None:
        with pytest.raises(pigeon.NoWorker):
            await pigeon.create_subprocess_exec("true", claim_timeout=0.5)
        with pytest.raises(FileNotFoundError):
            await pigeon.create_subprocess_exec("no-such-program", config=served.client_config())
        with pytest.raises(ValueError):
            await pigeon.create_subprocess_exec("true", pass_fds=(0,))

    asyncio.run(main())


def test_a_timeout_ends_the_command(served: Pigeon) -> None:
    async def main() -> float:
        process = await pigeon.create_subprocess_shell("trap '' HUP TERM; sleep 60 & sleep 61")
        began = time.monotonic()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(process.communicate(), 0.5)
        assert await process.wait() == -9
        assert process.failure is None
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.5 + SLACK_S
    served.wait_quiet()


def test_cancelled_before_the_start_it_does_not_run(unserved: Pigeon) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pigeon.create_subprocess_exec("touch", "ran"), 1)
        await asyncio.sleep(0)

    asyncio.run(main())
    unserved.worker()
    assert pigeon.call(["true"]) == 0
    assert not (unserved.work / "ran").exists()


def test_signals_and_what_is_known(served: Pigeon) -> None:
    async def main() -> None:
        for end, code in ("terminate", -15), ("kill", -9), ("kill_all", -9):
            process = await pigeon.create_subprocess_exec("sleep", "60")
            assert process.session in served.namespace.session_names()
            assert process.failure is None
            getattr(process, end)()
            assert await process.wait() == code
            with pytest.raises(ProcessLookupError):
                process.send_signal(15)

    asyncio.run(main())


def test_blocking_calls_in_threads_of_a_loop(served: Pigeon) -> None:
    async def main() -> list[Any]:
        calls = (asyncio.to_thread(pigeon.run, ["sh", "-c", f"exit {n}"], lock=False) for n in range(6))
        return list(await asyncio.gather(*calls))

    assert [done.returncode for done in asyncio.run(main())] == list(range(6))
