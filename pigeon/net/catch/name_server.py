"""The name server to which a command's questions are led: this host's own names first, then what the worker knows.

A name that this host's own servers map to an address in its reach keeps that address (file servers, MPI, NCCL). Any
other that the worker can resolve gets an invented one, by which the connection is known again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pigeon.net.catch import dns
from pigeon.net.catch.decide import Place
from pigeon.net.loop import IN, Loop, Timer
from pigeon.net.policy import parse_address

OWN_S = 0.5
"""This host's own name servers answer so soon, or are asked no more for a while."""

DEAD_S = 60.0
KNOWN_S = 60.0
"""So long a name that the worker knew counts as known: a program asks again for each connection."""

MAX_PENDING = 4096

Knows = Callable[[str, Callable[[bool], None]], None]


def own_servers(resolv_conf: str) -> list[str]:
    """From the text of resolv.conf(5)."""
    lines = (line.split() for line in resolv_conf.splitlines())
    found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return [address for address in found if parse_address(address) is not None][:3]


@dataclass
class _Pending:
    query: dns.Query
    raw: bytes
    answer: Callable[[bytes], None]
    timer: Timer


class NameServer:
    """Listens on loopback, for IPv4 and, where there is one, IPv6. `stays(address)`: this host reaches it by itself."""

    def __init__(
        self,
        loop: Loop,
        inventions: dns.Inventions,
        servers: Sequence[str],
        knows: Knows,
        stays: Callable[[str], bool],
    ) -> None:
        self._loop = loop
        self._inventions = inventions
        self._knows = knows
        self._stays = stays
        self._servers = list(servers)
        self._dead = False
        self._pending: dict[int, _Pending] = {}
        self._next = 1
        self.places: dict[int, Place] = {}
        """Family -> where to ask."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                sock.bind((host, 0))
            except OSError:
                continue
            self.places[family] = Place(family, host, sock.getsockname()[1])
            self.listen(sock)
        self._upstream: dict[int, socket.socket] = {}
        self._known: set[str] = set()
        self._asked_for: dict[str, list[Callable[[bool], None]]] = {}
        """Names that the worker has been asked for, and who waits for its word."""

    def listen(self, sock: socket.socket) -> None:
        """Answer what comes to this socket, too."""
        sock.setblocking(False)
        self._loop.watch(sock.fileno(), IN, lambda _: self._asked(sock))

    def _asked(self, sock: socket.socket) -> None:
        try:
            raw, who = sock.recvfrom(4096)
        except OSError:
            return
        query = dns.parse_query(raw)
        if query is None:
            return

        def answer(data: bytes) -> None:
            try:
                sock.sendto(data, who)
            except OSError:
                pass  # it has gone

        may_ask = self._servers and not self._dead and len(self._pending) < MAX_PENDING
        if not may_ask or not self._ask_own(query, raw, answer):
            self._ask_worker(query, answer)

    # This host's own servers

    def _ask_own(self, query: dns.Query, raw: bytes, answer: Callable[[bytes], None]) -> bool:
        ident, self._next = self._next, self._next % 0xFFFF + 1
        if not self._send(ident.to_bytes(2, "big") + raw[2:]):
            self._give_up_own()
            return False
        timer = self._loop.after(OWN_S, lambda: self._late(ident))
        self._pending[ident] = _Pending(query, raw, answer, timer)
        return True

    def _send(self, data: bytes) -> bool:
        sent = False
        for server in self._servers:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            try:
                sock = self._upstream.get(family)
                if sock is None:
                    sock = self._upstream[family] = socket.socket(
                        family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
                    )
                    self._loop.watch(sock.fileno(), IN, lambda _, s=sock: self._heard(s))  # type: ignore[misc]  # bound now
                sock.sendto(data, (server, 53))
                sent = True
            except OSError:
                continue
        return sent

    def _give_up_own(self) -> None:
        self._dead = True

        def again() -> None:
            self._dead = False

        self._loop.after(DEAD_S, again)

    def _late(self, ident: int) -> None:
        pending = self._pending.pop(ident)
        self._give_up_own()
        self._ask_worker(pending.query, pending.answer)

    def _heard(self, sock: socket.socket) -> None:
        try:
            data, who = sock.recvfrom(4096)
        except OSError:
            return  # nobody listens there, which the timer tells
        pending = self._pending.get(int.from_bytes(data[:2], "big"))
        if pending is None or who[0] not in self._servers or len(data) < 12:
            return
        code, found = data[3] & 15, dns.addresses(data)
        if any(self._stays(address) for address in found):
            self._settle(data)
            pending.answer(pending.raw[:2] + data[2:])
        elif code in (dns.NO_ERROR, dns.NO_SUCH_NAME):
            self._settle(data)
            self._ask_worker(pending.query, pending.answer)

    def _settle(self, data: bytes) -> None:
        self._pending.pop(int.from_bytes(data[:2], "big")).timer.cancel()

    # The worker

    def _ask_worker(self, query: dns.Query, answer: Callable[[bytes], None]) -> None:
        if query.kind not in (dns.A, dns.AAAA) or not query.name:
            answer(dns.reply(query, dns.NO_ERROR))
            return

        def heard(known: bool) -> None:
            if not known:
                answer(dns.reply(query, dns.NO_SUCH_NAME))
            elif query.kind == dns.AAAA:
                answer(dns.reply(query, dns.NO_ERROR))
            else:
                answer(dns.reply(query, dns.NO_ERROR, self._inventions.address_of(query.name)))

        name = query.name
        if name in self._known:
            heard(True)
        elif name in self._asked_for:
            self._asked_for[name].append(heard)
        else:
            self._asked_for[name] = [heard]
            self._knows(name, lambda known: self._answered(name, known))

    def _answered(self, name: str, known: bool) -> None:
        if known:
            self._known.add(name)
            self._loop.after(KNOWN_S, lambda: self._known.discard(name))
        for heard in self._asked_for.pop(name, ()):
            heard(known)
