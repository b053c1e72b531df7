"""HTTP/1 as a proxy: CONNECT (RFC 9110, 9.3.6), and requests in absolute form passed on (RFC 9112, 3.2.2).

A plain request is passed on as the only one of its connection (`Connection: close`), so that a second one, which may be
for another host, comes on a connection of its own.
"""

from __future__ import annotations

import base64
import hmac

from pigeon.net import frames
from pigeon.net.near.wish import Greeter, Wish

STATUS_PATH = b"/pigeon/status"

_STATUS = {frames.NOT_ALLOWED: "403", frames.TIMED_OUT: "504"}
_OF_THE_HOP = (b"connection:", b"proxy-connection:", b"proxy-authorization:", b"keep-alive:", b"te:")
_PORTS = {b"http": 80, b"ws": 80}


def refusal(code: int, why: str) -> bytes:
    """A response. The reason stands in the status line, too: curl hides the body of a refused CONNECT."""
    line = "".join(c if c.isprintable() else "?" for c in why).encode("ascii", "replace").decode()
    return response(f"{_STATUS.get(code, '502')} pigeon: {line}", f"pigeon: {why}\n".encode())


def response(status: str, body: bytes, *fields: str) -> bytes:
    """A whole response, after which the connection is closed."""
    head = [
        f"HTTP/1.1 {status}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Http(Greeter):
    """The head of one request."""

    def __init__(self, password: str | None, *, tells_status: bool) -> None:
        super().__init__()
        self._expected = None if password is None else base64.b64encode(f"pigeon:{password}".encode())
        self._tells_status = tells_status

    def _step(self) -> bool:
        self._data = self._data.lstrip(b"\r\n")
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *fields = self._take(end + 4)[:-4].split(b"\r\n")
        words = first.split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return self._end(response("400 Bad Request", b"pigeon: this is a proxy for HTTP and SOCKS\n"))
        method, target, version = words
        if self._tells_status and target == STATUS_PATH:
            self.asks_status = True
            return self._end(b"")
        if not self._is_allowed(fields):
            needs = 'Proxy-Authenticate: Basic realm="pigeon"'
            return self._end(response("407 Proxy Authentication Required", b"", needs))
        if method == b"CONNECT":
            place = _place(target, None)
            if place is not None:
                self.wish = Wish(
                    *place, "CONNECT", b"HTTP/1.1 200 Connection established\r\n\r\n", refusal, self._data
                )
                return False
        else:
            scheme, colon, rest = target.partition(b"://")
            authority, slash, path = rest.partition(b"/")
            if b"?" in authority:  # `http://host?query`
                authority, _, query = rest.partition(b"?")
                slash, path = b"/?", query
            place = _place(authority.rpartition(b"@")[2], _PORTS.get(scheme.lower()))
            if colon and place is not None and scheme.lower() in _PORTS:
                line = b" ".join((method, (slash or b"/") + path, version))
                self.wish = Wish(*place, "HTTP", b"", refusal, _passed_on(line, fields) + self._data)
                return False
        text = b"pigeon: this is a proxy; it was asked for `" + target[:200] + b"`\n"
        return self._end(response("400 Bad Request", text))

    def _is_allowed(self, fields: list[bytes]) -> bool:
        if self._expected is None:
            return True
        for field in fields:
            name, _, value = field.partition(b":")
            kind, _, given = value.strip().partition(b" ")
            if name.lower() == b"proxy-authorization" and kind.lower() == b"basic":
                return hmac.compare_digest(given.strip(), self._expected)
        return False


def _place(authority: bytes, default: int | None) -> tuple[str, int] | None:
    """(host, port) of `host:port`, `[v6]:port`; None if it is none."""
    host, colon, port = authority.rpartition(b":")
    if not colon or port.endswith(b"]"):
        host, port = authority, b""
    number = int(port) if port.isdigit() else default
    name = host.strip(b"[]").decode("utf-8", "replace")
    if not name or number is None or not 0 < number < 65536 or (port and not port.isdigit()):
        return None
    return name, number


def _passed_on(line: bytes, fields: list[bytes]) -> bytes:
    kept = [field for field in fields if not field.lower().startswith(_OF_THE_HOP)]
    upgrades = any(field.lower().startswith(b"upgrade:") for field in fields)
    kept.append(b"Connection: Upgrade" if upgrades else b"Connection: close")
    return b"\r\n".join((line, *kept, b"", b""))
