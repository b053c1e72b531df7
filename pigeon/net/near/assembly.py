"""A front as the command line wants it: what it listens on, whom it serves, how it reaches a worker."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pigeon.errors import PigeonError
from pigeon.net.listener import is_loopback, listen, listen_unix
from pigeon.net.loop import Loop
from pigeon.net.near import environment, places
from pigeon.net.near.forwards import LOOPBACK, Forward
from pigeon.net.near.front import Front
from pigeon.net.near.lane import Lane
from pigeon.net.owner import can_tell
from pigeon.printing import log


@dataclass(frozen=True)
class Plan:
    """What is wanted."""

    title: str
    kind: str
    """A kind of places.py."""
    client: Sequence[str]
    """The words that start a client whose stdin and stdout are the stream."""
    where: tuple[str, ...]
    """Share, namespace, route: by which another process of this user finds the front."""
    patience_s: float
    forwards: Sequence[Forward] = ()
    unix: Sequence[str] = ()
    has_password: bool = False
    is_verbose: bool = False
    says: bool = field(default_factory=lambda: sys.stderr is not None and sys.stderr.isatty())


@dataclass
class Built:
    """A front that listens. `port`: of the first TCP listener for HTTP and SOCKS."""

    front: Front
    port: int
    password: str | None
    socket_path: str

    def variables(self, direct: Iterable[str], connect: str | None) -> dict[str, str]:
        """Those that programs of this host find it by, beside this process's own; arguments as of `environment`."""
        hosts = [os.uname().nodename]
        return environment.variables(
            self.port,
            self.password,
            self.socket_path,
            environ=os.environ,
            hosts=hosts,
            direct=direct,
            connect=connect,
        )


def build(loop: Loop, plan: Plan) -> Built:
    """Listen, and begin a session. Raises PigeonError: a port or path cannot be had."""
    knows_owner = can_tell()
    password = secrets.token_urlsafe(16) if plan.has_password or not knows_owner else None
    dynamic = [f for f in plan.forwards if f.flag == "-D"] or [Forward("-D", LOOPBACK, 0)]
    local = [f for f in plan.forwards if f.flag == "-L"]
    sockets = [(forward, _listening(forward)) for forward in (*dynamic, *local)]
    paths = [places.socket_path(plan.kind, plan.where), *plan.unix]
    unix = [_listening_unix(path) for path in paths]
    front = Front(
        loop,
        lambda: Lane(loop, plan.client, _sayer(plan.is_verbose, plan.title)),
        title=plan.title,
        patience_s=plan.patience_s,
        say=_sayer(plan.says or plan.is_verbose, plan.title),
        password=password,
        remote=[f for f in plan.forwards if f.flag == "-R"],
    )
    ports = []
    for forward, sock in sockets:
        if forward.flag == "-D":
            to_all = not knows_owner or not is_loopback(forward.bind)
            ports.append(front.serve(sock, to_all=to_all).port)
        else:
            front.forward(sock, forward)
    for sock in unix:
        front.serve(sock)
    return Built(front, ports[0], password, paths[0])


def _listening(forward: Forward) -> socket.socket:
    try:
        return listen(forward.bind, forward.port)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise PigeonError(f"`{forward}`: cannot listen there: {why}") from error


def _listening_unix(path: str) -> socket.socket:
    try:
        return listen_unix(path)
    except OSError as error:
        raise PigeonError(f"cannot listen on `{path}`: {error.strerror or error}") from error


def _sayer(speaks: bool, title: str) -> Callable[[str], None]:
    """Says a line on stderr, if somebody reads it; the same one only once in a row."""
    last = ""

    def say(text: str) -> None:
        nonlocal last
        if speaks and text != last:
            last = text
            log(f"{title}: {text}")

    return say
