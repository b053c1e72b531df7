"""What becomes of one connect(2): the kernel's business, a connection over there, a question for a name. Pure."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from pigeon.net.catch.program import NAME_SERVICES
from pigeon.net.policy import Network, Rule, is_in, is_own, meant

GO_ON: Final = "go on"
LEND: Final = "lend"
NAMES: Final = "names"
REFUSE: Final = "refuse"

INVENTED: Final = ipaddress.IPv4Network("198.18.0.0/15")
"""For benchmarks of network devices (RFC 2544), so nobody's: addresses that stand for names."""

DNS_PORT: Final = 53


class Place(NamedTuple):
    """What connect(2) was given: an address of a family, or a path (`host`, port 0)."""

    family: int
    host: str
    port: int


def parse(data: bytes) -> Place | None:
    """A sockaddr; None for one of another kind."""
    if len(data) < 2:
        return None
    (family,) = struct.unpack_from("=H", data)
    if family == socket.AF_UNIX:
        return Place(family, data[2:].partition(b"\0")[0].decode("latin-1"), 0)
    if family == socket.AF_INET and len(data) >= 8:
        return Place(family, socket.inet_ntop(family, data[4:8]), struct.unpack_from("!H", data, 2)[0])
    if family == socket.AF_INET6 and len(data) >= 24:
        return Place(family, socket.inet_ntop(family, data[8:24]), struct.unpack_from("!H", data, 2)[0])
    return None


def packed(place: Place) -> bytes:
    """As much of a sockaddr as `parse` reads, of IPv4 or IPv6."""
    head = struct.pack("=H", place.family) + struct.pack("!H", place.port)
    address = socket.inet_pton(place.family, place.host)
    if place.family == socket.AF_INET:
        return head + address
    return head + bytes(4) + address + bytes(4)  # no flow, no scope


def decide(place: Place | None, kind: int, on_link: Sequence[Network], direct: Sequence[Rule]) -> str:
    """`kind`: SOCK_STREAM, …; `on_link`: networks that this host reaches without a router."""
    if place is None:
        return GO_ON
    if place.family == socket.AF_UNIX:
        return REFUSE if place.host.encode("latin-1") in NAME_SERVICES else GO_ON
    if kind == socket.SOCK_DGRAM:
        return NAMES if place.port == DNS_PORT else GO_ON
    if kind != socket.SOCK_STREAM:
        return GO_ON
    address = ipaddress.ip_address(place.host)
    if meant(address) in INVENTED:
        return LEND
    if is_own(place.host) or is_in(address, on_link):
        return GO_ON
    if any(rule.matches(place.host, address, place.port) for rule in direct):
        return GO_ON
    return LEND


def on_link_networks(route: str, route6: str) -> list[Network]:
    """From the texts of /proc/net/route and /proc/net/ipv6_route (proc(5)): those without a gateway."""
    found: list[Network] = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and int(fields[2], 16) == 0 and int(fields[7], 16):
            address, mask = (socket.inet_ntoa(struct.pack("=I", int(fields[n], 16))) for n in (1, 7))
            found.append(ipaddress.ip_network(f"{address}/{mask}", strict=False))
    for line in route6.splitlines():
        fields = line.split()
        if len(fields) > 9 and int(fields[4], 16) == 0 and int(fields[1], 16) and fields[9] != "lo":
            address6 = ipaddress.IPv6Address(int(fields[0], 16))
            found.append(ipaddress.ip_network(f"{address6}/{int(fields[1], 16)}", strict=False))
    return found
