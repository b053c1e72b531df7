"""What the user typed -> what runs over there: quoting, references, and words that the local shell expanded too early.

Pure. The rules, in the order in which they apply:

1. `bash -lc …` (and `sh`, `zsh`, `dash`, `ksh`, with a path or without) with a `-…c` option is passed on as it is.
2. One word is a shell text, taken as it stands.
3. Of several words, leading `NAME=value` words stay assignments (the value is quoted; a value that is one lone
   reference stays one), a lone `$NAME` or `${NAME}` word stays a reference, every other word is quoted and arrives as
   the one word that it was.
4. Repair: the local shell has expanded `$NAME` before pigeon could see it. Where a word equals the *local* value of a
   variable that is set over there by `[remote_env]` or by a leading `NAME=value`, it becomes a reference again; for a
   leading assignment it becomes the assigned value, since a shell would expand `$NAME` before it assigns. Only words
   that are hardly meant literally are touched: see `_may_be_literal`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELLS = ("sh", "bash", "zsh", "dash", "ksh", "ash")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _LETTERS | frozenset("0123456789")
_SAFE = _NAME | frozenset("@%+=:,./-")

SHORTEST_REPAIRED = 4
"""A shorter word (`1`, `on`, `~`) is more likely meant than expanded."""


def quote(word: str) -> str:
    """`word` as one word of a POSIX shell, whatever it holds; what needs no quotes gets none."""
    if word and _SAFE.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def is_name(text: str) -> bool:
    """Whether a shell variable can be called so."""
    return bool(text) and text[0] in _LETTERS and _NAME.issuperset(text)


def referenced(word: str) -> str | None:
    """The NAME of a word that is nothing but `$NAME` or `${NAME}`."""
    if word.startswith("${") and word.endswith("}") and is_name(word[2:-1]):
        return word[2:-1]
    if word.startswith("$") and is_name(word[1:]):
        return word[1:]
    return None


def build(
    words: list[str],
    *,
    shell: list[str],
    remote_env: Mapping[str, str],
    local_env: Mapping[str, str],
    repair: bool,
) -> tuple[list[str], list[str]]:
    """(argv to run, what was put right, for `-v`)."""
    if _is_shell_call(words):
        return list(words), []
    if len(words) == 1:
        return [*shell, words[0]], []
    assigned = _leading_assignments(words)
    replaced = _replacements(assigned, remote_env, local_env) if repair else {}
    notes: list[str] = []
    parts = []
    for position, word in enumerate(words):
        if position < len(assigned):
            parts.append(_assignment(*assigned[position], remote_env, local_env, repair, notes))
        elif referenced(word) is not None:
            parts.append(word)
        elif word in replaced:
            reference, text = replaced[word]
            parts.append(text)
            notes.append(f"{word!r} was expanded here too early: it is {reference} over there")
        else:
            parts.append(quote(word))
    return [*shell, " ".join(parts)], notes


def _is_shell_call(words: list[str]) -> bool:
    if len(words) < 3 or os.path.basename(words[0]) not in _SHELLS:
        return False
    for word in words[1:-1]:
        if not word.startswith("-") or word == "--":
            return False
        if not word.startswith("--") and word.endswith("c"):
            return True
    return False


def _leading_assignments(words: list[str]) -> list[tuple[str, str]]:
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not is_name(name):
            break
        found.append((name, value))
    return found


def _assignment(
    name: str,
    value: str,
    remote_env: Mapping[str, str],
    local_env: Mapping[str, str],
    repair: bool,
    notes: list[str],
) -> str:
    if referenced(value) is not None:
        return f'{name}="{value}"'
    if repair:
        for other in remote_env:
            if (
                is_name(other)
                and value == local_env.get(other) != remote_env[other]
                and not _may_be_literal(value)
            ):
                notes.append(f"{name}={value!r} was expanded here too early: it is ${other} over there")
                return f'{name}="${other}"'
    return f"{name}={quote(value)}"


def _replacements(
    assigned: list[tuple[str, str]], remote_env: Mapping[str, str], local_env: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Local value -> (how to name it, the text that stands for it over there)."""
    found: dict[str, tuple[str, str]] = {}
    for name in remote_env:
        local = local_env.get(name)
        if is_name(name) and local and local != remote_env[name] and not _may_be_literal(local):
            found[local] = (f"${name}", f'"${name}"')
    for name, value in assigned:
        local = local_env.get(name)
        if local and local != value and not _may_be_literal(local):
            found[local] = (f"${name}, assigned in the same command", quote(value))
    return found


def _may_be_literal(word: str) -> bool:
    """Whether somebody may well have typed this word itself: it is short, or a number."""
    return len(word) < SHORTEST_REPAIRED or word.lstrip("+-").replace(".", "", 1).replace(":", "").isdigit()


# The environment


def forwarded_env(
    environ: Mapping[str, str], *, exclude: list[str], remote_env: Mapping[str, str], cwd: str
) -> dict[str, str]:
    """The client's environment without what stays behind, `[remote_env]` on top, and PWD as the user came by."""
    names = {pattern for pattern in exclude if not set(pattern) & set("*?[")}
    prefixes = tuple(
        p[:-1] for p in exclude if p.endswith("*") and len(p) > 1 and not set(p[:-1]) & set("*?[")
    )
    others = [p for p in exclude if p not in names and not (p.endswith("*") and p[:-1] in prefixes)]
    env = {
        name: value
        for name, value in environ.items()
        if name not in names and not name.startswith(prefixes) and not (others and _matches(name, others))
    }
    env.update(remote_env)
    env["PWD"] = _logical(environ.get("PWD"), cwd)
    return env


def _matches(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _logical(pwd: str | None, cwd: str) -> str:
    """`$PWD` if it names the current directory, as pwd(1) decides, else the resolved path."""
    if not pwd or not pwd.startswith("/"):
        return cwd
    try:
        here, there = os.stat("."), os.stat(pwd)
    except OSError:
        return cwd
    return pwd if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) else cwd
