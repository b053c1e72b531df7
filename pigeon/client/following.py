"""What every verb that follows a session from its user's descriptors has in common: two processes, and their options.

One process has the terminal and the signals (`client/terminal/`), the other everything on the share
(`client/session/`).
"""

from __future__ import annotations

import os

from pigeon.client import frames
from pigeon.client.outcome import Outcome, of_error
from pigeon.client.signals import become_pump, install, signals
from pigeon.client.terminal.guardian import Guardian
from pigeon.client.terminal.raw import Terminal, write_sequences
from pigeon.client.tty import is_terminal, window_size
from pigeon.errors import EXIT_PIGEON, PigeonError, no_process
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
    own: int | None = None,
) -> int:
    """Run `talk` in a child that may touch the share, and look after the terminal until it ends. The exit code.

    `talk` gets its end of the guardian's pipe, and may raise PigeonError. `reads_keyboard`: stdin is a terminal.
    `speaks`: notices may be printed. `watches`: the session is not this user's to end, so Ctrl-C is enough to leave.
    `driver`: the program that drives this client. `own`: the terminal, where it is to be left alone until the command
    needs it.
    """
    mine, other = frames.pair()
    wakeup_r, wakeup_w = os.pipe()
    os.set_blocking(wakeup_r, False)
    os.set_blocking(wakeup_w, False)
    terminal = Terminal(own or 0)
    guardian = (Guardian if driver is None else driver.guardian)(
        mine,
        terminal,
        wakeup_r,
        reads_keyboard=reads_keyboard,
        speaks=speaks,
        watches=watches,
        waits_for_need=own is not None,
    )
    ignored = install(wakeup_w)
    try:
        guardian.pid = os.fork()
    except OSError as error:
        raise no_process(error) from error
    if guardian.pid == 0:
        code = EXIT_PIGEON
        try:
            frames.close(mine)
            os.close(wakeup_r)
            become_pump(ignored)
            os.close(wakeup_w)
            other.is_driven = driver is not None
            other.on_end = lambda: _stand_in(terminal, other.modes)
            code = _report(other, talk)
            other.send(frames.EXIT, b"%d" % code)
            other.finish()
        finally:
            os._exit(code)
    frames.close(other)
    guardian.prepare()
    return guardian.run()


def _stand_in(terminal: Terminal, modes: bytes) -> None:
    """In the pump, when the guardian has been killed: leave the user's terminal as he would have left it."""
    signals.signal(signals.SIGTTOU, signals.SIG_IGN)
    write_sequences(frames.split_modes(modes)[0], terminal.fd)
    terminal.restore_for_dead()


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
    elif outcome.signal and outcome.hung_up is None:
        mine.send(frames.DIE, b"%d" % outcome.signal)
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
    options.on_terminal = request.on_terminal
    options.keeps = request.keeps
    options.escape_char = "" if config.client.escape_char == "none" else config.client.escape_char
    options.verbose, options.speaks = verbose, speaks
    options.window = window_size()
    options.claim_timeout_s = config.client.claim_timeout
    options.worker_timeout_s = config.client.worker_timeout
    return options
