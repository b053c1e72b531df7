"""The programs that are compared, what is typed into each, and by what it shows that it has acted."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.pigeon import Pigeon
from tests.terminal.sameness import Program, Step

ESC = "\x1b"
UP, DOWN, F3, F10 = ESC + "[A", ESC + "OB", ESC + "OR", ESC + "[21~"
VIM = "vim -u NONE -i NONE -N"
STAMP = 1_700_000_000


def git(place: Path, pigeon: Pigeon, *words: str, **env: str) -> None:
    """One git command; all dates are the same, so that all names of commits are."""
    subprocess.run(
        ["git", *words],
        cwd=place,
        env=pigeon.env({**GIT, **env}),
        check=True,
        capture_output=True,
        timeout=30,
    )


GIT: Mapping[str, str] = {
    "GIT_AUTHOR_DATE": f"{STAMP} +0000",
    "GIT_COMMITTER_DATE": f"{STAMP} +0000",
    "GIT_AUTHOR_NAME": "ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
}
GIT_WORDS = " ".join(f"{name}={shlex.quote(value)}" for name, value in GIT.items())


def _lines(place: Path, pigeon: Pigeon) -> None:
    text = "".join(f"{n} line \u00fc {'x' * (n % 60)}\n" for n in range(1, 201))
    (place / "file").write_text(text)


def _three_commits(place: Path, pigeon: Pigeon) -> None:
    git(place, pigeon, "init", "-q", "-b", "main")
    for name in ("one", "two", "three"):
        (place / name).write_text(name)
        git(place, pigeon, "add", name)
        git(place, pigeon, "commit", "-q", "-m", name)


def _two_hunks(place: Path, pigeon: Pigeon) -> None:
    git(place, pigeon, "init", "-q", "-b", "main")
    lines = [f"line {n}" for n in range(40)]
    (place / "file").write_text("\n".join(lines))
    git(place, pigeon, "add", "file")
    git(place, pigeon, "commit", "-q", "-m", "one")
    lines[3], lines[30] = "changed", "changed too"
    (place / "file").write_text("\n".join(lines))


def _key(place: Path, pigeon: Pigeon) -> None:
    path = pigeon.base / "key"
    if not path.exists():
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-C", "ann", "-f", str(path)]
        subprocess.run(words, check=True, capture_output=True, timeout=30)
    (place / "key").write_bytes(path.read_bytes())
    (place / "key").chmod(0o600)


def _panel(place: Path, pigeon: Pigeon) -> None:
    folder = place / "config" / "mc"
    folder.mkdir(parents=True)
    (folder / "ini").write_text(
        "[Midnight-Commander]\nconfirm_exit=false\n[Layout]\nmessage_visible=false\nfree_space=false\n[Panels]\n"
    )
    for name in ("alpha", "beta"):
        (place / name).write_text(f"the text of {name}\n" * 30)
    for path in (place / "alpha", place / "beta", folder.parent, place, place.parent):
        os.utime(path, (STAMP, STAMP))


def _windows(place: Path, pigeon: Pigeon) -> None:
    (place / "conf").write_text(
        "set -g status-right ''\nset -g status-left '[here] '\nset -s escape-time 0\n"
        "set -g default-command \"PS1='$ ' bash --norc\"\nset -g automatic-rename off\nset -g exit-empty on\n"
    )


PROGRAMS = [
    Program(
        "vim",
        VIM + " --cmd 'set nomore ruler showcmd' file",
        (
            Step("", lambda text: text.rstrip().endswith("Top")),
            Step("Ohello\rworld \u00fc" + ESC, "world \u00fc"),
            Step(":syntax on | set hls nu cursorline\r", " 1 hello"),
            Step("/line\r", "/line"),
            Step(":vsplit\r", lambda text: text.count(" 1 hello") == 2),
            Step("vj", "VISUAL"),
        ),
        ("vim",),
        _lines,
        last_keys=ESC + ":wqa\r",
    ),
    Program(
        "less",
        "less -M file",
        (
            Step("", "file lines 1-"),
            Step(" ", "file lines 24-"),
            Step("/150 line\r", "file lines 150-"),
            Step("G", "(END)"),
            Step("h", "SUMMARY OF LESS COMMANDS"),
            Step("q", "(END)"),
        ),
        ("less",),
        _lines,
        last_keys="q",
    ),
    Program(
        "htop",
        "HTOPRC=$PWD/htoprc htop",
        (Step("", "F10", False), Step("h", "Released under"), Step("q", "F10", False)),
        ("htop",),
        end_is_alike=False,
        last_keys="q",
    ),
    Program(
        "tmux",
        "TMUX_TMPDIR=$PWD tmux -f conf new -s here",
        (
            Step("", lambda text: text.startswith("$") and "[here]" in text),
            Step("echo $((6*7))\r", "\n42\n$"),
            Step("\x02%", "\u2502$"),
            Step("seq 40\r", "40"),
            Step("\x02[" + ESC + "[5~", "]"),
            Step("q", lambda text: "/" not in text),
            Step("exit\r", lambda text: "\u2502" not in text),
        ),
        ("tmux",),
        _windows,
        last_keys="exit\r",
    ),
    Program(
        "fzf",
        "seq 200 | fzf --multi --prompt='pick '",
        (
            Step("", "200/200"),
            Step("5", lambda text: "/200" in text and "200/200" not in text),
            Step(UP + UP + "\t", "(1)"),
        ),
        ("fzf",),
        last_keys="\r",
    ),
    Program(
        "nano",
        "nano -I file",
        (
            Step("", "1 line"),
            Step("Hello\r", "Hello"),
            Step("\x0b\x0b", "Hello"),
            Step("\x15", "1 line"),
            Step("\x18", "Save modified buffer"),
            Step("y", "File Name to Write"),
        ),
        ("nano",),
        _lines,
        last_keys="\r",
    ),
    Program(
        "python3",
        "/usr/bin/python3 -q",
        (
            Step("", ">>>"),
            Step("6 * 7\r", "\n42\n>>>"),
            Step("for i in range(2): print('line', i)\r\r", "line 1\n>>>"),
            Step(UP, lambda text: text.count("for i in") == 2),
            Step("\x03", "KeyboardInterrupt\n>>>"),
            Step("input('name? ')\r", "\nname?"),
            Step("\u00fc\u00fc\x7f\r", "'\u00fc'\n>>>"),
        ),
        code=5,
        last_keys="raise SystemExit(5)\r",
    ),
    Program(
        "rebase",
        f"export {GIT_WORDS}; EDITOR='{VIM}' git rebase -i --root",
        (
            Step("", "pick"),
            Step(":%s/^pick \\(\\S* two\\)/reword \\1/\r", "reword"),
            Step(":wq\r", lambda text: "two" in text and "# Please enter" in text),
            Step("ccsecond" + ESC, "second"),
        ),
        ("git", "vim"),
        _three_commits,
        last_keys=":wq\r",
    ),
    Program(
        "add",
        "git add -p; git status --short",
        (
            Step("", "(1/2) Stage this hunk"),
            Step("y\r", "(2/2) Stage this hunk"),
            Step("?\r", "print help"),
        ),
        ("git",),
        _two_hunks,
        last_keys="q\r",
    ),
    Program(
        "dialog",
        "dialog --menu 'Pick one' 12 40 4 1 first 2 second 3 third",
        (
            Step("", "third"),
            Step(DOWN + DOWN, "third"),
            Step("\t", "Cancel"),
        ),
        ("dialog",),
        code=1,
        last_keys="\r",
    ),
    Program(
        "mc",
        "XDG_CONFIG_HOME=$PWD/config XDG_DATA_HOME=$PWD/config XDG_CACHE_HOME=$PWD/config mc -u .",
        (
            Step("", lambda text: text.count("beta") >= 2),
            Step(DOWN + DOWN, "alpha"),
            Step(F3, "the text of alpha"),
            Step(F10, lambda text: text.count("beta") >= 2),
        ),
        ("mc",),
        _panel,
        last_keys=F10,
    ),
    Program(
        "ssh-keygen",
        "for i in 1 2; do ssh-keygen -y -f key || echo code $?; done",
        (Step("", "Enter passphrase"), Step("wrong\r", "code 255\nEnter passphrase")),
        ("ssh-keygen",),
        _key,
        last_keys="secret\r",
    ),
    Program(
        "bash",
        "PS1='$ ' bash --norc",
        (
            Step("", "$"),
            Step("sleep 100\r", "$ sleep 100", foreground="sleep 100"),
            Step("\x1a", "Stopped"),
            Step("bg\r", "sleep 100 &\n$"),
            Step("jobs\r", "Running"),
            Step("fg\r", lambda text: text.endswith("\nsleep 100"), foreground="sleep 100"),
            Step("\x03", "^C\n$"),
            Step("cat\r", "$ cat", foreground="cat"),
            Step("one\x1a", lambda text: text.count("Stopped") == 2),
            Step("fg\r", lambda text: text.endswith("\ncat"), foreground="cat"),
            Step("two\r", "two\ntwo"),
            Step("\x04", "two\n$"),
        ),
        ("bash",),
        code=3,
        last_keys="exit 3\r",
    ),
    Program(
        "vttest",
        "vttest 24x80.132",
        (
            Step("", "Enter choice number"),
            Step("1\r", "Push <RETURN>"),
            Step("\r", "Push <RETURN>"),
            Step("\r", "Push <RETURN>"),
            Step("\r", "Push <RETURN>"),
            Step("\r", "Push <RETURN>"),
            Step("\r", "leading zeros"),
            Step("\r", "Enter choice number"),
            Step("3\r", "installed character sets"),
            Step("\r", "Enter choice number"),
        ),
        ("vttest",),
        last_keys="0\r",
    ),
]

if importlib.util.find_spec("IPython") is not None:
    PROGRAMS.append(
        Program(
            "ipython",
            f"IPYTHONDIR=$PWD {shlex.quote(sys.executable)} -m IPython --no-banner --no-confirm-exit",
            (
                Step("", "In [1]:"),
                Step("6 * 7\r", "In [2]:"),
                Step("for i in range(2): print('line', i)\r\r", "In [3]:"),
                Step("'abc'.upp", "'abc'.upp"),
                Step("\x03", lambda text: text.count("In [3]:") == 2),
            ),
            end_is_alike=False,
            last_keys="exit\r",
        )
    )
