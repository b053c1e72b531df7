"""`pigeon clean`: remove finished sessions now instead of after their retention time."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pigeon import clock
from pigeon.commands.arguments import Parser, add_common, load_config, seconds
from pigeon.errors import NotFoundError, ShareError
from pigeon.printing import complain, say
from pigeon.report import newest, session_view
from pigeon.report.text import clean
from pigeon.text import duration
from pigeon.wire import directories, states
from pigeon.wire.names import STATUS_NAME, Namespace, is_control
from pigeon.wire.pacing import HEARTBEAT_S
from pigeon.wire.records import SUSPENDED

READER_S = HEARTBEAT_S + 1.0
"""How long the control files are watched: a client that still reads acknowledges or sends a heartbeat."""

UNPUBLISHED_S = 3600.0
"""A session that nobody has published for this long is not published any more."""


def main(args: list[str], globals_: Mapping[str, str]) -> int:
    """Remove what has ended. Raises PigeonError."""
    parser = Parser(
        prog="pigeon clean",
        description="Remove finished sessions from the share. What `pigeon history` knows stays, and so do lock files. "
        "Workers do the same by themselves after the retention time.",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        type=seconds,
        default=60.0,
        help="leave those that ended within the last TIME: 90s, 2d, or seconds (60)",
    )
    add_common(parser)
    arguments = parser.parse_args(args)
    config = load_config(arguments, globals_)
    namespace = config.open_namespace()
    return _clean(namespace, arguments.older_than, dry=arguments.dry_run)


def _clean(namespace: Namespace, older_than_s: float, *, dry: bool) -> int:
    views = [v for v in _views(namespace) if _has_ended(v) and _age(v) >= older_than_s]
    if views and not dry:
        if os.isatty(2):
            complain(f"watching for {READER_S:.0f} s whether anybody still reads what has ended")
        clock.sleep(READER_S)
    removed = []
    failures: dict[str, int] = {}
    for view in views:
        size = sum(view.sizes.values())
        reader = "" if dry else _reader(namespace, view)
        if reader:
            say(f"left {view.session_id}: {reader}")
            continue
        if dry:
            say(f"would remove {view.session_id} ({view.state}, {size} bytes): {clean(view.command)}")
        else:
            try:
                is_gone = _remove(view)
            except OSError as error:
                why = error.strerror or str(error)
                failures[why] = failures.get(why, 0) + 1
                continue
            if not is_gone:
                say(f"left {view.session_id}: a file of it is still open somewhere")
                continue
        removed.append(view)
    verb = "would be removed" if dry else "removed"
    oldest = duration(max((v.age_s() for v in removed), default=0.0))
    what = "1 finished session" if len(removed) == 1 else f"{len(removed)} finished sessions"
    say(f"{what} {verb}" + (f", the oldest {oldest} old" if removed else ""))
    if failures:
        told = "; ".join(f"{count} cannot be removed: {why}" for why, count in failures.items())
        raise ShareError(
            f"of the finished sessions in `{namespace.sessions}` {told}",
            hint="run it where the share can be written; `pigeon doctor` looks at the share",
        )
    return 0


def _remove(view: session_view.View) -> bool:
    """Whether the session is gone; else some process still has a file of it open. Raises OSError: why it stays."""
    try:
        return directories.remove_session(view.files)
    except FileNotFoundError:
        return True


def _has_ended(view: session_view.View) -> bool:
    """Final, or never published and long forgotten: its client died while it made it."""
    if view.state in states.FINAL:
        return True
    return STATUS_NAME not in view.names and view.claim is None and view.age_s() > UNPUBLISHED_S


def _reader(namespace: Namespace, before: session_view.View) -> str:
    """Who still needs the session; empty if nobody does."""
    try:
        view = session_view.view(namespace, before.session_id)
    except NotFoundError:
        return "it has been removed meanwhile"
    if _controls(view) != _controls(before):
        return "somebody still reads it"
    if newest.client_state(view) == SUSPENDED:
        return "its client is suspended, and reads the rest when it is resumed"
    return ""


def _views(namespace: Namespace) -> list[session_view.View]:
    found = []
    for session_id in session_view.session_ids(namespace):
        try:
            found.append(session_view.view(namespace, session_id))
        except NotFoundError:
            continue
    return found


def _age(view: session_view.View) -> float:
    """Seconds since the session ended, by this host's clock; only for `--older-than`, which a person chose."""
    finished = view.status.finished_at if view.status else None
    ago = session_view.seconds_since(finished)
    return view.age_s() if ago is None else ago


def _controls(view: session_view.View) -> dict[str, int]:
    return {name: size for name, size in view.sizes.items() if is_control(name)}
