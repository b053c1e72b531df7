"""Running a command where a session already is: which of pigeon's options that carries out, and which it cannot."""

from __future__ import annotations

from pigeon.cli_arguments import Invocation
from pigeon.client.tty import is_terminal
from pigeon.config import Config
from pigeon.errors import UsageError
from pigeon.inside import ROUTE_VARIABLE, SESSION_VARIABLE, SHARE_VARIABLE
from pigeon.settings import BY_KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def check(invocation: Invocation, settings: Config, environ: Mapping[str, str]) -> None:
    """Refuse what cannot be carried out; who has typed an option must not believe that it counts.

    Carried out are: `--config` (its `[client] shell`), `--no-lock` and the timeouts (nothing is waited for), `-v`, and
    whatever the session has anyway: its namespace and route, its terminal or its pipes.

    Raises:
        UsageError: with the option.
    """
    option = _refused(invocation, settings, environ)
    if option is not None:
        raise UsageError(
            f"`{option}` cannot be carried out inside a session, where the command runs in place",
            hint=f"leave it out, or give the command a session of its own: `env -u {SESSION_VARIABLE} pigeon …` "
            "(with `--no-lock` in the same directory)",
        )
    if invocation.verbose:
        from pigeon.printing import complain

        complain(f"inside session {environ.get(SESSION_VARIABLE, '')}: runs in place")


def _refused(invocation: Invocation, settings: Config, environ: Mapping[str, str]) -> str | None:
    """The first option that asks for something else than what is here."""
    has_terminal = is_terminal(0) and is_terminal(1)
    switches = (
        ("--detach", invocation.detach),
        ("--keep", invocation.keep),
        ("--tty", invocation.pty is True and not has_terminal),
        ("--no-tty", invocation.pty is False and (is_terminal(0) or is_terminal(1))),
    )
    share = f"{settings.cache}/namespaces/{settings.namespace}"
    is_elsewhere = share != environ.get(SHARE_VARIABLE)
    keys = (
        ("cache", is_elsewhere),
        ("namespace", is_elsewhere),
        ("route", settings.route != environ.get(ROUTE_VARIABLE)),
        ("user", True),
        ("client.escape_char", is_terminal(0)),
    )
    flags = ((BY_KEY[key].flag, key in invocation.flags and differs) for key, differs in keys)
    return next((option for option, is_asked in (*switches, *flags) if is_asked), None)
