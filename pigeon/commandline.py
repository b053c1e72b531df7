"""What the user typed -> what runs over there: quoting, references, words that the local shell expanded too early.

Pure, but for a look at whether `$PWD` names the current directory. The rules, in the order in which they apply:

1. `bash -lc …` (and `sh`, `zsh`, `dash`, `ksh`, with a path or without) with a `-…c` option is passed on as it is.
2. One word is a shell text, taken as it stands.
3. Of several words, leading `NAME=value` words stay assignments (the value is quoted, a value that is one lone
   reference stays one; in any other value `$` is literal, as the local shell left it), a lone `$NAME` or `${NAME}` word
   stays a reference, split over there as it would be if typed there, and every other word is quoted, so that it
   arrives as the one word that it was. A text that is too long for one argument is passed word by word instead.
4. Repair: the local shell has expanded `$NAME` before pigeon could see it. Where a word equals the *local* value of a
   variable that is set over there by `[remote_env]` or by a leading `NAME=value`, it becomes a reference again; for a
   leading assignment it becomes the assigned value, since a shell would expand `$NAME` before it assigns. Two variables
   with that value here and different ones there: it stays. Only words that are hardly meant literally are touched:
   see `_may_be_literal`.
"""

from __future__ import annotations

import os

from pigeon.printing import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SHELLS = ("sh", "bash", "zsh", "dash", "ksh", "ash")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_NAME = _LETTERS | frozenset("0123456789")
_PLAIN = _NAME | frozenset(".-")
_NUMERIC = frozenset("0123456789+-.,:/_%")

SHORTEST_REPAIRED = 4
SHORTEST_PLAIN_REPAIRED = 8
"""A shorter word (`1`, `on`, `~`), or plain one (`main`, `debug`, `v1.2`), is more likely meant than expanded."""

LONGEST_TEXT_BYTES = 120_000
"""The kernel takes at most 128 KiB as one argument, however much it takes in all."""


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
        return [*shell, _no_option(words[0])], []
    assigned = _leading_assignments(words)
    replaced = _replacements(assigned, remote_env, local_env) if repair else {}
    notes: list[str] = []
    parts = []
    plain = True
    for position, word in enumerate(words):
        if position < len(assigned):
            parts.append(_assignment(*assigned[position], remote_env, local_env, repair, notes))
        elif referenced(word) is not None:
            parts.append(word)
            plain = False
        elif word in replaced:
            reference, text = replaced[word]
            parts.append(text)
            plain = False
            notes.append(f"{word!r} was expanded here too early: it is {reference} over there")
        else:
            parts.append(quote(word))
    text = " ".join(parts)
    if plain and len(os.fsencode(text)) > LONGEST_TEXT_BYTES and os.path.basename(shell[0]) in _SHELLS:
        # what `xargs pigeon gzip` makes
        count = len(assigned)
        return [*shell, _no_option(" ".join([*parts[:count], '"$@"'])), shell[0], *words[count:]], notes
    return [*shell, _no_option(text)], notes


def _no_option(text: str) -> str:
    """The shell takes what begins with a dash or a plus for an option of its own, not for its text."""
    return f" {text}" if text.startswith(("-", "+")) else text


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
    there: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name, value in remote_env.items():
        local = local_env.get(name)
        if is_name(name) and local and not _may_be_literal(local):
            if there.setdefault(local, value) != value:
                ambiguous.add(local)  # which of the two it was cannot be told any more
            elif local != value:
                found.setdefault(local, (f"${name}", f'"${name}"'))
    for local in ambiguous:
        found.pop(local, None)
    for name, value in assigned:
        local = local_env.get(name)
        if local and local != value and not _may_be_literal(local):
            # the last assignment of a name counts, as in a shell
            text = f'"{value}"' if referenced(value) is not None else quote(value)
            found[local] = (f"${name}, assigned in the same command", text)
    return found


