"""subprocess's functions for commands that run on a worker."""

from __future__ import annotations

from subprocess import PIPE, STDOUT, CalledProcessError, CompletedProcess, TimeoutExpired
from typing import Any

from pigeon.api.client import Words
from pigeon.api.popen import Popen


def run(
    args: Words,
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **popen: Any,
) -> CompletedProcess[Any]:
    """Run a command on a worker to its end, as subprocess.run does. `popen`: arguments of `pigeon.Popen`.

    `timeout` is in seconds and counts from the call: waiting for a worker, a slot, the directory and the command.
    Then, as after Ctrl-C, everything that the command has started is killed, within half a second.

    Raises:
        TimeoutExpired: with the output so far.
        CalledProcessError: `check`, and the command's return code is not 0.
        SessionFailed: pigeon failed, whatever `check` is.
        FileNotFoundError, PermissionError, NotADirectoryError: the command cannot be started over there.

    >>> pigeon.run(["echo", "$HOME"], capture_output=True, text=True, lock=False).stdout
    '$HOME\\n'
    >>> pigeon.run("exit 7", shell=True).returncode
    7
    >>> pigeon.run(["sleep", "60"], timeout=0.5)
    Traceback (most recent call last):
    subprocess.TimeoutExpired: Command '['sleep', '60']' timed out after 0.5 seconds
    >>> pigeon.run(["no-such-program"])
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no-such-program'
    """
    if input is not None:
        if popen.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        popen["stdin"] = PIPE
    if capture_output:
        if popen.get("stdout") is not None or popen.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        popen["stdout"] = popen["stderr"] = PIPE
    with Popen(args, **popen) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except KeyboardInterrupt:
            process.kill_all()
            raise
        except TimeoutExpired as error:
            process._leave()
            error.timeout = timeout or 0.0
            raise
        except BaseException:
            process._leave()
            raise
    process._raise_failure()
    if check and process.returncode:
        raise CalledProcessError(process.returncode, process.args, out, err)
    return CompletedProcess(process.args, process.returncode, out, err)


def call(args: Words, *, timeout: float | None = None, **popen: Any) -> int:
    """Run a command on a worker and return its return code, as subprocess.call does. Raises as `run`.

    >>> pigeon.call(["sh", "-c", "kill -TERM $$"], lock=False)
    -15
    """
    with Popen(args, **popen) as process:
        try:
            code = process.wait(timeout=timeout)
        except KeyboardInterrupt:
            process.kill_all()
            raise
        except BaseException:
            process._leave()
            raise
    process._raise_failure()
    return code


def check_call(args: Words, *, timeout: float | None = None, **popen: Any) -> int:
    """`call`, and a CalledProcessError for a return code other than 0.

    >>> pigeon.check_call(["false"])
    Traceback (most recent call last):
    subprocess.CalledProcessError: Command '['false']' returned non-zero exit status 1.
    """
    code = call(args, timeout=timeout, **popen)
    if code:
        raise CalledProcessError(code, args)
    return 0


def check_output(args: Words, *, timeout: float | None = None, **popen: Any) -> Any:
    """What a command writes to stdout, as subprocess.check_output gives it. Raises as `run` with `check`.

    >>> pigeon.check_output(["tr", "a-z", "A-Z"], input="over there", text=True)
    'OVER THERE'
    """
    for name in ("stdout", "check", "capture_output"):
        if name in popen:
            raise ValueError(f"{name} argument not allowed, it will be overridden.")
    if popen.get("input", b"") is None:
        is_text = popen.get("text") or popen.get("universal_newlines") or popen.get("encoding")
        popen["input"] = "" if is_text or popen.get("errors") else b""
    return run(args, stdout=PIPE, timeout=timeout, check=True, **popen).stdout


def getstatusoutput(
    cmd: str | bytes, *, encoding: str | None = None, errors: str | None = None
) -> tuple[int, str]:
    """(return code, stdout and stderr without their last newline) of a shell text. Raises SessionFailed.

    >>> pigeon.getstatusoutput("echo out; echo err >&2; exit 3")
    (3, 'out\\nerr')
    """
    done = run(cmd, shell=True, text=True, stdout=PIPE, stderr=STDOUT, encoding=encoding, errors=errors)
    return done.returncode, done.stdout.removesuffix("\n")


def getoutput(cmd: str | bytes, *, encoding: str | None = None, errors: str | None = None) -> str:
    """What a shell text writes, without its last newline. Raises SessionFailed.

    >>> pigeon.getoutput("echo hello")
    'hello'
    """
    return getstatusoutput(cmd, encoding=encoding, errors=errors)[1]
