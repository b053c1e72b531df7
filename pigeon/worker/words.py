"""Words that stand before a command on the worker's host (`worker.wrap`), or before a whole worker (`worker.launcher`).

What a word may hold beside itself: `{cwd}` the session's directory, `{session}` its id; a word `{tty:WORD}` is WORD for
a session with a terminal and is left out for one on pipes; `{{` and `}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pigeon.errors import ConfigError

WRAP = "worker.wrap"
LAUNCHER = "worker.launcher"

_HOLE = re.compile(r"\{\{|\}\}|\{(cwd|session)\}|[{}]")
_TTY = re.compile(r"\{tty:(.+)\}", re.DOTALL)


def check(words: Sequence[str], key: str) -> None:
    """Raises ConfigError for what no session could be given. `key`: the setting that has the words."""
    filled(words, key, cwd="/", session_id="0", pty=True)
    if words and _TTY.fullmatch(words[0]):
        raise ConfigError(f"`{key}`: its first word is the program, and cannot depend on the terminal")


def filled(words: Sequence[str], key: str, *, cwd: str, session_id: str, pty: bool) -> list[str]:
    """The words for this session. Raises ConfigError for a brace that means nothing."""
    values = dict(cwd=cwd, session=session_id)  # noqa: C408  (names of this table, and no fields of the share's files)
    found = []
    for word in words:
        of_tty = _TTY.fullmatch(word)
        if of_tty is not None and not pty:
            continue
        text = of_tty[1] if of_tty is not None else word
        found.append(_HOLE.sub(lambda hole, word=word: _filled(hole, values, word, key), text))
    return found


def _filled(hole: re.Match[str], values: dict[str, str], word: str, key: str) -> str:
    if hole[1] is not None:
        return values[hole[1]]
    if len(hole[0]) == 2:
        return hole[0][0]
    raise ConfigError(
        f"`{key}`: `{word}` has a brace that means nothing",
        hint="there are {cwd}, {session} and the word {tty:WORD}; a brace itself is {{ or }}",
    )
