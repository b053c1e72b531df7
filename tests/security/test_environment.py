"""One host's paths are not the other's: what of a client's context counts on the worker's host, and what gives way."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pigeon import env_rules
from pigeon.worker.relay.program import CannotStart, find_program
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_own_mounts, needs_root
from tests.helpers.processes import Result
from tests.helpers.surroundings import PATH, PIGEON

OWN = {"PATH": PATH, "HOME": "/root", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}


def settled(
    sent: Mapping[str, str], own: Mapping[str, str] = OWN, *, given: tuple[str, ...] = (), cwd: str = "/"
) -> tuple[dict[str, str | None], list[str]]:
    """(what the command gets of these variables, what is told)."""
    env = {**own, **sent}
    told = env_rules.settle(env, sent, own, given, cwd)
    return {name: env.get(name) for name in sent}, told


def variables(result: Result) -> dict[str, str]:
    assert result.code == 0, result.words
    pairs = result.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return dict(pair.split("=", 1) for pair in pairs)


# -- places that others can write --------------------------------------------------------------------------


def ours(path: Path) -> None:
    """Nothing is wrong with it."""


def not_there(path: Path) -> None:
    path.rmdir()


def a_file(path: Path) -> None:
    path.rmdir()
    path.touch()


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


def sticky(path: Path) -> None:
    path.chmod(0o1777)


def open_to_a_group(path: Path) -> None:
    os.chown(path, 0, NOBODY)
    path.chmod(0o775)


def foreign(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def under_foreign(path: Path) -> None:
    os.chown(path.parent, NOBODY, NOBODY)


def under_open(path: Path) -> None:
    path.parent.chmod(0o777)


def linked_by_another(path: Path) -> None:
    path.parent.chmod(0o1777)
    real = path.parent / "real"
    path.rename(real)
    path.symlink_to(real)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


BAD = [
    not_there,
    a_file,
    open_to_all,
    sticky,
    open_to_a_group,
    foreign,
    under_foreign,
    under_open,
    linked_by_another,
]


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    path = tmp_path / "above" / "entry"
    path.mkdir(parents=True)
    return path


@needs_root
@pytest.mark.parametrize("spoil", BAD)
@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PERL5LIB", "XDG_DATA_DIRS"])
def test_an_entry_that_others_could_have_made_is_lost(
    entry: Path, spoil: Callable[[Path], None], name: str
) -> None:
    good = entry.parent.parent / "good"
    good.mkdir()
    value = f"{entry}:{good}"
    assert settled({name: value}) == ({name: value}, [])
    spoil(entry)
    if spoil is a_file and name not in ("PATH", "LD_LIBRARY_PATH"):
        return  # an archive may stand in such a list
    found, told = settled({name: value})
    assert found == {name: str(good)}
    assert len(told) == 1 and str(entry) in told[0] and str(good) not in told[0]


@needs_root
@pytest.mark.parametrize("spoil", BAD)
@pytest.mark.parametrize("name", ["HOME", "ZDOTDIR", "VIRTUAL_ENV", "XDG_CONFIG_HOME"])
def test_a_directory_that_others_could_have_made_gives_way(
    entry: Path, spoil: Callable[[Path], None], name: str
) -> None:
    assert settled({name: str(entry)}) == ({name: str(entry)}, [])
    spoil(entry)
    found, told = settled({name: str(entry)})
    if name == "XDG_CONFIG_HOME" and spoil is not_there:
        assert (found, told) == ({name: str(entry)}, []), "it is made when it is needed"
        return
    assert found == {name: OWN.get(name)}
    assert str(entry) in told[0]


@needs_root
@pytest.mark.parametrize("spoil", [not_there, a_file, open_to_all, open_to_a_group, foreign, under_open])
def test_a_directory_for_temporary_files(entry: Path, spoil: Callable[[Path], None]) -> None:
    assert settled({"TMPDIR": str(entry)}) == ({"TMPDIR": str(entry)}, [])
    sticky(entry)
    assert settled({"TMPDIR": str(entry)}) == ({"TMPDIR": str(entry)}, []), "as /tmp is"
    entry.chmod(0o755)
    spoil(entry)
    found, told = settled({"TMPDIR": str(entry)})
    assert found == {"TMPDIR": "/tmp"} and str(entry) in told[0]


@needs_root
@pytest.mark.parametrize(
    "name", ["BASH_ENV", "ENV", "LD_PRELOAD", "LD_AUDIT", "PYTHONSTARTUP", "SSL_CERT_FILE"]
)
def test_a_file_that_others_could_have_made_gives_way(entry: Path, name: str) -> None:
    path = entry / "file"
    path.touch()
    assert settled({name: str(path)}) == ({name: str(path)}, [])
    spoilers: tuple[Callable[[], object], ...] = (
        lambda: path.chmod(0o666),
        lambda: os.chown(path, NOBODY, NOBODY),
        lambda: entry.chmod(0o777),
        path.unlink,
    )
    for spoil in spoilers:
        path.touch()
        path.chmod(0o644)
        os.chown(path, 0, 0)
        entry.chmod(0o755)
        spoil()
        found, told = settled({name: str(path)})
        assert found == {name: None} and str(path) in told[0]


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("PATH", ".:/usr/bin::bin:/bin", "/usr/bin:/bin"),
        ("PATH", "bin", PATH),
        ("LD_PRELOAD", "libx.so /nowhere/y.so", None),
        ("LD_LIBRARY_PATH", ":/usr/lib", "/usr/lib"),
        ("TMPDIR", "tmp", "/tmp"),
        ("HOME", "", ""),
        ("ENV", "production", "production"),
        ("EDITOR", "/nowhere/code --wait", None),
        ("EDITOR", "vi -e", "vi -e"),
        ("SHELL", "/bin/sh", "/bin/sh"),
        ("KRB5CCNAME", "FILE:/nowhere/krb5cc_0", None),
        ("KRB5CCNAME", "KEYRING:persistent:0", "KEYRING:persistent:0"),
        ("GIT_CONFIG_GLOBAL", "/dev/null", "/dev/null"),
        ("CLASSPATH", "/usr/lib/*:/nowhere/x.jar", "/usr/lib/*"),
        ("LC_ALL", "xx_YY.UTF-8", "C.UTF-8"),
        ("LC_ALL", "C", "C"),
        ("LC_TIME", "xx_YY.UTF-8", None),
        ("NOBODYS_DIR", "/nowhere", "/nowhere"),
    ],
)
def test_values(name: str, value: str, left: str | None) -> None:
    found, told = settled({name: value})
    assert found == {name: left}
    assert bool(told) is (left != value)


def test_a_relative_entry_of_a_language_is_the_commands_directory(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    value = ".:src:gone:"
    assert settled({"PYTHONPATH": value}, cwd=str(tmp_path))[0] == {"PYTHONPATH": ".:src:"}


def test_what_is_meant_for_the_worker_is_left_alone() -> None:
    assert settled({"PATH": "/nowhere", "HOME": "/gone"}, given=("PATH", "HOME")) == (
        {"PATH": "/nowhere", "HOME": "/gone"},
        [],
    )


def test_what_the_worker_has_itself_is_left_alone() -> None:
    own = {"PATH": "/nowhere:.", "LANG": "xx_YY"}
    assert settled(own, own) == (own, [])


def test_the_c_librarys_locale_stays_as_it_was() -> None:
    import locale

    before = locale.setlocale(locale.LC_CTYPE)
    assert (
        env_rules.has_locale("C") and not env_rules.has_locale("xx_YY") and not env_rules.has_locale("a\0b")
    )
    assert locale.setlocale(locale.LC_CTYPE) == before


# -- the whole way -----------------------------------------------------------------------------------------


@needs_root
def test_nothing_of_a_strangers_directory_is_run(warm: Pigeon) -> None:
    """What was a node's own `/tmp/envX` may be anybody's on the worker's host."""
    trap = warm.directory("envX")
    (trap / "bin").mkdir()
    for name in ("bash", "ls", ".bash_profile", ".profile", "rc"):
        path = trap / "bin" / name
        path.write_text('#!/bin/sh\necho caught\nexec /bin/sh "$@"\n')
        path.chmod(0o755)
    for path in (trap, *trap.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    here = {
        "PATH": f"{trap}/bin:{PATH}",
        "HOME": f"{trap}/bin",
        "BASH_ENV": f"{trap}/bin/rc",
        "ENV": f"{trap}/bin/rc",
    }
    done = warm.run("ls -d /; sh -c true; bash -c true", env=here)
    assert (done.stdout, done.code) == (b"/\n", 0), done
    done = warm.run("env -0", env=here, options=("-v",))
    assert not any(str(trap) in value for name, value in variables(done).items() if name != "PWD")
    for name in ("PATH", "HOME", "BASH_ENV"):
        assert f"{name}: " in done.words and str(trap) in done.words


def test_the_shell_is_found_by_the_workers_own_path(warm: Pigeon) -> None:
    bin_ = warm.directory("bin")
    shell = bin_ / "bash"
    shell.write_text("#!/bin/sh\necho not this one\n")
    shell.chmod(0o755)
    only = bin_ / "mysh"
    only.write_text('#!/bin/sh\necho mine; exec /bin/sh "$@"\n')
    only.chmod(0o755)
    env = {"PATH": f"{bin_}:{PATH}"}
    assert warm.run("echo run", env=env).stdout == b"run\n"
    assert warm.run("bash", "-c", "echo run", env=env).stdout == b"run\n"
    warm.configure(client={"shell": ["mysh", "-c"]})
    assert warm.run("echo run", env=env).stdout == b"mine\nrun\n", "where the worker has none of that name"


def test_how_a_program_is_found(tmp_path: Path) -> None:
    for place in ("own", "theirs"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "tool").touch(mode=0o755)
    own, theirs = str(tmp_path / "own"), str(tmp_path / "theirs")
    assert find_program("tool", theirs, own) == f"{own}/tool"
    assert find_program("tool", theirs, "") == f"{theirs}/tool"
    assert find_program("tool", theirs, ".:own") == f"{theirs}/tool"
    with pytest.raises(CannotStart):
        find_program("tool", "", ".")


def test_an_ordinary_environment_goes_along(warm: Pigeon) -> None:
    conda = warm.directory("conda")
    for name in ("bin", "lib", "lib/python"):
        (conda / name).mkdir()
    env = {
        "PATH": f"{conda}/bin:{PATH}",
        "CONDA_PREFIX": str(conda),
        "VIRTUAL_ENV": str(conda),
        "LD_LIBRARY_PATH": f"{conda}/lib",
        "PYTHONPATH": f"{conda}/lib/python",
        "EDITOR": "vim",
        "SETTING": "/nowhere/at/all",
        "MANPATH": ":/usr/share/man",
    }
    warm.configure(client={"shell": ["bash", "-c"]})
    done = warm.run("env -0", env=env, options=("-v",))
    found = variables(done)
    assert {name: found.get(name) for name in env} == env


def test_remote_env_is_what_the_user_means_for_the_worker(pigeon: Pigeon) -> None:
    pigeon.configure(
        remote_env={"HOME": "/nowhere/special", "TMPDIR": "/nowhere/tmp"}, client={"shell": ["bash", "-c"]}
    )
    pigeon.worker()
    found = variables(pigeon.run("env -0"))
    assert (found["HOME"], found["TMPDIR"]) == ("/nowhere/special", "/nowhere/tmp")


STAYS = {
    "SSH_AUTH_SOCK": "/tmp/agent",
    "SLURM_JOB_ID": "1",
    "PBS_JOBID": "1",
    "PMIX_RANK": "0",
    "LSB_JOBID": "7",
    "GIT_ASKPASS": "/x/askpass.sh",
    "VSCODE_IPC_HOOK_CLI": "/run/x",
    "NVIM": "/run/nvim",
    "WAYLAND_DISPLAY": "w",
    "NOTIFY_SOCKET": "/run/n",
    "LISTEN_FDS": "2",
    "INVOCATION_ID": "z",
    "ROCR_VISIBLE_DEVICES": "0",
    "PIGEON_ANYTHING": "x",
}


def test_what_makes_sense_only_here_stays_and_is_told(warm: Pigeon) -> None:
    place = warm.directory("run")
    with (
        tempfile.TemporaryDirectory(prefix="pigeon-", dir="/tmp") as short,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = f"{short}/socket"
        listener.bind(path)
        here = {
            **STAYS,
            "MY_DAEMON": path,
            "DOCKER_HOST": f"unix://{path}",
            "MY_EDITOR": f"editor --server {path}",
            "MAKEFLAGS": " -j2 --jobserver-auth=3,4",
            "MFLAGS": "--jobserver-auth=fifo:/tmp/x",
            "NOT_A_SOCKET": "/tmp",
        }
        done = warm.run("env -0", env=here, options=("-v",), cwd=place)
        found = variables(done)
        behind = {*STAYS, "MY_DAEMON", "DOCKER_HOST", "MY_EDITOR", "MFLAGS"}
        assert not behind & found.keys()
        assert found["MAKEFLAGS"].split() == ["-j2"]
        assert found["NOT_A_SOCKET"] == "/tmp"
        assert all(name in done.words for name in behind)
        listed = warm.run(
            "config", "show", "--env", env={**here, "JAVA_HOME": "/x", "PLAIN": "s3cret"}
        ).stdout.decode()
    fates = dict(line.split(None, 1) for line in listed.splitlines())
    assert all(fates[name].startswith("stays here") for name in behind - {"MFLAGS"})
    assert "job of a scheduler" in fates["SLURM_JOB_ID"]
    assert "worker's host" in fates["JAVA_HOME"] and fates["PLAIN"] == "goes along"
    assert "s3cret" not in listed


def test_make_under_make_needs_no_jobserver_of_the_other_host(warm: Pigeon) -> None:
    if not os.path.exists("/usr/bin/make"):
        pytest.skip("no make here")
    (warm.work / "inner.mk").write_text("all: a b\na b:\n\t@echo made\n")
    (warm.work / "Makefile").write_text(f"all:\n\t+@{PIGEON} make -f inner.mk\n")
    done = subprocess.run(
        ["make", "-j2"], cwd=warm.work, env=warm.env(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done
    assert done.stdout.count("made\n") == 2
    assert "jobserver" not in done.stderr


def test_a_locale_that_is_missing_there(warm: Pigeon) -> None:
    done = warm.run("perl -e 1; echo $LC_ALL", env={"LC_ALL": "zh_XX.UTF-8"})
    assert done == (b"C.UTF-8\n", b"", 0)


# -- umask, limits, signals --------------------------------------------------------------------------------


@pytest.mark.parametrize("tty", [False, True])
def test_the_clients_umask(pigeon: Pigeon, tty: bool) -> None:
    pigeon.worker(umask=0o077)
    done = pigeon.run("touch made; umask", umask=0o002, options=("-t",) if tty else ())
    assert done.stdout.split() == [b"0002"], done
    assert (pigeon.work / "made").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("tty", [False, True])
def test_limits_go_along_downwards(warm: Pigeon, tty: bool) -> None:
    client = ["bash", "-c", 'ulimit -f 77 -t 33 -n 200 -Sc 5; exec "$@"', "client", *map(str, warm.command(
        "ulimit -f; ulimit -t; ulimit -n; ulimit -c; ulimit -u", options=("-t",) if tty else ()
    ))]  # fmt: skip
    done = subprocess.run(
        client,
        cwd=warm.work,
        env=warm.env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split()[:3] == ["77", "33", "200"], done
    assert done.stdout.split()[3] in ("5", "0")


def test_limits_do_not_go_up(pigeon: Pigeon) -> None:
    pigeon.worker(prefix=("bash", "-c", 'ulimit -n 300; exec "$@"', "worker"))
    assert pigeon.run("ulimit -n").stdout == b"300\n"


PROBE = f"""exec {sys.executable} -c '
ignored = [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN]
print([int(n) for n in ignored if n not in (signal.SIGPIPE, signal.SIGXFSZ)], list(signal.pthread_sigmask(0, ())))
for line in open("/proc/self/status"):
    if line[:6] in ("SigBlk", "SigIgn"):
        print(line.strip())
'"""


@pytest.mark.parametrize("tty", [False, True])
def test_signals_are_as_a_program_expects_them(pigeon: Pigeon, tty: bool) -> None:
    """Whatever the worker was started with: nohup, a script with traps, a parent that blocks some."""
    ignoring = "trap '' HUP USR1 USR2 TSTP TTIN TTOU ALRM PIPE; exec \"$@\""
    pigeon.worker(prefix=("bash", "-c", ignoring, "worker"))
    done = pigeon.run("grep -E 'Sig(Blk|Ign)' /proc/self/status", options=("-t",) if tty else ())
    masks = {line.split()[0]: int(line.split()[1], 16) for line in done.stdout.decode().splitlines()}
    assert masks == {"SigBlk:": 0, "SigIgn:": 0}


# -- inside a session --------------------------------------------------------------------------------------


@pytest.fixture
def saved(pigeon: Pigeon) -> Iterator[dict[str, str]]:
    """The marks of a session that has ended."""
    pigeon.worker()
    yield {
        name: value for name, value in variables(pigeon.run("env -0")).items() if name.startswith("PIGEON_")
    }


def test_a_session_that_is_over_is_none(pigeon: Pigeon, saved: dict[str, str]) -> None:
    assert saved["PIGEON_SESSION"]
    before = len(pigeon.sessions())
    done = pigeon.run("echo $PIGEON_SESSION", env=saved)
    assert done.stdout.strip() != saved["PIGEON_SESSION"].encode()
    assert len(pigeon.sessions()) == before + 1
    for part in range(4):  # another host, boot, process, start
        words = saved["PIGEON_SESSION_RUNNER"].rsplit(" ", 3)
        words[part] = "1"
        assert pigeon.run("true", env={**saved, "PIGEON_SESSION_RUNNER": " ".join(words)}).code == 0
    assert len(pigeon.sessions()) == before + 5
    assert pigeon.run("true", env={"PIGEON_SESSION": saved["PIGEON_SESSION"]}).code == 0
    assert len(pigeon.sessions()) == before + 6


@needs_root
def test_a_session_of_another_host_is_none(pigeon: Pigeon) -> None:
    """Also while it runs: what a scheduler hands to a job on another machine."""
    pigeon.worker(max_jobs=4)
    script = pigeon.work / "job"
    script.write_text(f"hostname gpu7; {PIGEON} --config {pigeon.client_config()} --no-lock hostname\n")
    done = pigeon.run(f"unshare --uts sh {script}")
    assert done.code == 0, done
    assert done.stdout.decode().strip() == socket.gethostname()


def test_in_place_while_it_runs(pigeon: Pigeon) -> None:
    pigeon.worker(max_jobs=1)
    done = pigeon.run(f"{PIGEON} -v 'echo in place'")
    assert done.stdout == b"in place\n"
    assert "runs in place" in done.words
    assert len(pigeon.sessions()) == 1


def test_a_worker_that_leaves_no_mark_is_known_by_its_runner(pigeon: Pigeon) -> None:
    """As older ones do: the session's id is all that there is."""
    pigeon.worker(max_jobs=1)
    done = pigeon.run(f"unset PIGEON_SESSION_RUNNER; {PIGEON} 'echo in place'", timeout_s=20)
    assert done.stdout == b"in place\n"
    assert len(pigeon.sessions()) == 1


@pytest.mark.parametrize(
    "option",
    ["--detach", "--keep", "--route elsewhere", "--namespace other", "--cache /other", "-t", "--user you"],
)
def test_an_option_is_carried_out_or_refused(warm: Pigeon, option: str) -> None:
    done = warm.run(f"{PIGEON} {option} hostname")
    assert (done.stdout, done.code) == (b"", 2), done
    assert "inside a session" in done.words


def test_options_that_change_nothing_are_carried_out(pigeon: Pigeon) -> None:
    pigeon.configure(route="r")
    pigeon.worker()
    same = f"--route r --namespace test --cache {pigeon.share.worker_path}"
    options = f"--no-lock -T --claim-timeout 3 --worker-timeout 9 {same}"
    assert pigeon.run(f"{PIGEON} {options} echo done").stdout == b"done\n"


# -- the directory -----------------------------------------------------------------------------------------


@needs_own_mounts
def test_another_directory_of_the_same_name_is_told(pigeon: Pigeon) -> None:
    place = pigeon.directory("scratch")
    script = f'mount -t tmpfs none {place} && exec "$@"'
    pigeon.worker(prefix=("unshare", "-m", "sh", "-c", script, "worker"))
    (place / "here").touch()
    done = pigeon.run("ls", cwd=place, options=("-v",))
    assert done.stdout == b""
    assert "is another directory than the one here" in done.words
    assert "another directory" not in pigeon.run("ls", options=("-v",)).words


@needs_root
def test_an_active_environment_that_others_could_have_made_is_not_put_first(warm: Pigeon) -> None:
    trap = warm.directory("env")
    (trap / "bin").mkdir()
    (trap / "bin" / "ls").write_text("#!/bin/sh\necho caught\n")
    (trap / "bin" / "ls").chmod(0o755)
    for path in (trap, *trap.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    env = {"VIRTUAL_ENV": str(trap), "PATH": f"{trap}/bin:{PATH}"}
    done = warm.run("ls -d /", env=env, options=("-v",))
    assert done.stdout == b"/\n", done
    assert f"`{trap}/bin` is not put in front of PATH" in done.words


# -- who one is --------------------------------------------------------------------------------------------


def test_a_client_that_finds_no_worker_is_told_where_there_are_some(pigeon: Pigeon) -> None:
    """A worker from cron has another `$USER` than an interactive shell, or none."""
    (pigeon.share.client_path / "namespaces" / "empty" / "workers").mkdir(parents=True)
    pigeon.worker()
    done = pigeon.run("true", options=("--namespace", "alice", "--claim-timeout", "1"))
    assert done.code == 255
    assert "worker files in `test`: is `--namespace test` meant?" in done.words
    done = pigeon.run("true", options=("--route", "nobody", "--claim-timeout", "1"))
    assert "is `--namespace" not in done.words, "there are workers here, though of another route"


def test_the_user_is_the_same_without_a_variable(pigeon: Pigeon) -> None:
    pigeon.settings.pop("namespace")
    nobody: dict[str, str | None] = {"USER": None, "LOGNAME": None}
    name = pwd.getpwuid(os.getuid()).pw_name
    pigeon.settings["namespace"] = name
    pigeon.worker(env=nobody)
    assert pigeon.run("true", env={"USER": "", "LOGNAME": ""}).code == 0
