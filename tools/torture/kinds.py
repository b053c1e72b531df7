"""What the sessions of a torture run, and what each of them must print.

The program is a shell script that knows nothing of pigeon and writes down by itself, in files of their own made
exclusively on a local disk: that it started, what it has printed and read so far, and with which code it ended. It
takes a lock of its own in its directory, so that two that run there at a time see each other.
"""

from __future__ import annotations

import random

from tests.helpers.surroundings import PIGEON
from tools.torture import plan

JOB = r"""#!/bin/bash
# job NOTES NAME LOCKS KIND CODE LINES PAUSE PAD
notes=$1 name=$2 locks=$3 kind=$4 code=$5 lines=$6 pause=$7 pad=$8
set -C  # `>` makes a file exclusively
note() { echo "$2" >"$notes/$1.$name.$BASHPID.$EPOCHREALTIME"; }
note start "$$ $PIGEON_SESSION"
trap 'note end $?' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ "$locks" = 1 ]; then
    exec 9>>.occupied  # no child gets it: what is left of an ended command does not count
    flock -n 9 || note overlap "$(tail -n 1 .occupied)"  # who came last; in a job that may be one of its own
    echo "$name $$ $EPOCHREALTIME" >&9
fi
printf -v filler '%*s' "$pad" ''
filler=${filler// /x}
count=0
say() {
    printf '%s' "$1" || exit 141
    count=$((count + ${#1}))
    echo $count >>"$notes/printed.$name"
}
talk() {
    local i
    for ((i = 0; i < lines; i++)); do
        say "$name out $i $filler"$'\n'
        if ((i % 7 == 3)); then echo "$name err $i" >&2; fi
        if [ "$pause" != 0 ]; then sleep "$pause" 9>&-; fi
    done
}
case $kind in
    quick) say "$name"$'\n' ;;
    chatty | flood) talk ;;
    stubborn) trap '' HUP TERM INT; talk ;;
    binary)
        cat >"$notes/received.$name" 9>&- || exit 99
        note hash "$(sha256sum <"$notes/received.$name")"
        cat "$notes/received.$name" 9>&- ;;
    filter) tee "$notes/received.$name" 9>&- || exit 99 ;;
    nesting)
        PIGEON "$0" "$notes" "inner-${name#*-}" 0 quick 7 1 0 0 </dev/null 9>&-
        inner=$?
        note inner $inner
        say "$name"$'\n' ;;
    interactive | stopping)
        stty -echo 9>&-
        while say '> ' && IFS= read -r line; do
            echo "$line" >>"$notes/heard.$name"
            [ "$line" = quit ] && break
            [ $kind = stopping ] && kill -TSTP $$
            say "got $line"$'\n'
        done ;;
esac
exit "$code"
"""


def job_text() -> str:
    """The program, which knows where pigeon is, but not what it does."""
    return JOB.replace("PIGEON ", f"{PIGEON} ")


def words(session: plan.Session, job: str, notes: str) -> list[str]:
    """The command line of a session."""
    return [
        job,
        notes,
        session.name,
        str(int(session.locks)),
        session.kind,
        str(session.code),
        str(session.lines),
        str(session.pause_s or 0),
        str(session.pad),
    ]


def sent(session: plan.Session) -> bytes:
    """The input of a binary session."""
    return random.Random(session.number).randbytes(session.size)


def typed(session: plan.Session) -> list[str]:
    """The lines that the user of an interactive one types, each at a prompt."""
    return [*(f"line {number}" for number in range(session.lines)), "quit"]


def expected(session: plan.Session, channel: str) -> bytes:
    """All that its command prints on `stdout`, `stderr` or `pty` if it comes to its end."""
    if session.kind == plan.BINARY:
        return sent(session) if channel != "stderr" else b""
    if session.source is not None:
        return expected(session.source, channel) if channel != "stderr" else b""
    if session.kind == plan.NESTING:
        text = f"inner-{session.number}\n{session.name}\n" if channel != "stderr" else ""
    elif session.kind == plan.QUICK:
        text = f"{session.name}\n" if channel != "stderr" else ""
    elif session.kind in plan.ON_A_TERMINAL:
        return answers(typed(session), channel)
    else:
        text = _talk(session, channel)
    data = text.encode()
    return data.replace(b"\n", b"\r\n") if channel == "pty" else data


def answers(lines: list[str], channel: str) -> bytes:
    """What an interactive one prints when it hears these lines, and then `quit` or the end of its input."""
    text = "> " + "".join(f"got {line}\n> " for line in lines if line != "quit")
    return text.encode().replace(b"\n", b"\r\n" if channel == "pty" else b"\n")


def _talk(session: plan.Session, channel: str) -> str:
    parts = []
    for number in range(session.lines):
        if channel != "stderr":
            parts.append(f"{session.name} out {number} {'x' * session.pad}\n")
        if channel != "stdout" and number % 7 == 3:
            parts.append(f"{session.name} err {number}\n")
    return "".join(parts)
