"""`pigeon connect HOST PORT`: stdin and stdout become a connection over there, for ssh's ProxyCommand and its like."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from pigeon.commands.arguments import Parser, add_common, add_forwards, flags_of, load_config, plan_of
from pigeon.errors import PigeonError, UsageError
from pigeon.net.loop import Loop
from pigeon.net.near import places, running
from pigeon.net.near.environment import PROXY_VARIABLE
from pigeon.net.near.front import Front
from pigeon.net.near.lane import Lane
from pigeon.net.near.splice import splice
from pigeon.net.near.wish import Wish


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """0 once the other side has ended the connection. Raises PigeonError: it cannot be had, or it broke."""
    parser = Parser(
        prog="pigeon connect",
        description="Join stdin and stdout with a connection that a worker makes, "
        "through a running `pigeon net` or `pigeon proxy` of yours if there is one.",
        epilog="example: ssh -o ProxyCommand='pigeon connect %h %p' HOST",
    )
    parser.add_argument("host", metavar="HOST", help="as the worker knows it")
    parser.add_argument("port", metavar="PORT", help="a number")
    add_common(parser)
    arguments = parser.parse_args(args)
    if not arguments.port.isdecimal() or not 0 < int(arguments.port) < 65536:
        raise UsageError(f"`{arguments.port}` is no port")
    host, port = arguments.host, int(arguments.port)
    config = load_config(arguments, globals_)
    where = (config.cache or "", config.namespace, config.route or "")
    sock = _running(where)
    loop = Loop()
    front = None
    if sock is None:
        add_forwards(parser)
        plan = plan_of(
            parser.parse_args(args), config, flags_of(arguments, globals_), title="pigeon connect", kind=""
        )
        front = Front(
            loop,
            lambda: Lane(loop, plan.client, lambda _: None),
            title=plan.title,
            patience_s=plan.patience_s,
            say=lambda _: None,
        )
        sock = _through(loop, front, host, port)
    else:
        refused, first = running.ask_for(sock, host, port)
        if refused:
            raise PigeonError(refused)
        os.write(1, first)
    return _join(loop, sock, front)


def _running(where: tuple[str, ...]) -> socket.socket | None:
    given = os.environ.get(PROXY_VARIABLE, "")
    paths = [given[5:]] if given.startswith("unix:") else places.find(places.PROXY, where)
    for path in reversed(paths):
        sock = running.connection(path)
        if sock is not None:
            return sock
    return None


def _through(loop: Loop, front: Front, host: str, port: int) -> socket.socket:
    """A connection of our own, once it is there."""
    mine, theirs = socket.socketpair()
    theirs.setblocking(False)
    told: list[tuple[int, str]] = []

    def answered(code: int, text: str) -> None:
        told.append((code, text))

    front.connect(Wish(host, port, "connect", b"", lambda *_: b""), theirs, answered=answered)
    while not told:
        loop.turn(loop.wait_s())
    code, text = told[0]
    if code:
        front.close()
        loop.turn(0.0)
        raise PigeonError(text)
    return mine


def _join(loop: Loop, sock: socket.socket, front: Front | None) -> int:
    ends: list[bool] = []

    def over(whole: bool) -> None:
        ends.append(whole)
        loop.stop()

    splice(loop, sock, over)
    loop.run()
    if front is not None:
        front.close()
        loop.turn(0.0)
    if not ends[0]:
        raise PigeonError("the connection broke")
    return 0
