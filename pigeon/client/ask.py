"""Asking a worker's own pigeon, through a session: what only the worker's host knows (its journal, its processes)."""

from __future__ import annotations

import os

from pigeon.client import frames
from pigeon.client.outcome import Options, Outcome, report
from pigeon.client.session import submit
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.pump import Pump
from pigeon.client.terminal import guardian
from pigeon.client.tty import is_terminal, window_size
from pigeon.commandline import quote
from pigeon.config import Config
from pigeon.wire.documents import CLIENT_FEATURES, Request
from pigeon.wire.names import Namespace, new_session_id

_PASSED_ON = ("NO_COLOR", "FORCE_COLOR", "TZ", "LANG", "LC_ALL", "LC_TIME")


def ask_worker(verb_args: list[str], config: Config) -> int:
    """Run `pigeon <verb_args>` on a worker and print what it prints. Returns its exit code.

    Paths in `verb_args` must be absolute. The session takes no lock. An older worker, which knows no `verb`, runs
    whatever `pigeon` its login shell finds.
    """
    return guardian.run(
        lambda mine: _pump(mine, verb_args, config), reads_keyboard=False, speaks=is_terminal(2)
    )


def _pump(mine: frames.FramePipe, verb_args: list[str], config: Config) -> int:
    return report(mine, lambda: _session(mine, verb_args, config))


def _session(mine: frames.FramePipe, verb_args: list[str], config: Config) -> Outcome:
    namespace = Namespace(config.require_cache(), config.namespace)
    text = "exec pigeon " + " ".join(quote(word) for word in verb_args)
    request = Request(new_session_id(), ["bash", "-lc", text], "/")
    request.verb = verb_args
    request.env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    size = window_size()
    if size is not None and is_terminal(1):
        request.env["COLUMNS"] = str(size[0])
        request.env.setdefault("FORCE_COLOR", "1")
    request.requester = {"host": submit.host_name(), "pid": os.getpid(), "user": config.user}
    request.pty = False
    request.lock = "none"
    request.route = config.route
    request.features = CLIENT_FEATURES
    session = submit.publish(namespace, request)
    options = Options()
    options.reads_stdin = False
    options.speaks = is_terminal(2)
    peer = OwnerState(
        namespace,
        session,
        cwd=request.cwd,
        locks=False,
        route=request.route,
        claim_timeout_s=config.client.claim_timeout,
        worker_timeout_s=config.client.worker_timeout,
    )
    pump = Pump(mine, session, peer, options, created_at=request.created_at)
    pump.upstream.end()
    return pump.run()
