"""The filter: which calls are asked about. Pure; classic BPF as seccomp(2) takes it.

Asked about are calls of connect(2) whose address is as long as one of IPv4, IPv6, a whole sockaddr_storage, or of a
local name service; all others, of Unix sockets above all, pass at full speed. So are calls of sendto(2) as musl asks a
name server, without a connect(2): a small message to an address, with MSG_NOSIGNAL and no other flag. io_uring, which
could connect unseen, is not there (ENOSYS: programs then do without). Neither is a connection that is made by sending
to it (MSG_FASTOPEN, tcp(7)): the answer is that of a kernel without it (EOPNOTSUPP), and programs connect. Other
machines' calls (32-bit programs) pass.
"""

from __future__ import annotations

import errno
import struct

from pigeon.net.catch.machine import Machine

LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, JUMP_IF_ANY, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ASK, FAIL = 0x7FFF0000, 0x7FC00000, 0x00050000
AT_NUMBER, AT_MACHINE, AT_THIRD, AT_FOURTH, AT_SIXTH = 0, 4, 32, 40, 56
"""Where in struct seccomp_data: the call, the architecture, the low halves of its third, fourth and sixth arguments."""

MSG_NOSIGNAL, MSG_FASTOPEN = 0x4000, 0x20000000

MAX_QUERY_BYTES = 512
"""Of a question to a name server (RFC 1035, 2.3.4)."""

NAME_SERVICES = (
    b"/run/systemd/resolve/io.systemd.Resolve",
    b"/var/run/nscd/socket",
    b"/run/nscd/socket",
)
"""Sockets of who resolves names for the whole host, without a network: programs must ask by themselves."""

Step = tuple[int, int, str, str]
"""Instruction, its number, and where a jump leads if it applies and if not ("": to the next)."""

_VERDICTS = (
    ("allow", ALLOW),
    ("ask", ASK),
    ("not there", FAIL | errno.ENOSYS),
    ("not supported", FAIL | errno.EOPNOTSUPP),
)

_SOCKADDR_IN, _SOCKADDR_UN, _SOCKADDR_IN6, _SOCKADDR_STORAGE = 16, 110, 28, 128


def lengths() -> tuple[int, ...]:
    """Of addresses that are asked about, besides all from sockaddr_storage's on."""
    services = {len(path) + extra for path in NAME_SERVICES[:1] for extra in (2, 3)}
    return (_SOCKADDR_IN, _SOCKADDR_IN6, _SOCKADDR_UN, *sorted(services))


def program(machine: Machine) -> bytes:
    """The instructions, eight bytes each (struct sock_filter)."""
    flags = (("flags of sendmsg", AT_THIRD), ("flags of sendmmsg", AT_FOURTH))
    steps: list[Step] = [
        (LOAD, AT_MACHINE, "", ""),
        (JUMP_IF_EQUAL, machine.audit, "", "allow"),
        (LOAD, AT_NUMBER, "", ""),
        (JUMP_IF_EQUAL, machine.io_uring_setup, "not there", ""),
        (JUMP_IF_EQUAL, machine.sendmsg, "flags of sendmsg", ""),
        (JUMP_IF_EQUAL, machine.sendto, "sendto", ""),
        (JUMP_IF_EQUAL, machine.sendmmsg, "flags of sendmmsg", ""),
        (JUMP_IF_EQUAL, machine.connect, "", "allow"),
        (LOAD, AT_THIRD, "", ""),
        *((JUMP_IF_EQUAL, length, "ask", "") for length in lengths()),
        (JUMP_IF_AT_LEAST, _SOCKADDR_STORAGE, "ask", "allow"),
    ]
    labels: dict[str, int] = {}
    for label, place in flags:
        labels[label] = len(steps)
        steps += [(LOAD, place, "", ""), (JUMP_IF_ANY, MSG_FASTOPEN, "not supported", "allow")]
    labels["sendto"] = len(steps)
    steps += [
        (LOAD, AT_FOURTH, "", ""),
        (JUMP_IF_ANY, MSG_FASTOPEN, "not supported", ""),
        (JUMP_IF_EQUAL, MSG_NOSIGNAL, "", "allow"),
        (LOAD, AT_THIRD, "", ""),
        (JUMP_IF_AT_LEAST, MAX_QUERY_BYTES + 1, "allow", ""),
        (LOAD, AT_SIXTH, "", ""),
        (JUMP_IF_EQUAL, _SOCKADDR_IN, "ask", ""),
        (JUMP_IF_EQUAL, _SOCKADDR_IN6, "ask", "allow"),
    ]
    for label, verdict in _VERDICTS:
        labels[label] = len(steps)
        steps.append((RETURN, verdict, "", ""))
    return b"".join(_packed(at, step, labels) for at, step in enumerate(steps))


def _packed(at: int, step: Step, labels: dict[str, int]) -> bytes:
    code, value, if_true, if_false = step
    # A jump is told how many steps it leaves out.
    jumps = [labels[label] - at - 1 if label else 0 for label in (if_true, if_false)]
    return struct.pack("=HBBI", code, *jumps, value)
