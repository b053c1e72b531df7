"""The filter: which calls of connect(2) are asked about. Pure; classic BPF as seccomp(2) takes it.

Asked about are those whose address is as long as one of IPv4, IPv6, a whole sockaddr_storage, or of a local name
service; all others, of Unix sockets above all, pass at full speed. io_uring, which could connect unseen, is not there
(ENOSYS: programs then do without). Other machines' calls (32-bit programs) pass.
"""

from __future__ import annotations

import errno
import struct

from pigeon.net.catch.machine import Machine

LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, ASK, FAIL = 0x7FFF0000, 0x7FC00000, 0x00050000
AT_NUMBER, AT_MACHINE, AT_LENGTH = 0, 4, 32
"""Where in struct seccomp_data: the call, the architecture, the low half of its third argument."""

NAME_SERVICES = (
    b"/run/systemd/resolve/io.systemd.Resolve",
    b"/var/run/nscd/socket",
    b"/run/nscd/socket",
)
"""Sockets of who resolves names for the whole host, without a network: programs must ask by themselves."""

_SOCKADDR_IN, _SOCKADDR_UN, _SOCKADDR_IN6, _SOCKADDR_STORAGE = 16, 110, 28, 128


def lengths() -> tuple[int, ...]:
    """Of addresses that are asked about, besides all from sockaddr_storage's on."""
    services = {len(path) + extra for path in NAME_SERVICES[:1] for extra in (2, 3)}
    return (_SOCKADDR_IN, _SOCKADDR_IN6, _SOCKADDR_UN, *sorted(services))


def program(machine: Machine) -> bytes:
    """The instructions, eight bytes each (struct sock_filter)."""
    asked = lengths()
    # To each jump the steps that it leaves out, counted to the three returns at the end.
    steps: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, AT_MACHINE),
        (JUMP_IF_EQUAL, 0, 4 + len(asked) + 1, machine.audit),
        (LOAD, 0, 0, AT_NUMBER),
        (JUMP_IF_EQUAL, 2 + len(asked) + 1 + 2, 0, machine.io_uring_setup),
        (JUMP_IF_EQUAL, 0, 1 + len(asked) + 1, machine.connect),
        (LOAD, 0, 0, AT_LENGTH),
    ]
    for position, length in enumerate(asked):
        steps.append((JUMP_IF_EQUAL, len(asked) - position + 1, 0, length))
    steps.append((JUMP_IF_AT_LEAST, 1, 0, _SOCKADDR_STORAGE))
    steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ASK), (RETURN, 0, 0, FAIL | errno.ENOSYS)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
