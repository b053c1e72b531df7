"""The fronts that run on this host for this user: asking them who is connected where, or for a connection."""

from __future__ import annotations

import json
import os
import socket

from pigeon.net.near import places
from pigeon.net.near.http import STATUS_PATH

ASK_S = 5.0


def connection(path: str) -> socket.socket | None:
    """With a front; None if it does not live any more (its socket is removed then)."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(ASK_S)
    try:
        sock.connect(path)
    except ConnectionRefusedError:
        sock.close()
        try:
            os.unlink(path)
        except OSError:
            pass
        return None
    except OSError:
        sock.close()
        return None
    return sock


def statuses() -> list[dict[str, object]]:
    """What each living front says of itself (Front.describe). Raises PigeonError."""
    found = []
    for path in places.find():
        sock = connection(path)
        if sock is None:
            continue
        with sock:
            try:
                sock.sendall(b"GET " + STATUS_PATH + b" HTTP/1.1\r\n\r\n")
                data = b""
                while piece := sock.recv(65536):
                    data += piece
                found.append(json.loads(data.partition(b"\r\n\r\n")[2]))
            except (OSError, ValueError, RecursionError):
                continue  # it ends just now, or hangs
    return found


def ask_for(sock: socket.socket, host: str, port: int) -> tuple[str, bytes]:
    """Have a front connect `sock` with a target. ("", first bytes of the target), or (why not, b"").

    No time limit: it waits for its worker as long as its settings say. Raises OSError.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sock.settimeout(None)
    sock.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode("utf-8", "surrogateescape"))
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return "the proxy has ended", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    _, status, *words = head.split(b"\r\n")[0].split(b" ", 2)
    if status == b"200":
        return "", rest
    return b" ".join(words).decode("utf-8", "replace").removeprefix("pigeon: "), b""
