"""For what a session waits: one answer for its client, `sessions` and `inspect`."""

from __future__ import annotations

import pytest

from pigeon.text import cut, duration, typed, width
from pigeon.wire import waits
from pigeon.wire.worker_file import LaunchedEntry, RunningEntry, WorkerFile

ME = "1700000000000-00000000000a"
OTHER = "1700000000000-00000000000b"


def worker(
    name: str = "w-1", *running: RunningEntry, route: str | None = None, **fields: object
) -> WorkerFile:
    found = WorkerFile(name, "host", 1, route)
    found.max_jobs, found.running = 2, running
    for field, value in fields.items():
        setattr(found, field, value)
    return found


def entry(session_id: str = OTHER, cwd: str = "/d", locks: bool = True) -> RunningEntry:
    return RunningEntry(session_id, cwd, ["bash", "-lc", "make"], 5.0, locks=locks)


def launched(session_id: str = OTHER, *, is_open: bool = True) -> LaunchedEntry:
    return LaunchedEntry(entry(session_id), "job 7 queued", is_open=is_open)


def why(
    *living: WorkerFile, route: str | None = None, locks: bool = True, earlier: tuple[str, ...] = ()
) -> waits.Wait:
    return waits.why(ME, "/d", route, living, locks=locks, earlier=earlier)


@pytest.mark.parametrize(
    ("wait", "kind"),
    [
        (why(), waits.WORKER),
        (why(worker(route="gpu")), waits.WORKER),
        (why(worker(), route="gpu"), waits.WORKER),
        (why(worker(is_draining=True)), waits.ENDING),
        (why(worker(is_draining=True), worker()), waits.TURN),
        (why(worker()), waits.TURN),
        (why(worker(), earlier=(OTHER,)), waits.BEHIND),
        (why(worker(), earlier=(OTHER,), locks=False), waits.TURN),
        (why(earlier=(OTHER,)), waits.WORKER),
        (why(worker("w", entry())), waits.DIRECTORY),
        (why(worker("w", entry()), locks=False), waits.TURN),
        (why(worker("w", entry(locks=False))), waits.TURN),
        (why(worker("w", entry(cwd="/e"))), waits.TURN),
        (why(worker("w", entry(ME))), waits.TURN),
        (why(worker("w", entry(), route="gpu")), waits.DIRECTORY),
        (why(worker("w", entry(cwd="/e"), max_jobs=1)), waits.SLOT),
        (why(worker(launched=[launched(ME)])), waits.LAUNCHER),
        (why(worker("w", entry(), launched=[launched(ME)])), waits.DIRECTORY),
        (why(worker("w", launched=[launched(OTHER), launched(ME)])), waits.LAUNCHER),
        (why(worker("w", entry(), launched=[launched(ME)]), locks=False), waits.LAUNCHER),
        (why(worker(launched=[launched(ME)], is_draining=True)), waits.LAUNCHER),
        (why(worker(launched=[launched(ME)]), route="gpu"), waits.WORKER),
        (why(worker(launched=[launched(ME, is_open=False)])), waits.TURN),
        (why(worker(launched=[launched()])), waits.DIRECTORY),
        (why(worker(launched=[launched()]), locks=False), waits.TURN),
        (why(worker(launched=[launched()], max_jobs=1), locks=False), waits.SLOT),
        (why(worker("w", entry(cwd="/e"), max_jobs=1), worker()), waits.TURN),
        (why(worker("w", entry(cwd="/e"), max_jobs=1), earlier=(OTHER,)), waits.SLOT),
    ],
)
def test_each_reason(wait: waits.Wait, kind: str) -> None:
    assert wait.kind == kind
    assert str(wait)


def test_what_belongs_to_the_reason() -> None:
    held = why(worker("w", entry()))
    assert held.holder is not None
    assert (held.holder.session_id, held.host, str(held)) == (
        OTHER,
        "host",
        f"the directory, held by {OTHER}",
    )
    assert str(why(worker(), earlier=(OTHER, ME))) == f"the directory, behind {OTHER}"
    full = why(worker("a", entry(cwd="/e"), max_jobs=1), worker(is_draining=True))
    assert (full.workers, full.full, full.ending) == (1, 1, 1)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0ms"),
        (0.035, "35ms"),
        (0.9994, "999ms"),
        (0.9996, "1.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (187, "3m07s"),
        (600, "10m"),
        (7199, "1h59m"),
        (7200, "2h"),
        (86399.6, "1d"),
        (273600, "3d04h"),
    ],
)
def test_a_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_a_command_is_shown_as_it_was_typed() -> None:
    assert typed(["bash", "-lc", "exit 7"]) == "exit 7"
    assert typed(["sh", "-c", "exit 7"]) == "sh -c 'exit 7'"
    assert typed(["python3", "x y.py"]) == "python3 'x y.py'"


def test_columns() -> None:
    assert [width(text) for text in ("ab", "你好", "e\u0301", "❤\ufe0f")] == [2, 4, 1, 2]
    assert cut("你好吗", 5) == "你好…"
    assert cut("/a/long/path", 6, keep_end=True) == "…/path"
