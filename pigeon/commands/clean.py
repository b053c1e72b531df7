"""`pigeon clean`: remove finished sessions now instead of after their retention time."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from pigeon import clock
from pigeon.client.waiting import duration
from pigeon.commands import overview
from pigeon.commands.common import add_common, load_config
from pigeon.errors import NotFoundError
from pigeon.wire import files, states
from pigeon.wire.names import Namespace

READER_S = 2.0
"""How long the control files are watched: a client that still reads would acknowledge or send a heartbeat."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Remove what has ended. Raises PigeonError."""
    parser = argparse.ArgumentParser(
        prog="pigeon clean",
        description="Remove finished sessions from the share. What `pigeon history` knows stays, and so do lock files. "
        "Workers do the same by themselves after the retention time.",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--older-than",
        metavar="S",
        type=float,
        default=60.0,
        help="leave those that ended within the last S seconds (60)",
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = Namespace(config.require_cache(), config.namespace)
    ended = [
        v
        for v in _views(namespace)
        if v.state in states.FINAL and v.session_id and _age(v) >= arguments.older_than
    ]
    before = {v.session_id: _controls(v) for v in ended}
    if ended and not arguments.dry_run:
        clock.sleep(READER_S)
    removed = 0
    for view in ended:
        size = sum(view.sizes.values())
        if arguments.dry_run:
            print(f"would remove {view.session_id} ({view.state}, {size} bytes): {view.command!r}")
        elif _controls(overview.view(namespace, view.session_id)) != before[view.session_id]:
            print(f"left {view.session_id}: somebody still reads it")
            continue
        else:
            files.remove_session(view.files)
        removed += 1
    verb = "would be removed" if arguments.dry_run else "removed"
    oldest = duration(max((v.age_s() for v in ended), default=0.0))
    print(f"{removed} finished sessions {verb}" + (f", the oldest {oldest} old" if removed else ""))
    return 0


def _views(namespace: Namespace) -> list[overview.View]:
    found = []
    for session_id in overview.session_ids(namespace):
        try:
            found.append(overview.view(namespace, session_id))
        except NotFoundError:
            continue
    return found


def _age(view: overview.View) -> float:
    """Seconds since the session ended, by this host's clock; only for `--older-than`, which a person chose."""
    finished = view.status.fields.get("finished_at") if view.status else None
    return overview.seconds_since(finished) or view.age_s()


def _controls(view: overview.View) -> dict[str, int]:
    return {name: size for name, size in view.sizes.items() if name.startswith("control.")}
