"""Which environment the command finds: the worker's, under the client's, under `[remote_env]`."""

from __future__ import annotations

import contextlib

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Result

SHELL_OWN = {"_", "SHLVL", "PWD", "OLDPWD"}


def variables(result: Result) -> dict[str, str]:
    """The variables that `env -0` printed."""
    assert result.code == 0, result.words
    pairs = result.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_clients_environment_goes_along(warm: Pigeon) -> None:
    extra = {
        "PLAIN": "value",
        "EMPTY": "",
        "TWO_LINES": "one\ntwo\n",
        "NOT_UTF8": "\udcff\udcfe",
        "QUOTES": 'it\'s "$HOME" `id` \\',
        "HUGE": "x" * 100_000,
        "lower.case-name": "kept",
        "BASH_FUNC_greet%%": "() { echo hello $1; }",
    }
    found = variables(warm.run("env -0", env=extra))
    # bash itself drops a name that it cannot hold; everything else arrives
    assert {name: found.get(name) for name in extra} == {
        **extra,
        "BASH_FUNC_greet%%": "() {  echo hello $1\n}",
    }
    assert warm.run("greet you", env=extra).stdout == b"hello you\n"


def test_three_layers(pigeon: Pigeon) -> None:
    pigeon.configure(remote_env={"THREE": "remote", "BOTH": "remote"})
    pigeon.worker(env={"ONE": "worker", "TWO": "worker", "THREE": "worker", "BOTH": "worker"})
    found = variables(pigeon.run("env -0", env={"TWO": "client", "THREE": "client"}))
    assert (found["ONE"], found["TWO"], found["THREE"], found["BOTH"]) == (
        "worker",
        "client",
        "remote",
        "remote",
    )


def test_excluded_names_stay_behind(pigeon: Pigeon) -> None:
    pigeon.configure(client={"env_exclude": ["SECRET_*", "EXACT"]})
    pigeon.worker(env={"EXACT": "of the worker"})
    found = variables(pigeon.run("env -0", env={"SECRET_A": "1", "EXACT": "2", "EXACTLY": "3"}))
    assert "SECRET_A" not in found
    assert found["EXACT"] == "of the worker"
    assert found["EXACTLY"] == "3"


def test_the_default_excludes_what_makes_sense_only_here(warm: Pigeon) -> None:
    names = {
        "SSH_AUTH_SOCK": "/tmp/agent",
        "DISPLAY": ":7",
        "TMUX": "/tmp/t",
        "XDG_RUNTIME_DIR": "/run/user/7",
    }
    found = variables(warm.run("env -0", env=names))
    assert names.keys() & found.keys() == set()


def test_values_are_not_left_in_the_share(warm: Pigeon) -> None:
    warm.run("true", env={"API_TOKEN": "do-not-keep-this"})
    session = warm.sessions()[-1]
    request = session.json("request.json")
    assert request is not None
    assert "API_TOKEN" in request["env"]
    assert set(request["env"].values()) == {None}
    for path in warm.share.client_path.rglob("*"):
        with contextlib.suppress(
            FileNotFoundError
        ):  # the worker has just put its file's next version in place
            assert not path.is_file() or b"do-not-keep-this" not in path.read_bytes(), path


def test_the_session_is_known_inside(warm: Pigeon) -> None:
    result = warm.run('printf %s "$PIGEON_SESSION"')
    assert result.stdout.decode() == warm.sessions()[-1].id


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["echo", "$WHERE"], b"over there\n"),
        (["echo", "${WHERE}"], b"over there\n"),
        (["echo", "x$WHERE"], b"x$WHERE\n"),
        (["echo $WHERE"], b"over there\n"),
        (["WHERE=given", "printenv", "WHERE"], b"given\n"),
        (["A=1", "B=a b", "sh", "-c", "echo $A $B"], b"1 a b\n"),
        (["echo", "over here"], b"over there\n"),
        (["echo over here"], b"over here\n"),
    ],
    ids=repr,
)
def test_references_and_assignments(warm: Pigeon, words: list[str], expected: bytes) -> None:
    """The last but one is what the local shell makes of `echo "$WHERE"`: put right, since it is surely meant so."""
    warm.configure(remote_env={"WHERE": "over there"})
    assert warm.run(*words, env={"WHERE": "over here"}).stdout == expected


def test_repair_can_be_switched_off_and_is_told(warm: Pigeon) -> None:
    warm.configure(remote_env={"PROXY": "http://over-there:3128"})
    here = {"PROXY": "http://over-here:3128"}
    told = warm.run("echo", here["PROXY"], env=here, options=("-v",))
    assert told.stdout == b"http://over-there:3128\n"
    assert "PROXY" in told.words
    warm.configure(client={"repair": False})
    assert warm.run("echo", here["PROXY"], env=here).stdout == b"http://over-here:3128\n"


def test_another_shell(warm: Pigeon) -> None:
    warm.configure(client={"shell": ["sh", "-c"]})
    assert warm.run('echo "[$0] [$BASH_VERSION]"').stdout == b"[sh] []\n"


def test_start_up_files_are_those_of_a_login_shell(pigeon: Pigeon) -> None:
    (pigeon.home / ".bash_profile").write_text("export FROM_PROFILE=yes\n")
    pigeon.worker()
    assert pigeon.run("echo $FROM_PROFILE").stdout == b"yes\n"


def test_the_clients_umask_is_the_commands(pigeon: Pigeon) -> None:
    pigeon.worker(umask=0o077)
    assert pigeon.run("touch made; umask", umask=0o022).stdout == b"0022\n"
    assert (pigeon.work / "made").stat().st_mode & 0o777 == 0o644


def test_an_unset_terminal_type(pigeon: Pigeon) -> None:
    pigeon.worker(env={"TERM": "dumb"})
    assert variables(pigeon.run("env -0", env={"TERM": "vt100"}))["TERM"] == "vt100"


def test_what_python_gives_itself_stays_behind(warm: Pigeon) -> None:
    """Where the locale is C, Python sets LC_CTYPE for itself (PEP 538); one that the user has set goes along."""
    plain = {**warm.env(), "LC_ALL": None, "LANG": None, "LC_CTYPE": None}
    assert "LC_CTYPE" not in variables(warm.run("env -0", env=plain))
    own = {**plain, "LC_CTYPE": "C.UTF-8"}
    assert variables(warm.run("env -0", env=own))["LC_CTYPE"] == "C.UTF-8"


def test_nothing_else_comes_or_goes(warm: Pigeon) -> None:
    """Beside what the layers hold, only pigeon's own variables are new."""
    found = variables(warm.run("env -0"))
    expected = warm.env().keys() - {"PIGEON_CONFIG"}
    assert expected - SHELL_OWN <= found.keys()
    assert {name for name in found.keys() - expected - SHELL_OWN if not name.startswith("PIGEON_")} == set()
