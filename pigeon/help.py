"""The text of `pigeon --help`. What the settings' table and the list of verbs say is taken from there."""

from __future__ import annotations

from pigeon import cli_arguments, settings

_COLUMNS = 110
_INDENT = 25

_SHORT = """\
usage: pigeon [options] COMMAND [ARGUMENT…]     run a command on a worker, as if it ran here
       pigeon [options]                         a login shell over there (on a terminal)
       pigeon VERB …                            """

_LONG = """

Pigeon runs commands on a machine that has a network (or anything else) for one that has none. The two share only a
directory: start `pigeon worker` there, and type `pigeon COMMAND` here, in any directory that both see.

examples:
  pigeon curl -I https://example.org
  pigeon git clone https://example.org/x.git
  pigeon 'read -p "name? " n; echo "hello $n"'    one argument is a shell text, taken as it stands
  tar c docs | pigeon 'tar t'                     pipes are byte-exact, stderr stays apart

options (before the command; `--` ends them):
  -t, --tty              give the command a terminal even if stdin or stdout is none
  -T, --no-tty           give it pipes even if both are terminals
  --no-lock              run beside whatever runs in this directory
  -d, --detach           start it, print the session's id, and leave it to run
  -n, --no-input         the command reads nothing, as with `ssh -n`: for loops that read their own input
  -q, --quiet            not even a line on stderr about what has long been waited for
  --keep                 if this client is lost, the command goes on (`pigeon attach`)
  -v, --verbose          say what happens to the session, and what was put right in the command
%(settings)s
  --driven-by FD         for programs: the command and how to run it come as a line of JSON from the socket FD, what
                         happens to it goes back there, and pigeon ends as the command does
  -h, --help             this text; `pigeon help VERB` tells of a verb
  -V, --version          which pigeon this is

exit codes: the command's own; 128+n when signal n ended it; 255 when pigeon itself failed; 2 for a usage or
configuration error; 130 when it was cancelled before it ran; 141 when pigeon's own output was a closed pipe."""


def usage(*, short: bool = False) -> str:
    """The whole text, or its first lines."""
    first = _SHORT + _wrapped(f"{', '.join(cli_arguments.VERBS)}; `pigeon help VERB` tells more", 48)
    return first + "\n`pigeon --help` tells more" if short else first + _LONG % {"settings": _settings()}


def fitted(text: str, columns: int | None) -> str:
    """A help text for so many columns, where that is less than it was written for."""
    if columns is None or columns >= _COLUMNS + 10:
        return text
    from pigeon.text import fold, text_begins

    joined: list[str] = []
    for line in text.split("\n"):
        words = line.lstrip()
        before = joined[-1] if joined else ""
        goes_on = before and words and len(line) - len(words) == text_begins(before)
        if goes_on and len(before) + len(words.split(" ")[0]) >= _COLUMNS and "  " not in words:
            joined[-1] = f"{before} {words}"
        else:
            joined.append(line)
    return "\n".join(part for line in joined for part in fold(line, columns))


def _settings() -> str:
    lines = [("--config FILE", "read the settings from FILE (PIGEON_CONFIG)")]
    for setting in settings.options(*cli_arguments.COMMON):
        flags = f"{setting.letter}, {setting.flag}" if setting.letter else setting.flag
        lines.append((f"{flags} {setting.metavar}", setting.told))
    return "\n".join(f"  {name:<{_INDENT - 2}}{_wrapped(text, _INDENT)}" for name, text in lines)


def _wrapped(text: str, indent: int) -> str:
    """`text` in lines that begin in column `indent`, the first one apart."""
    from textwrap import wrap  # brings `re`, which no command needs

    return f"\n{' ' * indent}".join(wrap(text, _COLUMNS - indent, break_on_hyphens=False))
