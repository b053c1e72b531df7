"""The text of `pigeon --help`."""

from __future__ import annotations

_SHORT = """\
usage: pigeon [options] COMMAND [ARGUMENT…]     run a command on a worker, as if it ran here
       pigeon [options]                         a login shell over there (on a terminal)
       pigeon VERB …                            worker, history, sessions, inspect, attach, logs, stop, doctor,
                                                config, clean; `pigeon VERB --help` tells more"""

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
  --keep                 if this client is lost, the command goes on (`pigeon attach`)
  -v, --verbose          say what happens to the session, and what was put right in the command
  --config FILE          read the settings from FILE (PIGEON_CONFIG)
  --cache DIR            the shared directory (PIGEON_CACHE)
  --namespace NAME       clients and workers of one namespace see each other (PIGEON_NAMESPACE)
  --user NAME            whom to name as requester (PIGEON_USER)
  --route NAME           only workers of this route (PIGEON_ROUTE)
  --claim-timeout S      give up after S seconds without a live worker (30)
  --worker-timeout S     tell after S seconds of silence of a running session (60)
  -e, --escape-char C    escapes at the start of a line (~): ~. ~d ~^Z ~? ~~; `none` switches them off
  --driven-by FD         for programs: the command and how to run it come as a line of JSON from the socket FD, what
                         happens to it goes back there, and pigeon ends as the command does
  -h, --help, --version

exit codes: the command's own; 128+n when signal n ended it; 255 when pigeon itself failed; 2 for a usage or
configuration error; 130 when it was cancelled before it ran; 141 when pigeon's own output was a closed pipe."""


def usage(*, short: bool = False) -> str:
    """The whole text, or its first lines."""
    return _SHORT + "\n`pigeon --help` tells more" if short else _SHORT + _LONG
