"""SOCKS 4, 4a and 5 as a server (RFC 1928, RFC 1929; the memos on version 4 and 4A). CONNECT only."""

from __future__ import annotations

import hmac
import socket

from pigeon.net.near.wish import Greeter, Wish

NO_METHOD, NO_PASSWORD, PASSWORD = 0xFF, 0, 2
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_NO_COMMAND, _NO_ADDRESS_TYPE = 7, 8
_NOWHERE = bytes((0, _IPV4, 0, 0, 0, 0, 0, 0))
"""The bound address of a reply, which nobody needs: 0.0.0.0:0."""


class Socks5(Greeter):
    """A greeting, perhaps a password, a request."""

    def __init__(self, password: str | None) -> None:
        super().__init__()
        self._password = password
        self._stage = self._methods

    def _step(self) -> bool:
        return self._stage()

    def _methods(self) -> bool:
        data = self._data
        if len(data) < 2 or len(data) < 2 + data[1]:
            return False
        methods = self._take(2 + data[1])[2:]
        wanted = NO_PASSWORD if self._password is None else PASSWORD
        if wanted not in methods:
            return self._end(bytes((5, NO_METHOD)))
        self.reply += bytes((5, wanted))
        self._stage = self._request if self._password is None else self._user
        return True

    def _user(self) -> bool:
        data = self._data
        if len(data) < 2 or len(data) < 3 + data[1] or len(data) < 3 + data[1] + data[2 + data[1]]:
            return False
        said = self._take(3 + data[1] + data[2 + data[1]])[3 + data[1] :]
        assert self._password is not None
        if not hmac.compare_digest(said, self._password.encode()):
            return self._end(b"\x01\x01")
        self.reply += b"\x01\x00"
        self._stage = self._request
        return True

    def _request(self) -> bool:
        data = self._data
        if len(data) < 5:
            return False
        size = {_IPV4: 10, _IPV6: 22, _NAME: 7 + data[4]}.get(data[3])
        if size is None:
            return self._end(bytes((5, _NO_ADDRESS_TYPE)) + _NOWHERE)
        if len(data) < size:
            return False
        request = self._take(size)
        if request[1] != _CONNECT:
            return self._end(bytes((5, _NO_COMMAND)) + _NOWHERE)
        where = request[4:-2]
        if request[3] == _NAME:
            host = where[1:].decode("utf-8", "replace")
        else:
            host = socket.inet_ntop(socket.AF_INET if request[3] == _IPV4 else socket.AF_INET6, where)
        self.wish = Wish(
            host,
            int.from_bytes(request[-2:], "big"),
            "SOCKS 5",
            bytes((5, 0)) + _NOWHERE,
            lambda code, _: bytes((5, code)) + _NOWHERE,
            self._data,
        )
        return False


class Socks4(Greeter):
    """One request; in 4a a name follows where the address is 0.0.0.x."""

    def __init__(self, password: str | None) -> None:
        super().__init__()
        self._has_password = password is not None

    def _step(self) -> bool:
        end = self._data.find(b"\0", 8)
        if end < 0:
            return False
        host = socket.inet_ntoa(self._data[4:8])
        if host.startswith("0.0.0.") and host != "0.0.0.0":
            start, end = end + 1, self._data.find(b"\0", end + 1)
            if end < 0:
                return False
            host = self._data[start:end].decode("utf-8", "replace")
        if self._has_password or self._data[1] != _CONNECT:  # this version has no password
            return self._end(b"\0\x5b" + bytes(6))
        port = int.from_bytes(self._data[2:4], "big")
        self._take(end + 1)
        self.wish = Wish(
            host, port, "SOCKS 4", b"\0\x5a" + bytes(6), lambda *_: b"\0\x5b" + bytes(6), self._data
        )
        return False
