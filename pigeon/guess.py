"""What was probably meant: "did you mean" for options, verbs, and words that were run over there and not found.

Imported only where something is wrong already: difflib costs what a whole command may take.
"""

from __future__ import annotations

from collections.abc import Iterable

OTHER_NAMES = {
    "cancel": "stop",
    "detach": "--detach",
    "exec": "",
    "fg": "attach",
    "follow": "logs -f",
    "info": "inspect",
    "jobs": "sessions",
    "kill": "stop",
    "list": "sessions",
    "log": "logs",
    "ls-sessions": "sessions",
    "ps": "sessions",
    "queue": "sessions",
    "run": "",
    "serve": "worker",
    "session": "sessions",
    "show": "inspect",
    "start": "worker",
    "stats": "history --stats",
    "status": "sessions",
    "tail": "logs -f",
    "version": "--version",
}
"""What other tools call it -> the verb here; "": none is needed."""

_ALONE = ("fg", "jobs", "ps")
"""They run over there as well; alone they can tell nothing there that anybody wants to know."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` is most likely a slip of."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), 1, 0.7)
    return found[0] if found else None


def option(word: str, known: Iterable[str]) -> str:
    """`, did you mean …` behind an unknown option; empty where nothing is near. One letter is near to everything."""
    found = nearest(word, [one for one in known if len(one) > 2]) if len(word) > 2 else None
    return f"; did you mean `{found}`?" if found else ""


def verb(words: list[str], verbs: Iterable[str]) -> str | None:
    """The hint for a command that was not found over there, if its first word is near to a verb of pigeon's.

    Also for `ps`, `jobs`, `fg` and `kill`, which are there: alone, and `kill` with the id of a session.
    """
    text = words[0].split() if len(words) == 1 else words
    first = text[0] if text else ""
    if (first in _ALONE and len(text) > 1) or (first == "kill" and not any(map(_looks_like_id, text[1:]))):
        return None
    if first in OTHER_NAMES:
        verb = OTHER_NAMES[first]
        rest = [word for word in text[1:] if not verb or _looks_like_id(word)]
        meant = " ".join([verb, *rest] if verb else rest)
        return f"did you mean `pigeon {meant}`? (`{first}` was run over there)" if meant else None
    found = nearest(first, verbs) if len(first) > 2 else None
    return f"did you mean `pigeon {found}`? (`{first}` was run over there)" if found else None


def _looks_like_id(word: str) -> bool:
    """Whether it is what lists show of a session, and no pid, job or signal."""
    random = word.rpartition("-")[2]
    is_hex = len(random) >= 8 and all(char in "0123456789abcdef" for char in random)
    return is_hex and not word.startswith("-") and not word.isdigit()
