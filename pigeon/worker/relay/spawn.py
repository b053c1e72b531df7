"""Starting a command, on a PTY or on pipes. Sole user of ptyprocess.

Of ptyprocess only `spawn` and the descriptor are used: its reads, waits and clean-up block or kill. The object is kept
for as long as the process lives, since dropping it would hang the command up.
"""

from __future__ import annotations

import fcntl
import os
import subprocess

from ptyprocess import PtyProcess

from pigeon.wire.documents import STDERR_IS_STDOUT
from pigeon.wire.records import PTY, STDERR, STDOUT
from pigeon.wire.text import to_bytes
from pigeon.worker import identity
from pigeon.worker.relay import command_tty, session_leader
from pigeon.worker.relay.command import Command
from pigeon.worker.relay.process_context import ProcessContext, Shape
from pigeon.worker.relay.program import cannot_start, find_program

PIPE_BYTES = 1024 * 1024
"""Asked for each pipe: fewer wake-ups for the same bytes. The kernel's limit for ordinary users."""


def start(
    argv: list[str],
    env: dict[str, str],
    *,
    window: tuple[int, int, int, int] | None,
    inherit: tuple[int, ...],
    until_exec: tuple[int, ...] = (),
    context: ProcessContext | None = None,
) -> Command:
    """Run `argv` in the current directory, in a session of its own.

    `inherit` are descriptors that stay open in the command (the lock of its directory). `until_exec` stay open in the
    child until it executes the command, and not an instant longer: a proof of life among them covers the child for as
    long as nothing tells it from its parent. `window`: columns, rows, width and height in pixels (0: not known).

    Raises:
        CannotStart: it could not be executed, with the shell's exit code for that.
        NoTerminal: it was to have a terminal, and the host has none left.
    """
    context = context or ProcessContext()
    program = find_program(argv[0], env.get("PATH") or os.defpath, context.own_path)
    try:
        if context.shape is not None:
            return _on_pty(program, argv, env, window or (80, 24, 0, 0), inherit, until_exec, context)
        return _on_pipes(program, argv, env, inherit, context)
    except OSError as error:
        raise cannot_start(error, argv[0]) from error


class NoTerminal(Exception):
    """No PTY could be had on this host."""


class _OnPty(PtyProcess):  # type: ignore[misc]  # it has no types
    """With the window that the child has set: `spawn` sets it once more, without pixels, when the command runs."""

    def setwinsize(self, rows: int, cols: int) -> None:
        """Leave it."""


def _on_pty(
    program: str,
    argv: list[str],
    env: dict[str, str],
    window: tuple[int, int, int, int],
    inherit: tuple[int, ...],
    until_exec: tuple[int, ...],
    context: ProcessContext,
) -> Command:
    cols, rows = window[:2]
    shape = context.shape or (True, True, True)
    variables, words = _encoded(env), [to_bytes(word) for word in argv]
    ours, theirs = _pipes(shape, one_output=context.stderr == STDERR_IS_STDOUT)
    states, report = os.pipe2(os.O_CLOEXEC)

    def execute() -> None:
        # Executing here, and not after spawn's own look-up, keeps argv[0] as the user wrote it. What is raised here
        # reaches the parent as text only, so the text is the errno.
        try:
            identity.reset_signals()
            command_tty.prepare(window, context.modes, env)
            session_leader.lead(report, spares_the_rest=not all(shape[:2]))
            for fd in inherit:
                os.set_inheritable(fd, True)  # `pass_fds` only keeps it open up to here
            context.apply()
            for number, fd in theirs.items():
                os.dup2(fd, number)
            os.execve(program, words, variables)
        except OSError as error:
            raise OSError(str(error.errno)) from None

    try:
        spawned = _OnPty.spawn(
            [program],
            preexec_fn=execute,
            dimensions=(rows, cols),
            pass_fds=(*inherit, *until_exec, *theirs.values(), report),
        )
    except OSError as error:
        for fd in {*ours.values(), *theirs.values(), states, report}:
            os.close(fd)
        if error.errno == 0:
            raise OSError(int(str(error.args[0])), os.strerror(int(str(error.args[0])))) from None
        raise NoTerminal(error.strerror or str(error)) from error
    for fd in {*theirs.values(), report}:
        os.close(fd)
    master = spawned.fd
    os.set_inheritable(master, False)
    outputs = {master: PTY}
    for number, channel in ((1, STDOUT), (2, STDERR)):
        if number in ours:
            outputs[ours[number]] = channel
    stdin = master if shape[0] else ours[0]
    return Command(spawned.pid, stdin, outputs, master=master, keep=spawned, states=states)


def _pipes(shape: Shape, *, one_output: bool) -> tuple[dict[int, int], dict[int, int]]:
    """Pipes for those of 0, 1 and 2 that are no terminal: our ends, and the command's. `one_output`: 2 is what 1 is."""
    ours: dict[int, int] = {}
    theirs: dict[int, int] = {}
    for number, on_terminal in enumerate(shape):
        if on_terminal:
            continue
        if number == 2 and one_output and 1 in theirs:
            theirs[2] = theirs[1]
            continue
        reading, writing = os.pipe2(os.O_CLOEXEC)
        ours[number], theirs[number] = (writing, reading) if number == 0 else (reading, writing)
        _widen(writing)
    return ours, theirs


def _widen(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # more than this user may have; the usual 64 KiB do


def _encoded(env: dict[str, str]) -> dict[bytes, bytes]:
    return {to_bytes(name): to_bytes(value) for name, value in env.items()}


def _pass_on_only(inherit: tuple[int, ...]) -> None:
    """Let a program that is executed from now on have `inherit` and no other descriptor above 2."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2:
            try:
                if os.get_inheritable(fd) != (fd in inherit):
                    os.set_inheritable(fd, fd in inherit)
            except OSError:
                pass  # the listing's own


def _on_pipes(
    program: str, argv: list[str], env: dict[str, str], inherit: tuple[int, ...], context: ProcessContext
) -> Command:
    _pass_on_only(inherit)
    popen = subprocess.Popen(
        [to_bytes(word) for word in argv],
        executable=program,
        env=_encoded(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if context.stderr == STDERR_IS_STDOUT else subprocess.PIPE,
        bufsize=0,
        close_fds=False,  # it would close before executing; what is not inherited shall go with executing itself
        start_new_session=True,
        umask=-1 if context.umask is None else context.umask,
        # With it Python forks instead of calling vfork(2), which is dearer.
        preexec_fn=context.apply_limits if context.limits else None,
    )
    streams = [stream for stream in (popen.stdin, popen.stdout, popen.stderr) if stream is not None]
    fds = [os.dup(stream.fileno()) for stream in streams]
    for stream in streams:
        stream.close()
    for fd in fds:
        _widen(fd)
    popen.returncode = 0  # we wait for the pid ourselves
    outputs = dict(zip(fds[1:], (STDOUT, STDERR), strict=False))
    return Command(popen.pid, fds[0], outputs, master=None, keep=popen)
