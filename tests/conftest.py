"""What all tests share: isolation from the machine's own pigeon, and the fixtures that start real ones.

No test sees the developer's configuration, share or journal: `PIGEON_*` is gone from the environment and HOME is a
fresh directory, for tests inside this process too. A failed test shows everything its `Pigeon` knows.
"""

from __future__ import annotations

import os
import platform
import shlex
import signal
import sqlite3
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.helpers.pigeon import Pigeon, pigeon_in
from tests.helpers.share import Share, make_share
from tests.helpers.surroundings import pigeon_command
from tests.helpers.waiting import WITNESSES, NotInTime, testimony

# Beside other tests a processor may be had only now and then: no reason to fail. And no change of anybody's is refused
# for what another's examples would have found: they are the same each time, until somebody searches.
hypothesis.settings.register_profile(
    "busy",
    hypothesis.settings(),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=not os.environ.get("PIGEON_TEST_SEARCH"),
)
hypothesis.settings.load_profile("busy")

_FAILED = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Hear signals as a program at a terminal does.

    `nohup`, `&` in a script and some CI start their programs with these ignored, which every child inherits; a test
    that wants them ignored ignores them itself.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """What the results depend on."""
    place = os.environ.get("TMPDIR", "/tmp")
    kind = subprocess.run(["stat", "-f", "-c", "%T", place], capture_output=True, text=True, check=False)
    return [
        f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, "
        f"{place} on {kind.stdout.strip() or 'an unknown filesystem'}, uid {os.geteuid()}",
        f"pigeon: {shlex.join(pigeon_command())}; shares: {os.environ.get('PIGEON_TEST_SHARES', 'below ' + place)}",
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that the test failed, and add what the witnesses know then."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
        told = call.excinfo is not None and isinstance(call.excinfo.value, NotInTime)
        if WITNESSES and not told:
            report.sections.append(("what pigeon's files and logs say", testimony()))
    return report


@pytest.fixture(autouse=True)
def _isolation(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Default places lead into an empty directory."""
    for name in list(os.environ):
        if name.startswith("PIGEON_") and not name.startswith("PIGEON_TEST_"):
            monkeypatch.delenv(name)
        if name.startswith("XDG_") or name in ("COLUMNS", "LINES"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def _has_failed(request: pytest.FixtureRequest) -> bool:
    return bool(request.node.stash.get(_FAILED, False))


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """A fresh share, under the name of each side."""
    return make_share(tmp_path)


@pytest.fixture
def pigeon(request: pytest.FixtureRequest, tmp_path: Path, share: Share) -> Iterator[Pigeon]:
    """A share, a journal and a home of this test's own, without a worker."""
    with pigeon_in(tmp_path, lambda: _has_failed(request), share) as made:
        yield made


@pytest.fixture(scope="module")
def _warm(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Pigeon]:
    with pigeon_in(tmp_path_factory.mktemp("warm"), lambda: request.session.testsfailed > 0) as made:
        made.worker(max_jobs=8)
        WITNESSES.remove(made.tell)  # it speaks only in tests that use it
        yield made


@pytest.fixture
def warm(_warm: Pigeon, request: pytest.FixtureRequest) -> Iterator[Pigeon]:
    """A pigeon with a worker (8 slots) that the tests of a module share; each leaves it with nothing running.

    Settings that a test configures are its clients' alone, and gone after it.
    """
    assert _warm.workers[0].child.running, f"the shared worker ended\n{_warm.workers[0].child.tell()}"
    settings = _warm.settings
    WITNESSES.append(_warm.tell)
    yield _warm
    WITNESSES.remove(_warm.tell)
    _warm.settings = settings
    problems = _warm.tidy()
    if problems and not _has_failed(request):
        raise AssertionError("\n".join(problems))


def pytest_make_parametrize_id(config: pytest.Config, val: Any, argname: str) -> str | None:
    """Bytes and long values get short, printable ids."""
    if isinstance(val, bytes):
        return repr(val)[1:30]
    return None
