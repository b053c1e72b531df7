"""The man page, `pigeon.1` (man-pages(7), groff_man(7)), from the help texts and the table of settings."""

from __future__ import annotations

import re

from pigeon import __version__, help, settings
from tools.made.options import Option, described, options_of, verbs


def page() -> str:
    """The whole text."""
    short, _, rest = help.usage().partition("\n\n")
    parts = rest.split("\n\n")
    examples = next(part for part in parts if part.startswith("examples:"))
    codes = next(part for part in parts if part.startswith("exit codes:"))
    lines = [
        '.\\" Made by tools/docs.',
        f'.TH PIGEON 1 "" "pigeon {__version__}" "User Commands"',
        ".SH NAME",
        "pigeon \\- run commands on another machine through nothing but a shared directory",
        ".SH SYNOPSIS",
        *_plain(re.sub(r"^usage:", "      ", short)),
        ".SH DESCRIPTION",
        *_paragraphs(parts[0]),
        ".SH OPTIONS",
        "They stand before the command.",
        *_options(options_of("")),
        ".SH VERBS",
    ]
    for verb in verbs():
        lines += [
            f".SS pigeon {verb}",
            *_paragraphs(described(verb) if verb != "help" else "Print a help text."),
        ]
        if verb != "help":
            lines += _options(tuple(one for one in options_of(verb) if one.names != ("-h", "--help")))
    lines += [".SH EXIT STATUS", *_paragraphs(codes.partition(": ")[2]), ".SH ENVIRONMENT"]
    for setting in settings.TABLE:
        if setting.variable:
            lines += [".TP", f".B {_escaped(setting.variable)}", _text(f"{setting.key}: {setting.help}")]
    lines += [
        ".TP",
        ".B PIGEON_CONFIG",
        "the configuration file",
        ".SH FILES",
        ".TP",
        ".I ~/.config/pigeon/config.toml",
        _text("settings; `pigeon config init` begins one, `pigeon config show` tells what is in force"),
        ".TP",
        ".I ~/.pigeon.db",
        _text("the journal of this machine's workers, or in /var/tmp; `pigeon history --path`"),
        ".SH EXAMPLES",
        *_plain(examples.partition("\n")[2]),
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    text = (
        text.replace("\\", "\\e")
        .replace("-", "\\-")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
        .replace("'", "\\(aq")
    )
    return text.replace("`", "\\(ga")


def _text(text: str) -> str:
    """Running text; a dot or a quote at a line's beginning would be a request. Backquoted parts are bold."""
    found = re.sub(r"`([^`]+)`", lambda one: f"\\fB{_escaped(one[1])}\\fP", _but_code(text))
    return f"\\&{found}" if found.startswith((".", "'")) else found


def _but_code(text: str) -> str:
    """Everything outside of backquotes escaped."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(
        part if part.startswith("`") and part.endswith("`") and len(part) > 1 else _escaped(part)
        for part in parts
    )


def _paragraphs(text: str) -> list[str]:
    return [_text(" ".join(text.split()))]


def _plain(text: str) -> list[str]:
    """As it stands, unfilled."""
    lines = [f"\\&{_escaped(line)}" for line in text.strip("\n").splitlines()]
    return [".nf", *lines, ".fi"]


def _options(options: tuple[Option, ...]) -> list[str]:
    lines = []
    for option in options:
        names = ", ".join(f"\\fB{_escaped(name)}\\fP" for name in option.names)
        value = f" \\fI{_escaped(option.value)}\\fP" if option.value else ""
        lines += [".TP", names + value, _text(option.text)]
    return lines
