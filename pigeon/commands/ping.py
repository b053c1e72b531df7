"""`pigeon ping`: how long a command takes there and back, from the request on the share to its end on the share."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from pigeon import clock
from pigeon.client.session import context, submit
from pigeon.commands.arguments import Parser, add_common, load_config, seconds
from pigeon.config import Config
from pigeon.errors import EXIT_PIGEON, PigeonError
from pigeon.journal.rows import PING
from pigeon.printing import say
from pigeon.report import session_view
from pigeon.text import duration
from pigeon.wire import files
from pigeon.wire.claim import read_claim
from pigeon.wire.documents import BESIDE, KEEP, Request, Requester
from pigeon.wire.names import Namespace, SessionFiles, new_session_id
from pigeon.wire.records import EXIT, NOTICE, WORKER_ERROR, Exit, event_of, message_of
from pigeon.wire.tail import Tail


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Exit code 1 where an answer is missing. Raises PigeonError."""
    parser = Parser(
        prog="pigeon ping",
        description="Have a worker run `true`, and tell how long it takes from the request to its end.",
        epilog="With other arguments, `pigeon ping HOST …` runs the program of that name over there.",
    )
    parser.add_argument(
        "--count", type=int, default=3, metavar="N", help="so many times (3); 0: until Ctrl-C"
    )
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="TIME", help="TIME between two (1s)")
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="TIME", help="wait so long for each (5s)"
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    took: list[float] = []
    sent = 0
    try:
        while sent < arguments.count or not arguments.count:
            if sent:
                clock.sleep(arguments.interval)
            sent += 1
            answer = _ping(namespace, config, arguments.timeout)
            if answer is None:
                say(f"no answer within {duration(arguments.timeout)}; `pigeon doctor` tells more", flush=True)
                continue
            seconds_, who = answer
            took.append(seconds_)
            say(f"reply from {who}: {seconds_ * 1000:.1f} ms", flush=True)
    except KeyboardInterrupt:
        say()
    if len(took) > 1:
        times = " / ".join(f"{one * 1e3:.1f}" for one in (min(took), statistics.median(took), max(took)))
        say(f"{len(took)} of {sent} answered: {times} ms (least / median / most)")
    return 0 if len(took) == sent else 1


def _ping(namespace: Namespace, config: Config, timeout_s: float) -> tuple[float, str] | None:
    """(seconds, who answered); None in time. Raises PigeonError: it was answered by a failure."""
    answer = probe(namespace, config, "/", timeout_s)
    if answer is None:
        return None
    if answer.code not in (0, None):
        raise PigeonError(f"the worker could not run `true`: exit code {answer.code}")
    return answer.took_s, _who(namespace, answer.session)


@dataclass
class Answer:
    """How `true` went over there. `code` None: an older worker does not say."""

    took_s: float
    code: int | None
    said: list[str]
    """What the worker told its user."""
    session: SessionFiles


def probe(namespace: Namespace, config: Config, cwd: str, timeout_s: float) -> Answer | None:
    """Have a worker run `true` in `cwd`, beside whatever runs there; None if it has not answered in time."""
    request = Request(new_session_id(), list(PING), cwd)
    request.pty, request.lock, request.route, request.on_disconnect = False, BESIDE, config.route, KEEP
    request.requester = Requester(submit.host_name(), os.getpid(), config.user)
    context.add(request)
    began = clock.monotonic()
    submission = submit.publish(namespace, request)
    session = submission.session
    tail = Tail(session.stream, ())
    said: list[str] = []
    while True:
        try:
            records = tail.poll()
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and not files.may_pass(error):
                raise
            records = []
        now = clock.monotonic()
        for record in records:
            event = event_of(record)
            if event in (NOTICE, WORKER_ERROR):
                said.append(message_of(record))
            if event in (EXIT, WORKER_ERROR):
                code = Exit(record).exit_code if event == EXIT else EXIT_PIGEON
                return Answer(now - began, code, said, session)
        if now - began > timeout_s:
            submission.withdraw("pigeon, who asked, has left")
            return None
        clock.sleep(0.001 if now - began < 1 else 0.02)


def _who(namespace: Namespace, session: SessionFiles) -> str:
    """The worker in the claim, and its version."""
    try:
        owner = read_claim(session).worker_id
        workers, _ = session_view.live_workers(namespace, patience_s=0.0)
    except (OSError, PigeonError):
        return "a worker"
    version = workers[owner].version if owner in workers else ""
    return f"{owner} (pigeon {version})" if version else owner
