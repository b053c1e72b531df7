"""What every verb that follows a session from its user's descriptors has in common: two processes, and their options.

One process has the terminal and the signals (`client/terminal/`), the other everything on the share
(`client/session/`).
"""

from __future__ import annotations

from pigeon.client import frames
from pigeon.client.outcome import Outcome, of_error
from pigeon.client.terminal import guardian
from pigeon.client.tty import is_terminal, window_size
from pigeon.errors import EXIT_PIGEON, PigeonError
from pigeon.printing import visible_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pigeon.client.session.options import Options
    from pigeon.client.terminal.driver import Driver
    from pigeon.config import Config
    from pigeon.wire.documents import Request


def in_two_processes(
    talk: Callable[[frames.FramePipe], Outcome],
    *,
    reads_keyboard: bool,
    speaks: bool,
    watches: bool = False,
    driver: Driver | None = None,
) -> int:
    """Run `talk` in the process that may touch the share, and look after the terminal meanwhile. The exit code.

    `talk` gets its end of the guardian's pipe, and may raise PigeonError. The other arguments are `guardian.run`'s.
    """
    return guardian.run(
        lambda mine: _report(mine, talk),
        reads_keyboard=reads_keyboard,
        speaks=speaks,
        watches=watches,
        driver=driver,
    )


def _report(mine: frames.FramePipe, talk: Callable[[frames.FramePipe], Outcome]) -> int:
    """Hand the outcome, or the error, to the guardian. Returns the exit code."""
    try:
        outcome = talk(mine)
    except PigeonError as error:
        outcome = of_error(error)
        outcome.ran = False  # nothing has been published
    except Exception as error:
        from pigeon.crash import report

        outcome = Outcome(EXIT_PIGEON, report(error), abnormal=True, kind="client")
    if mine.is_driven:
        from pigeon.client.driven import tell_end

        return tell_end(mine, outcome)
    if outcome.message:
        mine.send(frames.MESSAGE, f"{visible_lines(outcome.message.rstrip())}\n".encode())
    if outcome.abnormal:
        mine.send(frames.ABNORMAL)
    if outcome.broken_pipe:
        mine.send(frames.BROKEN_PIPE)
    return outcome.code


def options_of(
    request: Request, config: Config, *, speaks: bool, verbose: bool = False, reads_stdin: bool = True
) -> Options:
    """How a client on this process's descriptors watches a session. `reads_stdin`: it has an input."""
    from pigeon.client.session.options import Options

    options = Options()
    has_keyboard = reads_stdin and is_terminal(0)
    options.reads_stdin = reads_stdin and not has_keyboard
    options.pty = request.pty
    options.raw = request.pty and has_keyboard
    options.keeps = request.keeps
    options.escape_char = "" if config.client.escape_char == "none" else config.client.escape_char
    options.verbose, options.speaks = verbose, speaks
    options.window = window_size()
    options.claim_timeout_s = config.client.claim_timeout
    options.worker_timeout_s = config.client.worker_timeout
    return options
