"""`pigeon attach SESSION`: become the terminal of a running session, or only watch it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pigeon.client import attachment, guardian, link
from pigeon.client.modes import Modes
from pigeon.client.outcome import Options, Outcome, report
from pigeon.client.peer import Peer
from pigeon.client.pump import Pump
from pigeon.client.terminal import is_terminal, window_size
from pigeon.commands import overview
from pigeon.commands.common import Parser, add_common, load_config
from pigeon.config import Config
from pigeon.errors import PigeonError
from pigeon.wire import states
from pigeon.wire.claim import features_of
from pigeon.wire.names import Namespace
from pigeon.wire.records import data_of
from pigeon.wire.tail import Tail

REPLAY_BYTES = 256 * 1024
"""Of the output so far, at most this much is shown again."""

CONTEXT_BYTES = 16 * 1024
"""And this much where no full-screen program has cleared the screen within that."""

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
    parser.add_argument("-r", "--read-only", action="store_true", help="only watch; the present client stays")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens to the session")
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    speaks = is_terminal(2) or arguments.verbose

    def pump(mine: link.Link) -> int:
        return report(mine, lambda: _attach(mine, arguments, config, speaks=speaks))

    return guardian.run(pump, reads_keyboard=is_terminal(0), speaks=speaks)


def _attach(mine: link.Link, arguments: argparse.Namespace, config: Config, *, speaks: bool) -> Outcome:
    namespace = Namespace(config.require_cache(), config.namespace)
    view = overview.view(namespace, overview.resolve(namespace, arguments.session))
    if view.state in states.FINAL:
        raise PigeonError(
            f"session {view.session_id} has ended: {view.state}",
            hint=f"`pigeon logs {view.session_id}` shows its output",
        )
    if view.request is None or view.claim is None:
        raise PigeonError(
            f"session {view.session_id} has not been started yet", hint="`pigeon sessions` tells why"
        )
    if not arguments.read_only and "attach" not in features_of(view.claim):
        raise PigeonError(
            f"session {view.session_id} is run by an older worker, which cannot be attached to",
            hint="`--read-only` watches it",
        )
    options = Options()
    options.keyboard = is_terminal(0)
    options.reads_stdin = options.keyboard
    options.pty = view.request.pty
    options.keeps = view.request.on_disconnect == "keep"
    options.raw = options.pty and options.keyboard
    options.escape_char = "" if config.client.escape_char == "none" else config.client.escape_char
    options.verbose, options.speaks = arguments.verbose, speaks
    options.read_only = arguments.read_only
    options.window = window_size()
    tail = Tail(view.files.stream, ("output",))
    screen, modes, ended = replay(tail)
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
    peer = Peer(
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
    return pump.run()


def replay(tail: Tail) -> tuple[bytes, Modes, bool]:
    """(what to show of the output so far, the terminal modes it left on, whether the exit event has been seen)."""
    kept = b""
    modes = Modes()
    while records := tail.poll():
        for record in records:
            if record.get("type") == "output":
                data = data_of(record)
                if record.get("channel") == "pty":
                    modes.feed(data)
                kept += data
                if len(kept) > 2 * REPLAY_BYTES:  # cut now and then, not at every record of a long stream
                    kept = kept[-REPLAY_BYTES:]
            elif record.get("event") == "exit":
                return kept, modes, True
    kept = kept[-REPLAY_BYTES:]
    begin = max(kept.rfind(beginning) for beginning in _BEGINNINGS)
    if begin < 0 and len(kept) > CONTEXT_BYTES:
        begin = kept.find(b"\n", len(kept) - CONTEXT_BYTES) + 1
    return kept[max(begin, 0) :], modes, False
