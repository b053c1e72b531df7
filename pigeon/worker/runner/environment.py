"""The environment that a command gets on the worker's host."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pigeon.wire.documents import Request
from pigeon.worker.identity import SESSION_VARIABLE

_TERMINFO = (
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/lib/terminfo",
    "/usr/share/terminfo",
    "/usr/local/share/terminfo",
)

_FALLBACKS = {
    "tmux": "screen",
    "tmux-256color": "screen-256color",
    "screen-256color": "screen",
    "linux": "vt100",
}
"""TERM -> what resembles it most on a host that lacks its entry. Everything else is taken for an xterm with 256
colours, which is what terminals with entries of their own (kitty, ghostty, alacritty, foot, wezterm) imitate."""


def command_environment(
    request: Request, own: Mapping[str, str], session_id: str
) -> tuple[dict[str, str], list[str]]:
    """The command's environment, and notes for `-v` on what had to differ from the request."""
    env = {name: value for name, value in own.items() if not name.startswith("PIGEON_")}
    for name in request.unset_env:
        env.pop(name, None)
    env.update((name, value) for name, value in request.env.items() if value is not None)
    env[SESSION_VARIABLE] = session_id
    notes = []
    if request.pty:
        term = env.get("TERM")
        if not term:
            env["TERM"] = "xterm-256color"
        elif not has_terminfo(term, env):
            env["TERM"] = fallback_term(term, env)
            notes.append(f"this host has no terminfo entry `{term}`; TERM is `{env['TERM']}`")
    return env, notes


def fallback_term(term: str, env: Mapping[str, str]) -> str:
    """The nearest terminal type that this host knows."""
    candidates = []
    while term in _FALLBACKS and term not in candidates:
        term = _FALLBACKS[term]
        candidates.append(term)
    for candidate in (*candidates, "xterm-256color", "xterm", "vt100"):
        if has_terminfo(candidate, env):
            return candidate
    return "dumb"


def has_terminfo(term: str, env: Mapping[str, str]) -> bool:
    """Whether terminfo(5) finds an entry: a file in a directory named by its first character, or that in hex."""
    if "/" in term or term in ("", ".", ".."):
        return False
    places = [env["TERMINFO"]] if env.get("TERMINFO") else []
    places.append(os.path.join(env.get("HOME", "/"), ".terminfo"))
    places += [place for place in env.get("TERMINFO_DIRS", "").split(":") if place]
    places += _TERMINFO
    return any(
        os.path.exists(os.path.join(place, letter, term))
        for place in places
        for letter in (term[0], f"{ord(term[0]):x}")
    )
