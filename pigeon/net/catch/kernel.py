"""The system calls of the catch, by ctypes: the filter's installation, its questions, copies of descriptors.

seccomp(2), seccomp_unotify(2), pidfd_open(2), pidfd_getfd(2). The only place that knows their structures.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import NamedTuple

from pigeon.net.catch.machine import MACHINES, Machine
from pigeon.net.catch.program import program

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_NEW_LISTENER = 1 << 3
_USER_NOTIF = 0x7FC00000
_RECEIVE, _SEND, _IS_VALID, _ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_AT_THIS_NUMBER = 1
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_CONTINUE = 1

_QUESTION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")


class Question(NamedTuple):
    """One call of connect(2) or sendto(2) that waits. `tid` is the thread's id."""

    number: int
    tid: int
    descriptor: int
    address: int
    length: int
    sent: tuple[int, int] | None
    """Of sendto(2): where the message lies, and its length."""


def machine() -> Machine | None:
    """This machine's numbers; None if nobody has written them down."""
    return MACHINES.get(os.uname().machine)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def become_subreaper() -> None:
    """Orphans below this process become its children (prctl(2)): Yama lets only an ancestor look into a process."""
    try:
        _checked(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    except OSError:
        pass  # orphans then have what the variables give them


def end_with_parent(number: int) -> None:
    """When the parent dies, by whatever, this process gets the signal (prctl(2))."""
    _libc().prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def install(numbers: Machine) -> int:
    """Filter this process and all that it starts; the descriptor that the questions come from. Raises OSError."""
    libc = _libc()
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    text = program(numbers)
    instructions = ctypes.create_string_buffer(text, len(text))
    head = struct.pack("=HxxxxxxQ", len(text) // 8, ctypes.addressof(instructions))
    filters = ctypes.create_string_buffer(head, len(head))
    return _checked(libc.syscall(numbers.seccomp, _SET_MODE_FILTER, _NEW_LISTENER, filters))


def can_ask(numbers: Machine) -> bool:
    """Whether the kernel has this kind of filter (Linux 5.0)."""
    action = ctypes.c_uint32(_USER_NOTIF)
    return bool(_libc().syscall(numbers.seccomp, _GET_ACTION_AVAIL, 0, ctypes.byref(action)) == 0)


def copy_of(numbers: Machine, tid: int, descriptor: int) -> int:
    """A copy of a descriptor of the process to which the thread belongs. Raises OSError."""
    libc = _libc()
    try:
        process = _checked(libc.syscall(numbers.pidfd_open, tid, 0))
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        process = _checked(libc.syscall(numbers.pidfd_open, _process_of(tid), 0))  # it is no main thread
    try:
        return _checked(libc.syscall(numbers.pidfd_getfd, process, descriptor, 0))
    finally:
        os.close(process)


def _process_of(tid: int) -> int:
    with open(f"/proc/{tid}/status") as status:
        for line in status:
            if line.startswith("Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "no such thread")


def memory_of(tid: int, address: int, length: int) -> bytes:
    """Bytes of its memory. Raises OSError."""
    fd = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, length, address)
    finally:
        os.close(fd)


def overwrite(tid: int, address: int, data: bytes) -> None:
    """Change its memory, where it could do so itself (process_vm_writev(2)). Raises OSError."""
    ours = ctypes.create_string_buffer(data, len(data))
    here = struct.pack("=QQ", ctypes.addressof(ours), len(data))
    there = struct.pack("=QQ", address, len(data))
    count = _libc().process_vm_writev(
        tid, here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0)
    )
    if _checked(count) != len(data):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


def may_be_replaced(tid: int, descriptor: int) -> bool:
    """Whether nothing of the process but the number leads to the descriptor: an epoll(7) would keep to the one before.

    Raises OSError.
    """
    for name in os.listdir(f"/proc/{tid}/fd"):
        if os.readlink(f"/proc/{tid}/fd/{name}") == "anon_inode:[eventpoll]":
            with open(f"/proc/{tid}/fdinfo/{name}") as lines:
                if any(line.split()[:2] == ["tfd:", str(descriptor)] for line in lines):
                    return False
    return True


def replace(listener: int, question: Question, fd: int) -> None:
    """Put a copy of ours in the place of the descriptor that the call was about (Linux 5.9). Raises OSError."""
    with open(f"/proc/{question.tid}/fdinfo/{question.descriptor}") as lines:
        flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    fields = question.number, _AT_THIS_NUMBER, fd, question.descriptor, flags & os.O_CLOEXEC
    fcntl.ioctl(listener, _ADD, struct.pack("=QIIII", *fields))


def leave_network() -> None:
    """This process, which has one thread, is root of a network with nothing in it (unshare(2)). Raises OSError."""
    _checked(_libc().unshare(_NEW_USER | _NEW_NET))


def probe(numbers: Machine, pid: int, descriptor: int) -> None:
    """Whether a child can be looked into as will be needed. Raises OSError: what does not work."""
    os.close(copy_of(numbers, pid, descriptor))
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC))


def receive(listener: int, numbers: Machine | None = None) -> Question | None:
    """The next question; None if who asked has gone. Without `numbers` nothing is known but who asks."""
    buffer = bytearray(_QUESTION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError:
        return None
    number, tid, _, call, _, _, descriptor, second, third, _, fifth, sixth = _QUESTION.unpack(buffer)
    sent = (second, third) if numbers is not None and call == numbers.sendto else None
    address, length = (fifth, sixth) if sent else (second, third)
    return Question(number, tid, descriptor & 0xFFFFFFFF, address, length & 0xFFFFFFFF, sent)


def is_valid(listener: int, question: Question) -> bool:
    """Whether it still waits: what has been read of its memory is then its own."""
    try:
        fcntl.ioctl(listener, _IS_VALID, struct.pack("=Q", question.number))
        return True
    except OSError as error:
        return error.errno not in (errno.ENOENT,)


def go_on(listener: int, question: Question) -> None:
    """Let the kernel do what was asked for."""
    _answer(listener, _ANSWER.pack(question.number, 0, 0, _CONTINUE))


def say(listener: int, question: Question, number: int) -> None:
    """The call is done: it returns 0, or fails with this errno."""
    _answer(listener, _ANSWER.pack(question.number, 0, -number, 0))


def _answer(listener: int, answer: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, answer)
    except OSError:
        pass  # who asked has gone, or a signal has interrupted the call
