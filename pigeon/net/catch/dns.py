"""As much of DNS as a name server for one machine's programs needs (RFC 1035, section 4). Pure."""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from pigeon.net.catch.decide import INVENTED

A: Final = 1
AAAA: Final = 28
NO_ERROR: Final = 0
NO_SUCH_NAME: Final = 3

_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_POINTER_TO_NAME = b"\xc0\x0c"
TTL_S = 60


class Query(NamedTuple):
    """One question. `section` is its bytes, which an answer repeats."""

    ident: int
    flags: int
    name: str
    kind: int
    section: bytes


def parse_query(data: bytes) -> Query | None:
    """None for what is no question of one name."""
    try:
        ident, flags, questions, *_ = _HEAD.unpack_from(data)
        if flags & 0x8000 or questions != 1:
            return None
        labels, at = [], _HEAD.size
        while data[at]:
            if data[at] > 63:
                return None
            labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        (kind,) = struct.unpack_from("!H", data, at + 1)
    except (struct.error, IndexError):
        return None
    return Query(ident, flags, ".".join(labels).lower(), kind, data[_HEAD.size : at + 5])


def reply(query: Query, code: int, address: str | None = None) -> bytes:
    """An answer: a code, and the one address that there is."""
    flags = (
        0x8080 | (query.flags & 0x0100) | code
    )  # a response; recursion is available, and was desired if so
    head = _HEAD.pack(query.ident, flags, 1, 1 if address else 0, 0, 0)
    if address is None:
        return head + query.section
    data = ipaddress.ip_address(address).packed
    return head + query.section + _POINTER_TO_NAME + _RECORD.pack(A, 1, TTL_S, len(data)) + data


def addresses(data: bytes) -> list[str]:
    """Those of A and AAAA records in somebody else's answer."""
    found: list[str] = []
    try:
        _, _, questions, answers, _, _ = _HEAD.unpack_from(data)
        at = _HEAD.size
        for _ in range(questions):
            at = _behind_name(data, at) + 4
        for _ in range(answers):
            at = _behind_name(data, at)
            kind, _, _, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if (kind, length) in ((A, 4), (AAAA, 16)):
                found.append(str(ipaddress.ip_address(data[at : at + length])))
            at += length
    except (struct.error, IndexError, ValueError):
        pass  # what was whole before counts
    return found


def _behind_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


class Inventions:
    """Addresses that stand for names, given out in turn; the oldest is taken again when there are no more."""

    def __init__(self, size: int = INVENTED.num_addresses - 2) -> None:
        self._size = size
        self._of_name: dict[str, str] = {}
        self._of_address: dict[str, str] = {}
        self._next = 0

    def address_of(self, name: str) -> str:
        """The one for this name."""
        known = self._of_name.get(name)
        if known is not None:
            return known
        address = str(INVENTED[self._next % self._size + 1])
        self._next += 1
        before = self._of_address.get(address)
        if before is not None:
            del self._of_name[before]
        self._of_name[name], self._of_address[address] = address, name
        return address

    def name_of(self, address: str) -> str | None:
        """The name for which it stands."""
        inner = ipaddress.ip_address(address)
        if isinstance(inner, ipaddress.IPv6Address) and inner.ipv4_mapped:
            inner = inner.ipv4_mapped
        return self._of_address.get(str(inner))
