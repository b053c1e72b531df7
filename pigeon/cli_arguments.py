"""`parse(argv) -> Invocation`: where pigeon's own options end and the user's words begin. Pure."""

from __future__ import annotations

from pigeon.errors import UsageError
from pigeon.settings import options

VERBS = (
    "worker",
    "history",
    "sessions",
    "inspect",
    "attach",
    "wait",
    "logs",
    "stop",
    "top",
    "ping",
    "doctor",
    "config",
    "clean",
    "net",
    "proxy",
    "connect",
    "completion",
    "help",
)
"""Words that mean pigeon itself. `pigeon -- worker` means the command."""

PROGRAMS_TOO = ("ping", "top")
"""Verbs with the name of a program that people run. They mean pigeon alone and with long options (`top --interval=2`);
with anything else, as in `ping example.org` and `top -b`, they mean the program."""

COMMON = ("", "client")
"""The settings' tables whose flags stand before a command."""

_DRIVEN_BY = "--driven-by"

_WITH_VALUE = {
    "--config": "config",
    _DRIVEN_BY: "driven_by",
    **{setting.flag: setting.key for setting in options(*COMMON)},
    **{setting.letter: setting.key for setting in options(*COMMON) if setting.letter},
}
"""Option -> key of the settings that it overrides, or attribute of the Invocation."""

_SWITCHES: dict[str, tuple[str, bool]] = {
    "-v": ("verbose", True),
    "--verbose": ("verbose", True),
    "-q": ("quiet", True),
    "--quiet": ("quiet", True),
    "-t": ("pty", True),
    "--tty": ("pty", True),
    "-T": ("pty", False),
    "--no-tty": ("pty", False),
    "--no-lock": ("no_lock", True),
    "--detach": ("detach", True),
    "-d": ("detach", True),
    "--keep": ("keep", True),
    "-n": ("no_input", True),
    "--no-input": ("no_input", True),
    "-h": ("help", True),
    "--help": ("help", True),
    "-V": ("version", True),
    "--version": ("version", True),
}
"""Option -> attribute of the Invocation, and what it becomes."""


class Invocation:
    """What the command line asks for. `verb` is None for a command; then `words` are the user's, untouched."""

    __slots__ = (
        "flags",
        "verb",
        "words",
        "verbose",
        "quiet",
        "pty",
        "no_lock",
        "detach",
        "keep",
        "no_input",
        "help",
        "version",
        "driven_by",
        "exact",
        "shell",
        "env",
    )

    def __init__(self) -> None:
        self.flags: dict[str, str] = {}
        self.verb: str | None = None
        self.words: list[str] = []
        self.verbose = False
        self.quiet = False
        self.pty: bool | None = None
        self.no_lock = False
        self.detach = False
        self.keep = False
        self.no_input = False
        self.help = False
        self.version = False
        self.driven_by: int | None = None
        """The descriptor from which a program says what to run (client/driven.py); the rest comes from there."""
        self.exact = False
        """The words are what is executed, or stand behind `[client] shell` (`shell`)."""
        self.shell = False
        self.env: dict[str, str] | None = None
        """The command's variables in place of this process's own."""


def parse(argv: list[str]) -> Invocation:
    """Split `argv` (without the program's name).

    Raises:
        UsageError: an option that pigeon does not have, or one whose value is missing.
    """
    invocation = Invocation()
    position = 0
    is_command = False
    while position < len(argv):
        word = argv[position]
        if word == "--":
            position += 1
            is_command = True
            break
        if not word.startswith("-") or word == "-":
            break
        position += 1
        name, equals, value = word.partition("=")
        if name in _WITH_VALUE:
            if not equals:
                if position == len(argv):
                    raise UsageError(f"`{name}` needs a value", hint="`pigeon --help` lists the options")
                value = argv[position]
                position += 1
            if name == _DRIVEN_BY:
                invocation.driven_by = _descriptor(value)
            else:
                invocation.flags[_WITH_VALUE[name]] = value
        else:
            for switch in _switches_in(word):
                setattr(invocation, *_SWITCHES[switch])
    rest = argv[position:]
    if rest and _is_verb(rest) and not is_command:
        invocation.verb, rest = rest[0], rest[1:]
        _refuse_for_verb(invocation)
    invocation.words = rest
    if invocation.driven_by is not None and (rest or invocation.verb or invocation.detach):
        raise UsageError(
            "with `--driven-by` the command comes from the driving program, and no word of it stands here",
            hint="pigeon/docs/python.md says what the program writes",
        )
    return invocation


def _is_verb(words: list[str]) -> bool:
    if words[0] in PROGRAMS_TOO:
        return all(word[:2] == "--" and word != "--" for word in words[1:])
    return words[0] in VERBS


def _descriptor(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"`--driven-by` needs the number of a descriptor, not `{text}`")
    return int(text)


def words_of(flags: dict[str, str]) -> list[str]:
    """Options that say the same before a verb, for a pigeon that this one starts."""
    options = {key: option for option, key in _WITH_VALUE.items() if option.startswith("--")}
    return [f"{options[key]}={value}" for key, value in flags.items() if key in options]


def _refuse_for_verb(invocation: Invocation) -> None:
    """What only a command can be given would be ignored: who typed it meant something else."""
    given = {
        "--quiet": invocation.quiet,
        "--tty": invocation.pty is True,
        "--no-tty": invocation.pty is False,
        "--no-lock": invocation.no_lock,
        "--detach": invocation.detach,
        "--keep": invocation.keep,
        "--no-input": invocation.no_input,
    }
    for option, is_given in given.items():
        if is_given and not invocation.help and not invocation.version:
            raise UsageError(
                f"`{option}` is for commands, and `{invocation.verb}` is a verb of pigeon's",
                hint=f"`pigeon {option} -- {invocation.verb}` runs a program of that name",
            )


def _switches_in(word: str) -> list[str]:
    """The switch, or those of `-vt`. Raises UsageError."""
    if word in _SWITCHES:
        return [word]
    letters = [f"-{letter}" for letter in word[1:]]
    if word[1] == "-" or not all(letter in _SWITCHES for letter in letters):
        from pigeon.guess import option

        name = word.partition("=")[0]
        raise UsageError(
            f"pigeon has no option `{word}`{option(name, [*_WITH_VALUE, *_SWITCHES])}",
            hint="`pigeon --help` lists the options; options of the command stand behind its name",
        )
    return letters
