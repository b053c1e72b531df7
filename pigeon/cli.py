"""The first thing that runs: picks the verb, prints errors, knows the exit codes. Imports a verb when it is called."""

from __future__ import annotations

import os
import sys

from pigeon import __version__, trace
from pigeon.cli_arguments import VERBS, parse
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, EXIT_USAGE, PigeonError


def main(argv: list[str] | None = None) -> int:
    """Run pigeon with `argv` (default: the process's own). Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        trace.mark("client: python is up")
        _open_standard_descriptors()
        code = _dispatch(arguments)
        if sys.stdout is not None:  # closed by the shell (`>&-`)
            sys.stdout.flush()  # here, where a reader that has gone is expected
        return code
    except PigeonError as error:
        _print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except BrokenPipeError:
        # Whoever read our output has gone: what a `history | head` means. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + 13
    except Exception as error:
        from pigeon.crash import report

        sys.stderr.write(report(error))
        return EXIT_PIGEON


def _open_standard_descriptors() -> None:
    """A closed stdin, stdout or stderr becomes /dev/null, so that no file of ours gets its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)


def _dispatch(arguments: list[str]) -> int:
    invocation = parse(arguments)
    if invocation.version:
        print(f"pigeon {__version__}")
        return 0
    if invocation.help:
        from pigeon.help import usage

        print(usage())
        return 0
    if invocation.verb is not None:
        from importlib import import_module

        assert invocation.verb in VERBS
        verb = import_module(f"pigeon.commands.{invocation.verb}")
        return int(verb.main(invocation.words, invocation.flags))
    if not invocation.words and not os.isatty(0):
        from pigeon.help import usage

        sys.stderr.write(f"pigeon: no command given, and stdin is not a terminal\n{usage(short=True)}\n")
        return EXIT_USAGE
    from pigeon.commands import run

    return run.main(invocation)


def _print_error(error: PigeonError) -> None:
    lines = f"pigeon: {error.message}\n"
    if error.hint:
        lines += f"pigeon: hint: {error.hint}\n"
    sys.stderr.buffer.write(lines.encode("utf-8", "backslashreplace"))
    sys.stderr.flush()