def _may_be_literal(word: str) -> bool:
    """Whether somebody may well have typed this word itself: short, a number, a date, an option, or one path.

    A path is the same directory on both sides as often as not; a list of paths (`/a:/b`) is nothing that one types.
    """
    if len(word) < SHORTEST_REPAIRED or (len(word) < SHORTEST_PLAIN_REPAIRED and _PLAIN.issuperset(word)):
        return True
    if word.startswith(("-", "/", "./", "../", "~")) and ":" not in word:
        return True
    return _NUMERIC.issuperset(word) and word.count(".") < 3  # 10.0.0.1:3128 is an address


# The environment


MAKE = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "CARGO_MAKEFLAGS")
_RUNTIME = ("/run/", "/tmp/", "/var/", "/dev/shm/")
"""Where sockets lie. Elsewhere nothing is looked at: a variable may name something on a mount that hangs."""


def forwarded_env(
    environ: Mapping[str, str], *, exclude: list[str], remote_env: Mapping[str, str], cwd: str
) -> dict[str, str]:
    """The client's environment without what stays behind, `[remote_env]` on top, and PWD as the user came by."""
    env = {}
    excluded = exclusion(exclude)
    for name, value in environ.items():
        if name in MAKE:
            value = _without_jobserver(value)
            if not value.strip():
                continue
        if not excluded(name) and not names_socket(value):
            env[name] = value
    env.update(remote_env)
    env["PWD"] = _logical(environ.get("PWD"), cwd)
    return env


def exclusion(exclude: list[str]) -> Callable[[str], bool]:
    """Whether a variable of that name stays behind."""
    names, begun, others = set(), [], []
    for pattern in exclude:
        begins = pattern[:-1] if pattern[-1:] == "*" else pattern
        if "*" in begins or "?" in begins or "[" in begins or pattern == "*":
            others.append(pattern)
        elif begins is pattern:
            names.add(pattern)
        else:
            begun.append(begins)
    prefixes = tuple(begun)
    return lambda name: name in names or name.startswith(prefixes) or bool(others and _matches(name, others))


def names_socket(value: str) -> bool:
    """Whether a value names a socket of this host (`/run/x`, `unix:/run/x`, `editor --server /tmp/x`)."""
    if "/run/" not in value and "/tmp/" not in value and "/var/" not in value and "/dev/shm/" not in value:
        return False  # nearly all; written out, since each variable comes by here
    for word in value.replace("=", " ").replace(",", " ").split():
        path = word.removeprefix("unix:").removeprefix("//")
        if path.startswith(_RUNTIME):
            try:
                if os.stat(path).st_mode & 0o170000 == 0o140000:
                    return True
            except (OSError, ValueError):
                pass
    return False


def _without_jobserver(flags: str) -> str:
    """make's flags without the descriptors or the pipe of a make on this host, which are nobody's over there."""
    if "--jobserver" not in flags:
        return flags
    return " ".join(word for word in flags.split(" ") if not word.startswith("--jobserver"))


def _matches(name: str, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _logical(pwd: str | None, cwd: str) -> str:
    """`$PWD` if it names the current directory, as pwd(1) decides, else the resolved path."""
    if not pwd or not pwd.startswith("/") or "." in pwd.split("/") or ".." in pwd.split("/"):
        return cwd
    if pwd == cwd:
        return cwd
    try:
        here, there = os.stat(cwd), os.stat(pwd)
    except OSError:
        return cwd
    return pwd if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) else cwd


def environment_path(environ: Mapping[str, str]) -> list[str]:
    """The `bin` of the virtual or conda environment that is active, if it is on PATH: a login shell sets PATH anew."""
    path = environ.get("PATH", "").split(":")
    places = (environ.get(name, "") for name in ("VIRTUAL_ENV", "CONDA_PREFIX"))
    return [f"{place}/bin" for place in places if place.startswith("/") and f"{place}/bin" in path]
