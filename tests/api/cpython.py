"""Run CPython's own tests with pigeon's names put in place of those that they test.

    python -m tests.api.cpython SUITE [NAME…]

The tests come from the interpreter's own test package or from Debian's libpython3-testsuite; nothing of them is
copied. Prints one JSON object: test -> "ok", "skipped" or the last line of what went wrong. Runs in a directory and an
environment in which `pigeon` finds a worker.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import sysconfig
import types
import unittest
from pathlib import Path
from typing import Any

import pigeon

# Of this class those that do not ask for what only a child of one's own can have (preexec_fn, pass_fds, user, …).
POSIX = """
    args_string call_string close_fds_0_1 close_fds_0_2 close_fds_1_2 close_fds_0_1_2 kill pipe_cloexec
    pipe_cloexec_real_tools send_signal shell_sequence shell_string specific_shell terminate umask
""".split()
CLASSES = {
    "subprocess": (
        "ProcessTestCase",
        "RunFuncTestCase",
        "ContextManagerTests",
        "MiscTests.test_getoutput",
        *(f"POSIXProcessTestCase.test_{name}" for name in POSIX),
    ),
    "asyncio": (
        "SubprocessThreadedWatcherTests",
        "SubprocessPidfdWatcherTests",
        "SubprocessMultiLoopWatcherTests",
    ),
    "futures": ("PigeonExecutorTest", "PigeonWaitTest", "PigeonAsCompletedTest"),
}
SUBPROCESS_NAMES = "Popen run call check_call check_output getoutput getstatusoutput".split()


def places(name: str) -> list[Path]:
    """Where a test module may lie."""
    own = Path(sysconfig.get_path("stdlib")) / "test" / name
    debian = Path(f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/test") / name
    return [place for place in (own, debian) if place.exists()]


def load(name: str) -> Any:
    """A module of CPython's tests, by its path below `test/`. Raises LookupError."""
    found = places(name)
    if not found:
        raise LookupError(f"no {name} beside this interpreter; Debian has it in libpython3-testsuite")
    importlib.import_module("test.support")
    if "/" in name:
        importlib.import_module("test." + name.partition("/")[0])
    module_name = "test." + name.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(module_name, found[0])
    assert spec is not None and spec.loader is not None
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copy_of(module: types.ModuleType, names: list[str]) -> types.ModuleType:
    """A module with pigeon's `names` and everything else of `module`."""
    made = types.ModuleType(module.__name__)
    made.__dict__.update(module.__dict__)
    for name in names:
        setattr(made, name, getattr(pigeon, name))
    return made


def suite_of_subprocess() -> Any:
    module = load("test_subprocess.py")
    module.subprocess = copy_of(module.subprocess, SUBPROCESS_NAMES)
    return module


def suite_of_asyncio() -> Any:
    module = load("test_asyncio/test_subprocess.py")
    module.asyncio = copy_of(module.asyncio, ["create_subprocess_exec", "create_subprocess_shell"])
    return module


def suite_of_futures() -> Any:
    name = "test_concurrent_futures.py"
    module = load(name)
    # The functions travel by reference, so the Python over there has to be one that has this module.
    is_own = str(places(name)[0]).startswith(sysconfig.get_path("stdlib"))
    python = sys.executable if is_own else f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"

    class Mixin(module.ExecutorMixin):  # type: ignore[misc, name-defined]
        executor_type = pigeon.Executor
        executor_kwargs = {"python": python}

    for name, tests in (
        ("Executor", "ExecutorTest"),
        ("Wait", "WaitTests"),
        ("AsCompleted", "AsCompletedTests"),
    ):
        bases = (Mixin, getattr(module, tests), module.BaseTestCase)
        setattr(module, f"Pigeon{name}Test", type(f"Pigeon{name}Test", bases, {}))
    return module


SUITES = {"subprocess": suite_of_subprocess, "asyncio": suite_of_asyncio, "futures": suite_of_futures}


class Results(unittest.TestResult):
    """Test -> how it went."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def startTest(self, test: Any) -> None:
        """Who looks at a run that hangs sees where."""
        super().startTest(test)
        print(test.id(), file=sys.stderr, flush=True)

    def _note(self, test: Any, text: str) -> None:
        self.found[".".join(str(test.id()).split(".")[-2:])] = text

    def addSuccess(self, test: Any) -> None:
        self._note(test, "ok")

    def addSkip(self, test: Any, reason: str) -> None:
        self._note(test, "skipped")

    def _bad(self, test: Any, error: Any) -> None:
        self._note(test, self._exc_info_to_string(error, test).strip().splitlines()[-1])  # type: ignore[attr-defined]

    def addFailure(self, test: Any, error: Any) -> None:
        self._bad(test, error)

    def addError(self, test: Any, error: Any) -> None:
        self._bad(test, error)

    def addSubTest(self, test: Any, subtest: Any, error: Any) -> None:
        if error is not None:
            self._bad(test, error)


def has(module: Any, name: str) -> bool:
    """Whether this version of CPython has that class, or test of a class."""
    owner, _, test = name.partition(".")
    return hasattr(module, owner) and (not test or hasattr(getattr(module, owner), test))


def main(suite: str, names: list[str]) -> None:
    """Run the classes of a suite, or the tests named `Class.method`, and print how they went."""
    module = SUITES[suite]()
    loader = unittest.TestLoader()
    chosen = names or [name for name in CLASSES[suite] if has(module, name)]
    tests = loader.loadTestsFromNames(chosen, module)
    results = Results()
    tests.run(results)
    print("\n" + json.dumps(results.found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
