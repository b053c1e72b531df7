"""Pigeon runs commands on another machine through nothing but a shared directory.

From Python, `import pigeon` has subprocess's names (`run`, `Popen`, `call`, `check_call`, `check_output`, `getoutput`,
`getstatusoutput`), asyncio's (`create_subprocess_exec`, `create_subprocess_shell`) and an `Executor` for functions;
pigeon/docs/python.md tells more. Each is loaded when it is first asked for, so that a command does not pay for it.
"""

__version__ = "1.0.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from subprocess import DEVNULL, PIPE, STDOUT, CalledProcessError, CompletedProcess, TimeoutExpired

    from pigeon.api.aio import create_subprocess_exec, create_subprocess_shell
    from pigeon.api.commands import call, check_call, check_output, getoutput, getstatusoutput, run
    from pigeon.api.executor import Executor
    from pigeon.api.failures import HungUp, NoWorker, SessionFailed, Withdrawn, WorkerLost
    from pigeon.api.pool import RemoteError, RemoteTraceback, WorkerDied
    from pigeon.api.popen import Popen

_NAMES = {
    "pigeon.api.commands": "call check_call check_output getoutput getstatusoutput run",
    "pigeon.api.popen": "Popen",
    "pigeon.api.aio": "create_subprocess_exec create_subprocess_shell",
    "pigeon.api.executor": "Executor",
    "pigeon.api.failures": "HungUp NoWorker SessionFailed Withdrawn WorkerLost",
    "pigeon.api.pool": "RemoteError RemoteTraceback WorkerDied",
    "subprocess": "DEVNULL PIPE STDOUT CalledProcessError CompletedProcess TimeoutExpired",
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "CalledProcessError",
    "CompletedProcess",
    "Executor",
    "HungUp",
    "NoWorker",
    "Popen",
    "RemoteError",
    "RemoteTraceback",
    "SessionFailed",
    "TimeoutExpired",
    "Withdrawn",
    "WorkerDied",
    "WorkerLost",
    "call",
    "check_call",
    "check_output",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "getoutput",
    "getstatusoutput",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
