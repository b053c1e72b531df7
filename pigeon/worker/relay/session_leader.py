"""The leader of a command's session on a terminal: as the user's shell at home, it is there above the command.

By its being there the command's process group is not an orphaned one, in which the kernel drops SIGTSTP, SIGTTIN and
SIGTTOU (setpgid(2)): so a program that stops itself is stopped. The leader tells the runner when the command has been
stopped or goes on and when it has ended, and ends as the command does. A leader that ends without having told so has
been killed, and its command may run on. It holds nothing but the terminal, so it proves nobody's life.
"""

from __future__ import annotations

import os
import resource
import signal

from pigeon.worker import identity

GOES_ON = 0
"""What is told, as one byte, when the command goes on; else the number of the signal that has stopped it."""

ENDED = 255
"""What is told last: the command has ended."""

_PASSED_ON = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Whoever means the command by the pid that lists show is not to be disappointed."""

_HEARD = (*_PASSED_ON, signal.SIGCONT, signal.SIGCHLD)

_IGNORED = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE)


def lead(report: int, *, spares_the_rest: bool) -> None:
    """In the process that leads the session of the terminal on stdin: returns in a child of it only, whose process
    group is in the foreground, and which is to become the command. `report`: the descriptor on which changes are told.

    `spares_the_rest`: what the command leaves running hears no SIGHUP when the session ends (it has pipes).

    Raises:
        OSError: no process can be had.
    """
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # the child asks for the foreground from the background
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        return
    try:
        _follow(command, report, spares_the_rest=spares_the_rest)
    finally:
        os._exit(255)


def _follow(command: int, report: int, *, spares_the_rest: bool) -> None:
    signal.set_wakeup_fd(-1)  # the runner's
    # Waited for and not handled: a handler's flag that is set just before waitpid(2) would be looked at after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.dup2(report, 3)
    os.closerange(4, min(1048576, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    identity.call_oneself("pigeon leader")
    while (status := _end_of(command)) is None:
        heard = signal.sigwait(_HEARD)
        if heard == signal.SIGCONT:
            _continue(command)
        elif heard != signal.SIGCHLD:
            identity.send([command], heard)
    _tell(ENDED)
    if spares_the_rest:
        _take_foreground()
    if os.WIFSIGNALED(status):
        _die_by(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _end_of(command: int) -> int | None:
    """Tell what has become of the command since the last call. Its wait status (wait(2)) once it has ended."""
    while True:
        pid, status = os.waitpid(command, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if not pid:
            return None
        if os.WIFSTOPPED(status):
            _tell(os.WSTOPSIG(status))
        elif os.WIFCONTINUED(status):
            _tell(GOES_ON)
        else:
            return status


def _take_foreground() -> None:
    """The kernel tells the group that has it that the session's leader has ended."""
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # another session has taken the terminal (`setsid -c`, which root may), or it has gone


def _continue(command: int) -> None:
    """All of the job, as a shell's `fg` does."""
    try:
        os.killpg(command, signal.SIGCONT)
    except (ProcessLookupError, PermissionError):
        pass


def _tell(what: int) -> None:
    try:
        os.write(3, bytes([what]))
    except OSError:
        pass  # the runner is dead, and whoever recovers the session ends it


def _die_by(number: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would be this process's
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
