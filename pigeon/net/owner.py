"""Whose is the other end of a connection on loopback? The kernel says so: sock_diag(7), or /proc/net/tcp where not.

A port on loopback is open to everybody on a node. This is asked before a byte is read, and costs 15 µs.
"""

from __future__ import annotations

import os
import socket
import struct

_SOCK_DIAG_BY_FAMILY = 20
_NETLINK_SOCK_DIAG = 4
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_ANY = 0xFFFFFFFF
_ONE_SECOND = struct.pack("=qq", 1, 0)
"""A struct timeval: a kernel that does not answer is not waited for."""
_UID_AT = 16 + 4 + 48 + 12
"""In an answer: behind the netlink header and, in inet_diag_msg, four bytes, the socket's id, and three numbers."""


class Unknown(OSError):
    """The kernel does not say."""


def _packed(host: str) -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_pton(family, host.partition("%")[0])


class _Diagnosis:
    """The socket to ask with. It is kept, since making one costs more than the answer; a child makes its own, or the
    two would read each other's answers."""

    def __init__(self) -> None:
        self._pid = 0
        self._number = 0
        self._sock: socket.socket | None = None

    def uid(self, family: int, theirs: tuple[str, int], mine: tuple[str, int]) -> int:
        """Of the socket whose own end is `theirs` and whose peer is `mine`. Raises OSError."""
        ident = struct.pack("!HH16s16s", theirs[1], mine[1], _packed(theirs[0]), _packed(mine[0]))
        ident += struct.pack("=III", 0, _ANY, _ANY)
        body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _ANY) + ident
        try:
            answer = self._ask(body)
            length, kind, _, number, _ = _HEADER.unpack_from(answer)
            if number != self._number:
                raise Unknown("the answer to another question")
        except OSError:
            self._sock = None  # or a late answer would be taken for one to the next question
            raise
        if kind != _SOCK_DIAG_BY_FAMILY or length < _UID_AT + 4:
            raise Unknown("no answer about that socket")
        return int(struct.unpack_from("=I", answer, _UID_AT)[0])

    def _ask(self, body: bytes) -> bytes:
        if self._sock is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._sock = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
            )
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _ONE_SECOND)
        self._number = self._number % _ANY + 1
        head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._number, 0)
        self._sock.sendto(head + body, (0, 0))
        return self._sock.recv(8192)


_diagnosis = _Diagnosis()


def _in_table(family: int, theirs: tuple[str, int], mine: tuple[str, int]) -> int:
    def text(place: tuple[str, int]) -> str:
        data = _packed(place[0])
        words = struct.unpack(f"={len(data) // 4}I", data)
        return "".join(f"{word:08X}" for word in words) + f":{place[1]:04X}"

    wanted = f" {text(theirs)} {text(mine)} "
    with open("/proc/net/tcp6" if family == socket.AF_INET6 else "/proc/net/tcp") as table:
        for line in table:
            if wanted in line:
                return int(line.split()[7])
    raise Unknown("no such socket")


def uid_of_peer(sock: socket.socket) -> int:
    """The uid that owns the other end of a connection within this host.

    Raises:
        OSError: it cannot be told, or the other end is not on this host: nobody to be trusted.
    """
    family = sock.family
    if family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("=iII", credentials)[1])
    mine, theirs = sock.getsockname()[:2], sock.getpeername()[:2]
    try:
        return _diagnosis.uid(family, theirs, mine)
    except OSError:
        return _in_table(family, theirs, mine)


def is_ours(sock: socket.socket) -> bool:
    """Whether the other end is a process of this user's on this host."""
    try:
        return uid_of_peer(sock) == os.getuid()
    except (OSError, ValueError):
        return False


def can_tell() -> bool:
    """Whether the kernel tells here: tried on a connection of our own."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            taken, _ = server.accept()
            with taken:
                return is_ours(taken)
    except OSError:
        return False
