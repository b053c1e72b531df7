"""Which session a verb means: the one that was named, or the only one that is open in this directory."""

from __future__ import annotations

from pigeon.errors import NotFoundError
from pigeon.printing import complain
from pigeon.report import session_view
from pigeon.report.overview import collect
from pigeon.report.session_view import View
from pigeon.report.text import clean
from pigeon.text import cut
from pigeon.wire import states
from pigeon.wire.names import Namespace

SHOWN = 5
COMMAND_COLUMNS = 40


def choose(namespace: Namespace, typed: str | None, cwd: str, *, running: bool = False) -> str:
    """The id of the session meant by `typed`; without it, of the only one in `cwd`.

    `running`: those that wait do not count.

    Raises:
        NotFoundError: none, or several.
        ShareError: the share cannot be read.
    """
    if typed is not None:
        return session_view.resolve(namespace, typed)
    everywhere = [view for view in collect(namespace) if not running or view.state == states.RUNNING]
    here = [view for view in everywhere if view.request is not None and view.request.cwd == cwd]
    if len(here) == 1:
        complain(_described(here[0]))
        return here[0].session_id
    what = "runs" if running else "runs or waits"
    if here:
        several = f"{len(here)} sessions {what.replace('s', '')} in this directory"
        raise NotFoundError(f"{several}: {_listed(here)}", hint="name one of them")
    elsewhere = f"; elsewhere: {_listed(everywhere)}" if everywhere else ""
    raise NotFoundError(
        f"no session {what} in this directory{elsewhere}", hint="`pigeon sessions --all` lists them"
    )


def _listed(views: list[View]) -> str:
    more = f", and {len(views) - SHOWN} more" if len(views) > SHOWN else ""
    return ", ".join(map(_described, views[:SHOWN])) + more


def _described(view: View) -> str:
    return f"{session_view.short_id(view.session_id)} `{cut(clean(view.command), COMMAND_COLUMNS)}`"
