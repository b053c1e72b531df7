"""Which addresses a worker lends, and which a node reaches by itself. Pure; addresses are texts.

Rules are looked at after resolving, on the very address that is then connected to: a name that leads to a forbidden
address is as forbidden as that address, however it is written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


GROUPS: dict[str, tuple[Network, ...]] = {
    # A connection to the unspecified address reaches one's own host (RFC 1122, 3.2.1.3; Linux does so).
    "loopback": _networks("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"),
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    # Where clouds hand out a machine's credentials: AWS (also over IPv6), Azure, Alibaba, Oracle.
    "metadata": _networks(
        "169.254.169.254/32", "fd00:ec2::254/128", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"
    ),
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8", "255.255.255.255/32"),
}
"""Names for addresses in rules (RFC 1918, 3927, 4193, 4291, 5771, 6598)."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """An address, without a scope; None for a name."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def meant(address: Address) -> Address:
    """The IPv4 address within an IPv6 one (mapped, compatible, 6to4, NAT64), which is where packets go."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and (address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1)):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


class Rule:
    """`HOST:PORTS`: a name with `*`, an address, a network or a group's name; `*`, one port, or a range."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        host, colon, ports = text.rpartition(":")
        whole = text.strip("[]")
        if not colon or text in GROUPS or "/" in ports or parse_address(whole) is not None:
            host, ports = text, "*"
        self.text = text
        self._low, self._high = _ports(ports)
        host = host.replace("[", "").replace("]", "")
        self._pattern = host.lower()
        self._networks: tuple[Network, ...] = ()
        if host in GROUPS:
            self._networks = GROUPS[host]
        elif "/" in host or parse_address(host) is not None:
            self._networks = (ipaddress.ip_network(host, strict=False),)

    def matches(self, name: str, address: Address, port: int) -> bool:
        """Whether it is about this."""
        if not self._low <= port <= self._high:
            return False
        if self._networks:
            return is_in(address, self._networks)
        return fnmatchcase(name.lower().rstrip("."), self._pattern)


def _ports(text: str) -> tuple[int, int]:
    if text == "*":
        return 0, 65535
    low, dash, high = text.partition("-")
    return int(low), int(high if dash else low)


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether the address, or the one within it, lies in one of these."""
    inner = meant(address)
    return any(a in net for net in networks for a in {address, inner} if a.version == net.version)


class Policy:
    """What a worker lends."""

    def __init__(self, permit: Iterable[str], deny: Iterable[str]) -> None:
        """Raises ValueError: a rule that is none."""
        self._permit = [Rule(text) for text in permit]
        self._deny = [Rule(text) for text in deny]
        self._known = lru_cache(maxsize=1024)(self._refusal)

    def refusal(self, name: str, address_text: str, port: int, *, named: bool) -> str | None:
        """Why not; None if it may be. `named`: by the user himself, who may also mean the worker's own loopback."""
        return self._known(name, address_text, port, named)

    def _refusal(self, name: str, address_text: str, port: int, named: bool) -> str | None:
        address = parse_address(address_text)
        if address is None or is_in(address, GROUPS["multicast"]):
            return f"`{address_text}` is nothing to connect to"
        for rule in self._deny:
            if rule.matches(name, address, port) and not (named and rule.text == "loopback"):
                return f"the worker does not lend {_shown(name, address_text, port)} (`net_deny` has `{rule.text}`)"
        if not any(rule.matches(name, address, port) for rule in self._permit):
            return f"the worker does not lend {_shown(name, address_text, port)} (it is not in `net_permit`)"
        return None


def _shown(name: str, address: str, port: int) -> str:
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return place if name.strip("[]") == address else f"{name} ({place})"


@lru_cache(maxsize=1024)
def is_own(address_text: str) -> bool:
    """Whether a node reaches it by itself whatever its routes say: loopback, link-local, private, multicast.

    Remembered, since each connection asks: it depends on the text alone.
    """
    address = parse_address(address_text)
    return address is not None and any(
        is_in(address, GROUPS[name]) for name in ("loopback", "link-local", "private", "multicast")
    )
