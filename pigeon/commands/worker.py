"""`pigeon worker`: serve the sessions of a namespace on this machine."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
from collections.abc import Mapping
from dataclasses import replace

from pigeon import mountinfo, startup
from pigeon.cli_arguments import words_of
from pigeon.commands.arguments import (
    Parser,
    add_common,
    add_settings,
    current_directory,
    flags_of,
    load_config,
)
from pigeon.commands.itself import own_command
from pigeon.config import Config
from pigeon.config_file import named_path
from pigeon.errors import UsageError
from pigeon.journal import place
from pigeon.journal.store import Journal
from pigeon.net.far.rules import Rules
from pigeon.printing import say, visible
from pigeon.settings import BY_KEY, options
from pigeon.wire import way
from pigeon.wire.names import is_session_id, worker_id
from pigeon.worker import identity, proof, words
from pigeon.worker.debug import Debug
from pigeon.worker.engine.launcher import job_of
from pigeon.worker.handover import Launching, Worker
from pigeon.worker.locks import kinds
from pigeon.worker.scheduler import limits
from pigeon.worker.scheduler.idleness import Idleness
from pigeon.worker.scheduler.retention import Retention
from pigeon.worker.scheduler.scheduler import Scheduler
from pigeon.worker.service_log import ServiceLog

KEEP_S = 30 * 86_400.0
"""So long the journal of a worker for one session stays that could not remove it itself."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Runs until SIGINT or SIGTERM. Raises PigeonError when it cannot start."""
    parser = Parser(
        prog="pigeon worker",
        description="Run the commands that clients publish in the shared directory. "
        "The first Ctrl-C takes no new ones and waits for those that run; the second hangs them up.",
    )
    add_common(parser)
    by_hand = ("worker.route", "worker.log")
    add_settings(parser, *(setting.key for setting in options("worker") if setting.key not in by_hand))
    log = BY_KEY["worker.log"]
    parser.add_argument(
        log.flag, dest=log.key, nargs="?", const="commands", choices=log.choices, help=log.told
    )
    parser.add_argument(
        "--print-unit",
        action="store_true",
        help="print a unit for systemd; `--user`, `--template` say which kind",
    )
    parser.add_argument(
        "--session",
        metavar="ID",
        help="serve this session alone, and end with it; what `worker.launcher` starts",
    )
    parser.add_argument("--launch", metavar="TOKEN", default="", help=argparse.SUPPRESS)
    if "--print-unit" in args:  # where `--user` names nobody
        from pigeon.commands.unit import print_unit

        return print_unit(args, globals_)
    arguments = parser.parse_args(args)
    only: str | None = arguments.session
    if only is not None and not is_session_id(only):
        raise UsageError(f"`{only}` is no session's id", hint="`pigeon sessions` lists them")
    config = load_config(arguments, globals_)
    limits.check()
    words.check(config.worker.wrap, words.WRAP)
    words.check(config.worker.launcher, words.LAUNCHER)
    worker, announcement = _worker(config, only)
    if only is not None:
        worker = replace(worker, only=only, launch_token=arguments.launch)
    elif config.worker.launcher:
        worker = replace(worker, launching=_launching(config, worker, flags_of(arguments, globals_)))
        announcement += f"\n  sessions are launched by: {shlex.join(config.worker.launcher)}"
    retention = Retention(
        config.worker.retention,
        config.worker.terminal_retention,
        config.worker.journal_retention,
    )
    scheduler = Scheduler(
        worker,
        retention,
        route=config.worker.route,
        max_jobs=config.worker.max_jobs,
        max_net=config.worker.max_net,
        poll_ceiling_s=config.worker.poll_interval,
        host_timeout_s=config.worker.host_timeout,
    )
    scheduler.idleness = Idleness(config.worker.idle_exit)
    scheduler.listen()
    startup.collect_as_usual()
    say(announcement, lines=True, stderr=True, flush=True)
    code = scheduler.run()
    if only is not None:
        place.discard(worker.journal_path)
        place.discard_old(KEEP_S, proof.is_any_held)
    return code


def _launching(config: Config, worker: Worker, flags: Mapping[str, str]) -> Launching:
    """How this worker has its sessions run by others, which see the same share in the same way."""
    given = dict(flags)
    named = named_path(flags, os.environ, current_directory())
    given.update({"config": named[0]} if named is not None else {})
    given.update(cache=worker.namespace.cache, namespace=worker.namespace.name)
    said = [f"--lock={worker.lock_mode}", f"--poll-interval={config.worker.poll_interval}", "--log=none"]
    said += [f"--route={config.worker.route}"] if config.worker.route else []
    serving = (*worker.own_command, *words_of(given), "worker", *said)
    return Launching(tuple(config.worker.launcher), serving, config.worker.host_timeout)


def _worker(config: Config, only: str | None) -> tuple[Worker, str]:
    """The worker, and what it says when it starts."""
    namespace = config.open_namespace(make=True)
    explicit = only is None and config.worker.journal is not None
    journal_path = (
        place.of_one_session(only) if only is not None else config.worker.journal or place.default_path()
    )
    place.check(journal_path, explicit)
    with Journal.open(journal_path, verify=True) as journal:
        journal_path = journal.path  # one name for all workers with this journal, whatever links lead to it
        journal_seen = journal.seen()
    rules = Rules(
        config.worker.net, config.worker.net_permit, config.worker.net_deny, config.worker.net_history
    )
    rules.check()
    lock = kinds.choose(config.worker.lock, mountinfo.filesystem_of(namespace.root))
    host = socket.gethostname()
    worker = Worker(
        worker_id=worker_id(host, os.getpid()),
        host=host,
        pid=os.getpid(),
        boot=identity.boot_id(),
        namespace=namespace,
        journal_path=journal_path,
        lock_mode=lock.mode,
        client_timeout_s=config.worker.client_timeout,
        max_stream_bytes=config.worker.max_stream,
        scrollback_bytes=config.worker.scrollback,
        wrap=tuple(config.worker.wrap),
        job=job_of(os.environ),
        own_command=own_command(),
        debug=Debug(enabled=config.worker.debug, environ=os.environ),
        journal_seen=journal_seen,
        net_rules=rules.to_text(),
        log=ServiceLog(config.worker.log),
    )
    route = config.worker.route
    said = (
        f"pigeon worker {visible(worker.worker_id)}: namespace `{visible(namespace.name)}` "
        f"in {visible(namespace.cache)}"
        f"{f', route `{visible(route)}`' if route else ''}, {_at_a_time(config.worker.max_jobs)}\n"
        f"  journal {visible(journal_path)}, directory lock: {lock.mode} ({lock.reason})"
    )
    if worker.wrap:
        said += f"\n  commands are wrapped in: {shlex.join(worker.wrap)}"
    for path in _open_to_a_group(config):
        said += (
            f"\npigeon worker: warning: a whole group can write {path}, "
            'and so run commands as you (`share_trust = "group"`)'
        )
    if lock.warning:
        said += f"\npigeon worker: warning: {visible(lock.warning)}; {lock.remedy}"
    return worker, said


def _open_to_a_group(config: Config) -> list[str]:
    """What on the way to the sessions would be refused, were not a group trusted; one that is not is refused before."""
    if config.share_trust != way.TRUST_GROUP:
        return []
    faults = way.faults(config.require_cache(), config.namespace, way.TRUST_USER)
    return [f"`{visible(os.fsdecode(fault.filename))}`" for fault in faults]


def _at_a_time(count: int) -> str:
    return "one command at a time" if count == 1 else f"up to {count} commands at a time"
