"""A network where every address is this host's own: a question that is sent there to any name server comes to ours, and
the answer comes from that very address. c-ares (gRPC, aiodns) takes it from no other.

A process of its own holds the network (user_namespaces(7), network_namespaces(7)) and makes sockets in it, which work
wherever they are handed over to. Where the system allows no such thing, nothing is handed over.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct

from pigeon.net.catch import kernel
from pigeon.net.catch.decide import DNS_PORT

MAKING_S, ANSWER_S = 3.0, 1.0
"""The front waits at most so long for the network (some 10 ms on a machine with nothing to do), and for a socket (0.1
ms). A process that is later is never waited for again."""

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_LOOPBACK = 1
"""Its index in each new network."""

_NEW_ROUTE, _REQUEST_CREATE_ACK = 24, 0x405
_TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL, _OUT = 255, 3, 254, 2, 4


class Elsewhere:
    """`server` is a socket that gets all questions there; None, as `new`, where there is no such network."""

    def __init__(self) -> None:
        """Starts the process."""
        self._ask, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ask.settimeout(MAKING_S)
        if os.fork() == 0:
            try:
                _hold(theirs.detach())
            finally:
                os._exit(0)
        theirs.close()
        self.server = self._received()
        self._ask.settimeout(ANSWER_S)

    def new(self) -> socket.socket | None:
        """A datagram socket of IPv4 there."""
        if self.server is None:
            return None
        try:
            self._ask.send(b"?")
        except OSError:
            return None  # the process has been killed
        return self._received()

    def _received(self) -> socket.socket | None:
        try:
            _, fds, _, _ = socket.recv_fds(self._ask, 1, 1)
        except OSError:
            fds = []
        if not fds:
            self.server = None  # a late answer must not be taken for the next one
            return None
        return socket.socket(fileno=fds[0])


def _hold(fd: int) -> None:
    """In the child: nothing of its parent's but `fd` may stay open here, or others would wait for its end in vain."""
    kernel.end_with_parent(signal.SIGKILL)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.dup2(fd, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    asked = socket.socket(fileno=3)
    kernel.leave_network()
    _make_all_local()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", DNS_PORT))
        socket.send_fds(asked, [b"!"], [server.fileno()])
    while asked.recv(1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            socket.send_fds(asked, [b"!"], [made.fileno()])


def _make_all_local() -> None:
    """`ip link set lo up; ip route add local 0.0.0.0/0 dev lo` (rtnetlink(7)). Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    route = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _TABLE_LOCAL, _PROTOCOL_BOOT, _SCOPE_HOST, _TYPE_LOCAL, 0
    )
    route += struct.pack("=HHI", 8, _OUT, _LOOPBACK)
    head = struct.pack("=IHHII", 16 + len(route), _NEW_ROUTE, _REQUEST_CREATE_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.sendto(head + route, (0, 0))
        answer = sock.recv(8192)
    (number,) = struct.unpack_from("=i", answer, 16)
    if number:
        raise OSError(-number, os.strerror(-number))
