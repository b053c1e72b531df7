"""`pigeon attach SESSION`: become the terminal of a running session, or only watch it."""

from __future__ import annotations

import argparse
import os
import select
from collections.abc import Callable, Mapping

from pigeon.client import frames
from pigeon.client.outcome import Options, Outcome, report
from pigeon.client.session import attachment
from pigeon.client.session.modes import Modes
from pigeon.client.session.output import Output
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.pump import ALIVE_S, Pump
from pigeon.client.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM
from pigeon.client.terminal import guardian
from pigeon.client.tty import is_terminal, window_size
from pigeon.clock import monotonic
from pigeon.commands.arguments import Parser, add_common, load_config
from pigeon.config import Config
from pigeon.errors import EXIT_PIGEON, PigeonError
from pigeon.report import session_view
from pigeon.wire import states
from pigeon.wire.names import Namespace
from pigeon.wire.records import data_of
from pigeon.wire.tail import Tail

REPLAY_BYTES = 256 * 1024
"""Of the output so far, at most this much is shown again."""

CONTEXT_BYTES = 16 * 1024
"""And this much where no full-screen program has cleared the screen within that."""

READING_S = 1.0
"""Reading what has been put out so far takes no longer, mostly; then the user hears of it."""

_BEGINNINGS = (b"\x1b[2J", b"\x1b[?1049h", b"\x1bc", b"\x1b[3J")


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """The session's exit code; 0 after detaching. Raises PigeonError."""
    parser = Parser(
        prog="pigeon attach",
        description="Take over a running session: its screen, its keyboard, its exit code. "
        "Whoever was attached before is told, and ends. Only a terminal's input is passed on.",
    )
    parser.add_argument(
        "session", metavar="SESSION", help="its id, or a unique beginning of it or of its random part"
    )
    parser.add_argument(
        "-r", "--read-only", action="store_true", help="only watch, until Ctrl-C; the present client stays"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens to the session")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    speaks = is_terminal(2) or arguments.verbose

    def pump(mine: frames.FramePipe) -> int:
        return report(mine, lambda: _outcome(mine, arguments, config, speaks=speaks))

    watches = arguments.read_only
    return guardian.run(pump, reads_keyboard=is_terminal(0), speaks=speaks, watches=watches)


def _outcome(
    mine: frames.FramePipe, arguments: argparse.Namespace, config: Config, *, speaks: bool
) -> Outcome:
    try:
        return _attach(mine, arguments, config, speaks=speaks)
    except Outcome as outcome:
        return outcome


def _attach(
    mine: frames.FramePipe, arguments: argparse.Namespace, config: Config, *, speaks: bool
) -> Outcome:
    namespace = Namespace(config.require_cache(), config.namespace)
    view = session_view.view(namespace, session_view.resolve(namespace, arguments.session))
    if view.state in states.FINAL:
        raise PigeonError(
            f"session {view.session_id} has ended: {view.state}",
            hint=f"`pigeon logs {view.session_id}` shows its output",
        )
    if view.request is None or view.claim is None:
        raise PigeonError(
            f"session {view.session_id} has not been started yet", hint="`pigeon sessions` tells why"
        )
    if not arguments.read_only and not view.claim.takes_attachers:
        raise PigeonError(
            f"session {view.session_id} is run by an older worker, which cannot be attached to",
            hint="`--read-only` watches it",
        )
    options = Options()
    options.keyboard = is_terminal(0)
    options.reads_stdin = options.keyboard
    options.pty = view.request.pty
    options.keeps = view.request.keeps
    options.raw = options.pty and options.keyboard
    options.escape_char = "" if config.client.escape_char == "none" else config.client.escape_char
    options.verbose, options.speaks = arguments.verbose, speaks
    options.read_only = arguments.read_only
    options.window = window_size()
    tail = Tail(view.files.stream, ("output",))
    reader = Reader(mine, options, view.files.stream)
    screen, modes, ended = replay(tail, hear=reader.hear)
    if ended:
        raise PigeonError(
            f"session {view.session_id} has just ended",
            hint=f"`pigeon logs {view.session_id}` shows its output",
        )
    number = 0
    control = None
    if not options.read_only:
        mine_now = attachment.create(view.files)
        number, control = mine_now.number, mine_now.control
    peer = OwnerState(
        namespace,
        view.files,
        cwd=view.request.cwd,
        locks=False,
        route=view.request.route,
        claim_timeout_s=config.client.claim_timeout,
        worker_timeout_s=config.client.worker_timeout,
        attachment=number,
    )
    pump = Pump(mine, view.files, peer, options, attachment=number)
    pump.join(tail, control)
    pump.screen.show(screen, modes)
    reader.hand_over(pump)
    return pump.run()


class Reader:
    """The user, while the output so far is read: told what takes so long, and free to leave an untouched session."""

    def __init__(self, guardian_: frames.FramePipe, options: Options, path: str) -> None:
        self._guardian = guardian_
        self._options = options
        self._path = path
        self._screen = Output(guardian_, options)
        self._later: list[tuple[bytes, bytes]] = []
        self._said = self._suspended = False
        self._began = self._alive_at = monotonic()

    def hear(self) -> None:
        """Say what is to be said, and act on what has come. Raises Outcome."""
        now = monotonic()
        if now - self._began > READING_S and not self._said:
            self._said = True
            self._screen.notice(f"reading {self._megabytes()} MB of output so far")
        if now - self._alive_at > ALIVE_S:
            self._alive_at = now
            self._guardian.send(frames.ALIVE)
        self._receive()
        while self._suspended:
            poll = select.poll()
            poll.register(self._guardian.reading, select.POLLIN)
            poll.poll()
            self._receive()

    def _megabytes(self) -> int:
        try:
            return os.stat(self._path).st_size * 3 // 4_000_000  # four characters of base64 are three bytes
        except OSError:
            return 0  # reading it will tell

    def _receive(self) -> None:
        received = self._guardian.receive()
        if received is None:
            raise Outcome(EXIT_PIGEON)  # the guardian was killed
        for kind, payload in received:
            if kind == frames.DETACH:
                raise Outcome(0)
            if kind in (frames.HANG_UP, frames.GONE):
                raise Outcome(EXIT_PIGEON)
            if kind == frames.SIGNAL and int(payload) in (SIGINT, SIGQUIT, SIGTERM, SIGHUP):
                raise Outcome(128 + int(payload), "pigeon: left before it was attached; the session goes on")
            if kind == frames.SIZE:
                cols, rows = map(int, payload.split())
                self._options.window = (cols, rows)
            elif kind == frames.SUSPEND:
                self._suspended = True
                self._guardian.send(frames.SUSPENDED)
            elif kind == frames.RESUME:
                self._suspended = False
            else:
                self._later.append((kind, payload))

    def hand_over(self, pump: Pump) -> None:
        """What was typed, and the signals for the command, in their order."""
        for kind, payload in self._later:
            if kind in (frames.KEYS, frames.KEYS_END):
                pump.upstream.type(payload)
            elif kind == frames.SIGNAL:
                pump.upstream.signal(int(payload))


def replay(tail: Tail, *, hear: Callable[[], None]) -> tuple[bytes, Modes, bool]:
    """(what to show of the output so far, the terminal modes it left on, whether the exit event has been seen).

    `hear` is called between pieces of the work, of some ten milliseconds each, and may raise.
    """
    kept = bytearray()
    modes = Modes()
    ended = False
    while not ended:
        hear()
        records = tail.poll()
        of_terminal = []
        for record in records:
            if record.get("type") == "output":
                data = data_of(record)
                if record.get("channel") == "pty":
                    of_terminal.append(data)
                kept += data
            elif record.get("event") == "exit":
                ended = True
                break
        modes.feed(b"".join(of_terminal))
        if len(kept) > 2 * REPLAY_BYTES:  # cut now and then, not at every record of a long stream
            del kept[:-REPLAY_BYTES]
        if not records or not tail.has_more:
            break  # what comes from now on, however fast, is shown as it comes
    recent = bytes(kept[-REPLAY_BYTES:])
    begin = max(recent.rfind(beginning) for beginning in _BEGINNINGS)
    if begin < 0 and len(recent) > CONTEXT_BYTES:
        begin = recent.find(b"\n", len(recent) - CONTEXT_BYTES) + 1
    return recent[max(begin, 0) :], modes, ended
