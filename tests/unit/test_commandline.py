"""From typed words to the text that runs. Real shells judge the quoting, not what it should look like."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pigeon import commandline
from pigeon.printing import quote
from pigeon.settings import DEFAULT_ENV_EXCLUDE

SHELL = ["bash", "-lc"]
HERE = "http://over-here:3128"
THERE = "http://over-there:3128"

# What a person or a program can pass: every character but NUL, and bytes that are not UTF-8.
WORDS = st.lists(
    st.text(st.characters(min_codepoint=1, codec="utf-8") | st.sampled_from("\udc80\udcff'\"\\$`!~ \n\t*?=;&|#{}")),
    min_size=2,
    max_size=6,
)  # fmt: skip


def text_of(
    *words: str,
    remote_env: Mapping[str, str] | None = None,
    local_env: Mapping[str, str] | None = None,
    repair: bool = True,
) -> str:
    argv, _ = commandline.build(
        list(words), shell=SHELL, remote_env=remote_env or {}, local_env=local_env or {}, repair=repair
    )
    assert argv[:2] == SHELL
    assert len(argv) == 3
    return argv[2]


def printed(*argv: str, env: Mapping[str, str] | None = None) -> list[str]:
    """The words that `printf '%s\\0'` at the end of `argv` printed."""
    found = {"PATH": os.environ["PATH"], **(env or {})}
    done = subprocess.run(argv, env=found, stdout=subprocess.PIPE, check=True, timeout=30)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@settings(max_examples=50)
@given(WORDS)
def test_each_word_arrives_as_it_was(words: list[str]) -> None:
    argv, notes = commandline.build(
        ["printf", "%s\\0", *(f"x{word}" for word in words)],
        shell=["bash", "-c"],
        remote_env={},
        local_env={},
        repair=True,
    )
    assert notes == []
    assert printed(*argv) == [f"x{word}" for word in words]


@settings(max_examples=25)
@given(st.text(st.characters(min_codepoint=1, codec="utf-8")))
def test_an_assigned_value_arrives_as_it_was(value: str) -> None:
    text = text_of(f"NAME={value}", "bash", "-c", 'printf "%s\\0" "$NAME"', repair=False)
    if commandline.referenced(value) is None:
        assert printed("bash", "-c", text) == [value]


@given(st.text())
def test_quoting_means_what_shlex_means(word: str) -> None:
    quoted = quote(word)
    assert shlex.split(quoted) == [word]
    assert (quoted == word) == (shlex.quote(word) == word)


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_every_shell_reads_the_same(shell: str) -> None:
    words = ["a b", "'", '"', "x$HOME", "`id`", "\\", "\n", "!", "", "*", "\udcff", "~", "#", "é"]
    assert printed(shell, "-c", text_of("printf", "%s\\0", *words)) == words


def test_one_word_is_a_text_of_its_own() -> None:
    for text in ("echo $HOME | tr a b", HERE, "$X", "A=1", "", "bash"):
        argv, notes = commandline.build(
            [text], shell=SHELL, remote_env={"P": THERE}, local_env={"P": HERE}, repair=True
        )
        assert (argv, notes) == ([*SHELL, text], [])


@pytest.mark.parametrize("words", [("--",), ("-x",), ("+e",), ("-n", "a b")])
def test_no_text_is_an_option_of_the_shell(words: tuple[str, ...]) -> None:
    argv, _ = commandline.build(list(words), shell=SHELL, remote_env={}, local_env={}, repair=True)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert f"{words[0]}: command not found" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("echo", "$HOME"), "echo $HOME"),
        (("echo", "${HOME}"), "echo ${HOME}"),
        (("echo", "$HOME/x"), "echo '$HOME/x'"),
        (("echo", "$"), "echo '$'"),
        (("echo", "$1"), "echo '$1'"),
        (("echo", "${A-b}"), "echo '${A-b}'"),
        (("echo", "${}"), "echo '${}'"),
        (("echo", "$(id)"), "echo '$(id)'"),
        (("$EDITOR", "x"), "$EDITOR x"),
        (("A=1", "B=a b", "env"), "A=1 B='a b' env"),
        (("A=", "env"), "A='' env"),
        (("A=$B", "env"), 'A="$B" env'),
        (("A=x$B", "env"), "A='x$B' env"),
        (("echo", "A=a b"), "echo 'A=a b'"),
        (("1A=a b", "x"), "'1A=a b' x"),
        (("A-B=c d", "x"), "'A-B=c d' x"),
        (("A=1", "B=2"), "A=1 B=2"),
        (("ls", "&&", "id"), "ls '&&' id"),
    ],
)
def test_references_and_assignments(words: tuple[str, ...], text: str) -> None:
    assert text_of(*words) == text


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "-lc", "echo $A"),
        ("/bin/bash", "-c", "echo a", "name", "word"),
        ("sh", "-c", "x y"),
        ("zsh", "-ic", "x"),
        ("bash", "--norc", "-x", "-ec", "x"),
        ("bash", "-lc", HERE),
    ],
)
def test_a_shell_of_ones_own_is_passed_on(words: tuple[str, ...]) -> None:
    argv, notes = commandline.build(
        list(words), shell=SHELL, remote_env={"P": THERE}, local_env={"P": HERE}, repair=True
    )
    assert (argv, notes) == (list(words), [])


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "script.sh", "-c"),
        ("bash", "-lc"),
        ("bash", "--", "-c", "x"),
        ("mybash", "-c", "x"),
        ("python3", "-c", "x"),
        ("A=1", "bash", "-c", "x"),
    ],
)
def test_what_only_looks_like_a_shell_is_wrapped(words: tuple[str, ...]) -> None:
    assert text_of(*words).split()[0] == words[0]


def test_a_list_too_long_for_one_argument_still_arrives() -> None:
    words = [f"file {number}" for number in range(20_000)]
    argv, _ = commandline.build(
        ["A=a b", "bash", "-c", 'printf "%s\\0" "$A" "$@"', "bash", *words],
        shell=["bash", "-c"],
        remote_env={},
        local_env={},
        repair=True,
    )
    assert max(map(len, argv)) < 1 << 17
    assert printed(*argv) == ["a b", *words]


def repaired(*words: str, there: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, list[str]]:
    argv, notes = commandline.build(list(words), shell=SHELL, remote_env=there, local_env=here, repair=True)
    return argv[2], notes


def test_a_word_expanded_too_early_becomes_a_reference() -> None:
    text, notes = repaired("echo", HERE, there={"PROXY": THERE}, here={"PROXY": HERE})
    assert text == 'echo "$PROXY"'
    assert len(notes) == 1
    assert "PROXY" in notes[0]
    assert printed("bash", "-c", f"printf '%s\\0' {text}", env={"PROXY": "a  b *"}) == ["echo", "a  b *"]


def test_a_leading_assignment_decides_what_the_word_becomes() -> None:
    # A shell that read `PROXY=x echo $PROXY` over there would expand before it assigns; whoever types it means x.
    for there in ({}, {"PROXY": THERE}):
        text, notes = repaired("PROXY=x y", "echo", HERE, there=there, here={"PROXY": HERE})
        assert text == "PROXY='x y' echo 'x y'"
        assert len(notes) == 1
    text, _ = repaired("PROXY=$OTHER", "echo", HERE, there={}, here={"PROXY": HERE})
    assert text == 'PROXY="$OTHER" echo "$OTHER"'
    text, _ = repaired("PROXY=1", "PROXY=2", "echo", HERE, there={}, here={"PROXY": HERE})
    assert text == "PROXY=1 PROXY=2 echo 2"


def test_an_assigned_value_is_put_right_too() -> None:
    text, notes = repaired(f"http_proxy={HERE}", "env", there={"PROXY": THERE}, here={"PROXY": HERE})
    assert text == 'http_proxy="$PROXY" env'
    assert len(notes) == 1


@pytest.mark.parametrize(
    "word",
    [
        "1", "on", "abc", "main", "debug", "v1.2.3", "8080", "65535000", "2026-01-31", "12:30:00", "3.14159265",
        "/data/models", "./run-all.sh", "../elsewhere", "~/somewhere", "--verbose", "-O2-and-more",
    ],
)  # fmt: skip
def test_a_word_that_may_be_meant_stays(word: str) -> None:
    text, notes = repaired("echo", word, there={"A": "something else"}, here={"A": word})
    assert (text, notes) == (f"echo {quote(word)}", [])


@pytest.mark.parametrize(
    "word", [HERE, "over here", "10.0.0.1:3128", "/opt/a/bin:/usr/bin", "local_value", "user@host", "a,b,c,d"]
)
def test_a_word_that_nobody_types_is_put_right(word: str) -> None:
    text, _ = repaired("echo", word, there={"A": "something else"}, here={"A": word})
    assert text == 'echo "$A"'


def test_nothing_is_put_right_without_need() -> None:
    stays: tuple[str, list[str]] = (f"echo {HERE}", [])
    assert repaired("echo", HERE, there={"PROXY": HERE}, here={"PROXY": HERE}) == stays
    assert repaired("echo", HERE, there={"PROXY": THERE}, here={}) == stays
    assert repaired("echo", HERE, there={}, here={"PROXY": HERE}) == stays
    assert repaired("echo", HERE, there={"odd-name": THERE}, here={"odd-name": HERE}) == stays
    assert repaired("echo", f"{HERE}/x", there={"P": THERE}, here={"P": HERE}) == (f"echo {HERE}/x", [])
    assert repaired("echo", "", there={"PROXY": THERE}, here={"PROXY": ""}) == ("echo ''", [])


def test_two_variables_with_one_value_here_and_two_there() -> None:
    here = {"A": HERE, "B": HERE, "C": HERE}
    assert repaired("echo", HERE, there={"A": THERE, "B": "x", "C": THERE}, here=here) == (f"echo {HERE}", [])
    assert repaired("echo", HERE, there={"A": THERE, "B": THERE}, here=here)[0] == 'echo "$A"'


def test_repair_can_be_switched_off() -> None:
    text = text_of(
        "A=1", "echo", HERE, remote_env={"P": THERE}, local_env={"P": HERE, "A": HERE}, repair=False
    )
    assert text == f"A=1 echo {HERE}"


# The environment


def forwarded(
    environ: Mapping[str, str],
    *exclude: str,
    remote_env: Mapping[str, str] | None = None,
    cwd: str = "/",
) -> dict[str, str]:
    return commandline.forwarded_env(environ, exclude=list(exclude), remote_env=remote_env or {}, cwd=cwd)


def test_exact_names_prefixes_and_patterns() -> None:
    environ = {"A": "1", "AB": "2", "B_X": "3", "C1D": "4", "CD": "5", "E[": "6", "Q": "7"}
    assert forwarded(environ, "A", "B_*").keys() == {"AB", "C1D", "CD", "E[", "Q", "PWD"}
    assert forwarded(environ, "C?D", "[Q]").keys() == {"A", "AB", "B_X", "CD", "E[", "PWD"}
    assert forwarded(environ, "*").keys() == {"PWD"}
    assert forwarded(environ, "*D").keys() == {"A", "AB", "B_X", "E[", "Q", "PWD"}
    assert forwarded(environ).keys() == {*environ, "PWD"}


def test_patterns_of_the_usual_kinds_need_no_import() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from pigeon import commandline, settings\n"
        "commandline.forwarded_env({'A': 'b', 'PWD': '/tmp'}, exclude=list(settings.DEFAULT_ENV_EXCLUDE),"
        " remote_env={}, cwd='/')\n"
        "commandline.build(['a', 'b c', '$D', 'http://x:80'], shell=['bash'], remote_env={'D': 'e'},"
        " local_env={'D': 'http://x:80'}, repair=True)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    ours = {"pigeon", "pigeon.commandline", "pigeon.printing", "pigeon.settings"}
    assert set(done.stdout.split()) <= {"__future__", *ours}
    assert done.returncode == 0, done.stderr


def test_remote_env_lies_on_top_of_what_was_left_out_too() -> None:
    assert forwarded({"A": "1", "B": "2"}, "A", remote_env={"A": "3", "B": "4"}) == {
        "A": "3",
        "B": "4",
        "PWD": "/",
    }


def test_the_default_list() -> None:
    kept = {
        "HOME": "/h", "PATH": "/bin", "TERM": "xterm", "LANG": "C", "USER": "u", "HTTPS_PROXY": "p", "TMPDIR": "/t",
        "XDG_CONFIG_HOME": "/c", "BASH_FUNC_f%%": "() { :; }", "SSHPASS": "1", "_X": "y",
    }  # fmt: skip
    dropped = dict.fromkeys(
        "DISPLAY SSH_AUTH_SOCK SSH_CONNECTION DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR XDG_SESSION_ID TMUX STY"
        " HOSTNAME SLURM_JOB_ID CUDA_VISIBLE_DEVICES PIGEON_CACHE OLDPWD SHLVL _".split(),
        "x",
    )
    assert forwarded({**kept, **dropped}, *DEFAULT_ENV_EXCLUDE) == {**kept, "PWD": "/"}


def test_the_working_directory_keeps_the_name_the_user_came_by(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "li\nnk \udcff"
    link.symlink_to(real)
    for pwd, expected in (
        (str(link), str(link)),
        (str(real), str(real)),
        (str(tmp_path), str(real)),
        (str(tmp_path / "gone"), str(real)),
        ("real", str(real)),
        ("", str(real)),
        (f"{tmp_path}/./real", str(real)),
        (f"{real}/../real", str(real)),
    ):
        assert forwarded({"PWD": pwd}, cwd=str(real))["PWD"] == expected
    assert forwarded({}, cwd=str(real))["PWD"] == str(real)
