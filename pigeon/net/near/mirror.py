"""Seeming to be another process: what becomes of it becomes of this one, and what this one is sent, that one gets.

For the process that a shell waits for, while the command itself is a child of another one. Both are in one process
group, so what the terminal, or `kill` of a job, sends reaches the command by itself; what is sent to this process alone
is passed on. (sudo(8) follows the same rule.)
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct

_SI_KERNEL = 0x80
_SIGINFO = struct.Struct("=IiiII108x")
_SFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC

# Not to be waited for: nobody can (SIGKILL, SIGSTOP), or they are a fault of this process itself.
_OWN = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSYS,
}


class Dispositions:
    """What the shell had set for signals, before Python and pigeon changed it: the command inherits it."""

    def __init__(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._ignored = {n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN}
        self._ignored -= {signal.SIGPIPE, signal.SIGXFSZ}  # by Python itself

    def restore(self) -> None:
        """In the child, before it executes the command."""
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            try:
                signal.signal(number, signal.SIG_IGN if number in self._ignored else signal.SIG_DFL)
            except (OSError, ValueError):
                pass  # the C library keeps some for itself
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


class Signals:
    """All that this process is sent from now on is read here, with its sender, and does nothing by itself.

    Raises OSError: there is no descriptor left.
    """

    def __init__(self) -> None:
        numbers = signal.valid_signals() - _OWN
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        bits = 0
        for number in numbers:
            bits |= 1 << (number - 1)
        mask = ctypes.create_string_buffer(bits.to_bytes(8, "little") + bytes(120), 128)
        self.fd = int(ctypes.CDLL(None, use_errno=True).signalfd(-1, mask, _SFD_NONBLOCK_CLOEXEC))
        if self.fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def take(self) -> list[tuple[int, bool]]:
        """(number, whether the kernel itself has sent it, as for keys of the terminal) for each."""
        found: list[tuple[int, bool]] = []
        while True:
            try:
                data = os.read(self.fd, 64 * _SIGINFO.size)
            except BlockingIOError:
                return found
            for number, _, code, _, _ in _SIGINFO.iter_unpack(data):
                found.append((number, code == _SI_KERNEL))


def passes_on(number: int, *, from_kernel: bool) -> bool:
    """Whether the command has not got it already."""
    return number != signal.SIGCHLD and not from_kernel


def stop_like(number: int) -> None:
    """The command has been stopped by this signal: so is this process, whose shell then takes the terminal back."""
    os.kill(
        os.getpid(), number
    )  # while it is blocked: it becomes one with what the terminal has sent to both
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    # Not stopped where its group is an orphan (POSIX): nobody could continue it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def end_like(status: int) -> int:
    """End as the command has, whose wait status this is: by the same signal, or by returning its exit code."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    number = -code
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command has left one if it was to
        signal.signal(number, signal.SIG_DFL)
    except (OSError, ValueError):
        pass
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number
