"""The world outside, as one process: DNS, HTTP, HTTPS, WebSockets, an echo with the banner of an SSH server.

    outside.py ADDRESS DIRECTORY

Names: `*.example` are at ADDRESS, `six.example` by IPv6 only, `rebind.example` is at the metadata address, any other is
not there. DIRECTORY has what HTTP serves, and `server.pem` for TLS. Prints `ready`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import socket
import socketserver
import ssl
import struct
import sys
import threading

ADDRESS, DIRECTORY = sys.argv[1], sys.argv[2]
SIX = "2001:db8:113::34"


def addresses(name: str, kind: int) -> list[bytes] | None:
    """Of A (1) and AAAA (28) records; None: no such name."""
    if name == "six.example":
        return [socket.inet_pton(socket.AF_INET6, SIX)] if kind == 28 else []
    if name == "rebind.example":
        return [socket.inet_aton("169.254.169.254")] if kind == 1 else []
    if name.endswith(".example"):
        return [socket.inet_aton(ADDRESS)] if kind == 1 else []
    return None


def serve_names() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ADDRESS, 53))
    while True:
        query, who = sock.recvfrom(1500)
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        (kind,) = struct.unpack_from("!H", query, at + 1)
        found = addresses(".".join(labels).lower(), kind)
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data for data in found or ()
        )
        head = struct.pack("!HHHHH", 0x8180 | (3 if found is None else 0), 1, len(found or ()), 0, 0)
        sock.sendto(query[:2] + head + query[12 : at + 5] + records, who)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, `POST /echo`, and a WebSocket at `/socket` that sends each text back (RFC 6455)."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what arrives."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self._socket()
        else:
            super().do_GET()

    def _socket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        )
        self.end_headers()
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            mask = self.rfile.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes((0x81, len(data))) + data)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Six(Server):
    address_family = socket.AF_INET6


class Echo(socketserver.StreamRequestHandler):
    """What comes goes back; first an SSH server's banner, as a check of who speaks first."""

    def handle(self) -> None:
        self.wfile.write(b"SSH-2.0-outside\r\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    handler = functools.partial(Handler, directory=DIRECTORY)
    secure = Server((ADDRESS, 443), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{DIRECTORY}/server.pem")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    servers = [
        Server((ADDRESS, 80), handler),
        secure,
        Six((SIX, 80), handler),
        EchoServer((ADDRESS, 22), Echo),
    ]
    for serve in (serve_names, *(server.serve_forever for server in servers)):
        threading.Thread(target=serve, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


main()
