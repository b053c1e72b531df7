"""`pigeon proxy`: the worker's network on a port of this machine, for as long as it runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from pigeon.commands.arguments import Parser, add_common, add_forwards, flags_of, load_config, plan_of
from pigeon.commands.itself import own_command
from pigeon.errors import PigeonError
from pigeon.net.loop import IN, Loop
from pigeon.net.near import places
from pigeon.net.near.assembly import Built, Plan, build
from pigeon.net.near.environment import url
from pigeon.printing import quote, say


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Until SIGINT, SIGTERM or SIGHUP; with `--print-env` it goes on in the background. Raises PigeonError."""
    parser = Parser(
        prog="pigeon proxy",
        description="Lend a worker's network to programs here: HTTP and SOCKS 4, 4a, 5 on one port, "
        "for your processes only.",
        epilog='`eval "$(pigeon proxy --print-env)"` sets this shell; `kill $PIGEON_PROXY_PID` ends it.',
    )
    parser.add_argument(
        "--listen",
        action="append",
        default=[],
        metavar="[ADDR:]PORT | unix:PATH",
        help="the same as -D, or a Unix socket",
    )
    parser.add_argument(
        "--print-env",
        action="store_true",
        help="print the variables for a shell, and go on in the background",
    )
    add_forwards(parser)
    add_common(parser)
    arguments = parser.parse_args(args)
    arguments.dynamic += [text for text in arguments.listen if not text.startswith("unix:")]
    config = load_config(arguments, globals_)
    plan = plan_of(arguments, config, flags_of(arguments, globals_), title="pigeon proxy", kind=places.PROXY)
    unix = [os.path.abspath(text[5:]) for text in arguments.listen if text.startswith("unix:")]
    if arguments.print_env:
        return _in_background(replace(plan, unix=unix, says=False), config.net.direct)
    return _serve(replace(plan, unix=unix, says=True), _tell)


def _serve(plan: Plan, ready: Callable[[Built], None]) -> int:
    loop = Loop()
    wakeup, wakeup_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup_write, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    loop.watch(wakeup, IN, lambda _: loop.stop())
    built = build(loop, plan)
    try:
        ready(built)
        loop.run()
    finally:
        built.front.close()
        loop.turn(0.0)
    return 0


def _tell(built: Built) -> None:
    address = url(built.port, built.password)
    say(f"pigeon proxy: {address} (HTTP, SOCKS 4a and 5)", stderr=True, flush=True)


def _in_background(plan: Plan, direct: list[str]) -> int:
    """Fork; the parent prints the variables once the child listens, and leaves it alone."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()

        def ready(built: Built) -> None:
            os.write(writing, _exports(built, direct).encode("utf-8", "surrogateescape"))
            os.close(writing)
            null = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)

        return _serve(plan, ready)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    if not text:
        os.waitpid(pid, 0)
        raise PigeonError("the proxy did not start")
    sys.stdout.flush()
    sys.stdout.buffer.write(text + f"export PIGEON_PROXY_PID={pid}\n".encode())
    return 0


def _exports(built: Built, direct: list[str]) -> str:
    connect = " ".join(quote(word) for word in (*own_command(), "connect"))
    made = built.variables(direct, connect)
    return "".join(f"export {name}={quote(value)}\n" for name, value in made.items())
