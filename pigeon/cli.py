"""The first thing that runs: picks the verb, prints errors, knows the exit codes. Imports a verb when it is called."""

from __future__ import annotations

import os
import sys

from pigeon import __version__, startup, trace  # startup first: it loads the others
from pigeon.cli_arguments import VERBS, parse
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, EXIT_USAGE, PigeonError
from pigeon.printing import say, visible, visible_lines


def main(argv: list[str] | None = None) -> int:
    """Run pigeon with `argv` (default: the process's own). Returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        trace.mark("client: python is up")
        _open_standard_descriptors()
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is expected
        return code
    except PigeonError as error:
        _print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_CANCELLED
    except BrokenPipeError:
        # Whoever read our output has gone: what a `history | head` means.
        _discard(1)
        return 128 + 13
    except Exception as error:
        if isinstance(error, OSError) and _is_of_output(error):
            _discard(1)
            _print_error(PigeonError(f"cannot write the output: {error.strerror}"))
            return EXIT_PIGEON
        from pigeon.crash import report

        _say(report(error))
        return EXIT_PIGEON


def _open_standard_descriptors() -> None:
    """A closed stdin, stdout or stderr becomes /dev/null, so that no file of ours gets its number.

    Python has none of its own for what was closed by the shell (`>&-`), and every verb would have to ask.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _dispatch(arguments: list[str]) -> int:
    invocation = parse(arguments)
    if invocation.version:
        say(f"pigeon {__version__}")
        return 0
    if invocation.help:
        from pigeon.help import fitted, usage
        from pigeon.report.text import terminal_columns

        say(fitted(usage(), terminal_columns()), lines=True)
        return 0
    if invocation.verb is not None:
        from importlib import import_module

        assert invocation.verb in VERBS
        verb = import_module(f"pigeon.commands.{invocation.verb}")
        try:
            return int(verb.main(invocation.words, invocation.flags))
        except SystemExit as ended:  # argparse has printed its help, which may still have to leave
            return int(ended.code or 0)
    if not invocation.words and invocation.driven_by is None and not os.isatty(0):
        from pigeon.help import fitted, usage
        from pigeon.report.text import terminal_columns

        short = fitted(usage(short=True), terminal_columns())
        _say(f"pigeon: no command given, and stdin is not a terminal\n{short}\n")
        return EXIT_USAGE
    startup.preload(startup.COMMAND)
    from pigeon.commands import run

    return run.main(invocation)


def _print_error(error: PigeonError) -> None:
    _say(f"pigeon: {visible(error.message)}\n")
    if error.hint:
        _say(f"pigeon: hint: {visible(error.hint)}\n")


def _say(text: str) -> None:
    """To stderr, which may be full, or a pipe that nobody reads: the exit code is told all the same."""
    try:
        sys.stderr.buffer.write(visible_lines(text).encode("utf-8", "backslashreplace"))
        sys.stderr.flush()
    except OSError:
        _discard(2)


def _discard(fd: int) -> None:
    """Let what Python still has for stdout or stderr go nowhere: it would complain once more at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def _is_of_output(error: OSError) -> bool:
    """Whether it was stdout or stderr that could not be written; what verbs do to the share, they name themselves."""
    from errno import EDQUOT, EFBIG, ENOSPC

    try:
        sys.stdout.flush()
    except OSError:
        return True
    return error.filename is None and error.errno in (ENOSPC, EDQUOT, EFBIG)
