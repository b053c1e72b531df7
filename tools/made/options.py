"""Every option of pigeon and of its verbs, as their help tells them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pigeon import cli_arguments, help

ROOT = Path(__file__).resolve().parents[2]

_LINE = re.compile(r"^  (?P<names>-[^ ,]+(?: \S+)?(?:, -[^ ,]+(?: \S+)?)*)(?:  +(?P<text>\S.*))?$")


@dataclass(frozen=True)
class Option:
    """`names`: as they are typed; `value`: its metavar or `{a,b}`, "" if it takes none."""

    names: tuple[str, ...]
    value: str
    text: str


@cache
def help_of(verb: str) -> str:
    """What `pigeon VERB --help` prints, on lines as long as they need."""
    done = subprocess.run(
        [sys.executable, "-m", "pigeon", verb, "--help"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def described(verb: str) -> str:
    """What the verb does: the first paragraph behind its usage."""
    paragraphs = [one.strip() for one in help_of(verb).split("\n\n")]
    return paragraphs[1] if len(paragraphs) > 1 else ""


@cache
def options_of(verb: str) -> tuple[Option, ...]:
    """Of a verb, or of pigeon itself for ""."""
    text = help.usage() if not verb else help_of(verb)
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match is None:
            continue
        says = match["text"] or (lines[number + 1].strip() if number + 1 < len(lines) else "")
        names, value = [], ""
        for part in match["names"].split(", "):
            name, _, metavar = part.partition(" ")
            names.append(name)
            value = value or metavar
        found.append(Option(tuple(names), value, says))
    return tuple(found)


def verbs() -> tuple[str, ...]:
    """In the order of the help."""
    return cli_arguments.VERBS


def short(verb: str) -> str:
    """The first sentence of its description, without the full stop."""
    text = (
        re.split(r"(?<=[a-z)`])[.;:](?: |$)", described(verb))[0] if verb != "help" else "Print a help text"
    )
    return text[0].lower() + text[1:].rstrip(".")
