"""The tables in the completion scripts of pigeon/completions/."""

from __future__ import annotations

from tools.made.options import Option, options_of, short, verbs

_FILES = ("FILE", "PATH")
_DIRECTORIES = ("DIR", "DIRECTORY")


def _all() -> list[tuple[str, tuple[Option, ...]]]:
    """(verb, its options), pigeon's own first, as the verb ""."""
    return [("", options_of("")), *((verb, options_of(verb)) for verb in verbs() if verb != "help")]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def bash_options() -> str:
    """One line a verb: the words that begin with a dash."""
    lines = [f"    {verb or _quoted('')}) all={_quoted(_names(options))} ;;" for verb, options in _all()]
    lines.append(f"    verbs) all={_quoted(' '.join(verbs()))} ;;")
    return "\n".join(lines) + "\n    # "


def _names(options: tuple[Option, ...]) -> str:
    return " ".join(name for option in options for name in option.names)


def bash_values() -> str:
    """What stands behind an option that takes a value, by verb and option; what is done alike stands together."""
    cases: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for _, options in _all() for option in options for name in option.names):
        ways = {
            verb: _bash_value(option)
            for verb, options in _all()
            for option in options
            if name in option.names
        }
        if len(set(ways.values())) == 1:
            cases.setdefault(next(iter(ways.values())), []).append(f"*\\ {name}")
        else:
            for verb, way in ways.items():
                cases.setdefault(way, []).append(f"{verb}\\ {name}")
    cases.pop("", None)  # takes none
    return "\n".join(f"    {' | '.join(patterns)}) {how} ;;" for how, patterns in cases.items()) + "\n    # "


def _bash_value(option: Option) -> str:
    if not option.value:
        return ""
    if option.value.strip("[]").startswith("{"):
        return f"_pigeon_words {_quoted(option.value.strip('[]{}').replace(',', ' '))}"
    if option.value in _FILES:
        return "_pigeon_files"
    return "_pigeon_directories" if option.value in _DIRECTORIES else ":"


def zsh_options() -> str:
    """A line an option: NAME or NAME=METAVAR, a tab, what it does."""
    lines = []
    for verb, options in _all():
        table = "\n".join(
            f"{name}{'=' + option.value if option.value else ''}\t{option.text}"
            for option in options
            for name in option.names
        )
        lines.append(f"_pigeon_options[{verb or '.'}]={_quoted(table)}")
    listed = "\n".join(f"{verb}:{short(verb).replace(':', ' -')}" for verb in verbs())
    return "\n".join([*lines, f"_pigeon_options[verbs]={_quoted(listed)}"]) + "\n# "


def fish_lists() -> str:
    """The verbs, and pigeon's own options that take a value."""
    values = " ".join(name for option in options_of("") if option.value for name in option.names)
    return f"set -g __pigeon_verbs {' '.join(verbs())}\nset -g __pigeon_with_value {values}\n# "


def fish_options() -> str:
    """A `complete` for each verb and option."""
    lines = [
        f"complete -c pigeon -n __pigeon_is_first -a {verb} -d {_quoted(short(verb))}" for verb in verbs()
    ]
    for verb, options in _all():
        where = "__pigeon_is_first" if not verb else f"'__pigeon_is {verb}'"
        for option in options:
            ways = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            lines.append(
                f"complete -c pigeon -n {where} {' '.join(ways)}{_fish_value(option)} -d {_quoted(option.text)}"
            )
    return "\n".join(lines) + "\n# "


def _fish_value(option: Option) -> str:
    if not option.value:
        return ""
    if option.value.strip("[]").startswith("{"):
        return f" -x -a {_quoted(option.value.strip('[]{}').replace(',', ' '))}"
    if option.value in _FILES:
        return " -r -F"
    return " -x -a '(__fish_complete_directories)'" if option.value in _DIRECTORIES else " -x"
