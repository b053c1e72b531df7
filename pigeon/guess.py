"""What was probably meant: "did you mean" for options, verbs, and words that were run over there and not found.

Imported only where something is wrong already: difflib costs what a whole command may take.
"""

from __future__ import annotations

from collections.abc import Iterable

OTHER_NAMES = {
    "cancel": "stop",
    "exec": "",
    "jobs": "sessions",
    "kill": "stop",
    "list": "sessions",
    "log": "logs",
    "ls-sessions": "sessions",
    "run": "",
    "serve": "worker",
    "session": "sessions",
    "show": "inspect",
    "start": "worker",
    "status": "sessions",
    "tail": "logs -f",
    "version": "--version",
}
"""What other tools call it -> the verb here; "": none is needed."""


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
    """The hint for a command that was not found over there, if its first word is near to a verb of pigeon's."""
    text = words[0].split() if len(words) == 1 else words
    first = text[0] if text else ""
    if first in OTHER_NAMES:
        meant = OTHER_NAMES[first]
        rest = " ".join(text[1:])
        return (
            f"did you mean `pigeon {meant or rest}`? (`{first}` was run over there)"
            if meant or rest
            else None
        )
    found = nearest(first, verbs) if len(first) > 2 else None
    return f"did you mean `pigeon {found}`? (`{first}` was run over there)" if found else None
