"""What used to go wrong without a word: another directory over there, an environment that the login shell drops, a wait
that says nothing for long, an end that nobody sees."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest

from pigeon.client.session.telling import AGAIN_S, THEN_S, Telling
from pigeon.client.session.workers import Reason
from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import needs_own_mounts
from tests.helpers.waiting import wait_until


@pytest.fixture
def notes(warm: Pigeon) -> Notes:
    return Notes(warm.directory(f"notes-{raw.new_id()}"))


# -- another directory over there ------------------------------------------------------------------------


@needs_own_mounts
def test_a_directory_that_is_another_one_over_there(pigeon: Pigeon) -> None:
    place = pigeon.directory("local")
    hide = f'mount -t tmpfs tmpfs {place} && exec "$@"'
    pigeon.worker(prefix=("unshare", "--mount", "sh", "-c", hide, "sh"))
    result = pigeon.run("touch new.txt", options=("-v",), cwd=place)
    assert result.code == 0, "it is told, and not refused"
    assert f"`{place}` on " in result.words
    assert "is another directory than the one here" in result.words
    assert not (place / "new.txt").exists()
    window = pigeon.spawn_tty("touch again.txt", cwd=place, size=(200, 24))
    assert window.wait().code == 0
    assert window.text().count("is another directory") == 1
    assert "another directory" not in pigeon.run("true", options=("-v",)).words, "the shared one is the same"


@needs_own_mounts
def test_a_directory_that_is_not_there_names_the_way_out(pigeon: Pigeon) -> None:
    outer = pigeon.directory("outer")
    (outer / "inner").mkdir()
    hide = f'mount -t tmpfs tmpfs {outer} && exec "$@"'
    pigeon.worker(prefix=("unshare", "--mount", "sh", "-c", hide, "sh"))
    result = pigeon.run("true", cwd=outer / "inner")
    assert result.code == 255
    assert "does not exist on" in result.words
    assert "work in one that both machines see" in result.words


# -- an environment that the login shell drops ------------------------------------------------------------


def environment(base: Path) -> Path:
    """What `python3 -m venv` makes, as far as PATH goes: a bin with a `python` that says who it is."""
    env = base / "env (1)"
    (env / "bin").mkdir(parents=True)
    python = env / "bin" / "python"
    python.write_text("#!/bin/sh\necho the python of the environment\n")
    python.chmod(0o755)
    return env


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment_goes_along(
    warm: Pigeon, tmp_path_factory: pytest.TempPathFactory, variable: str
) -> None:
    env = environment(tmp_path_factory.mktemp("environment"))
    profile = warm.home / ".bash_profile"
    profile.write_text("PATH=/usr/local/bin:/usr/bin:/bin\n")
    try:
        variables = {variable: str(env), "PATH": f"{env}/bin:{warm.env()['PATH']}"}
        active = warm.run("python", env=variables)
        assert active.stdout == b"the python of the environment\n", active.words
        as_text = warm.run("echo $PATH; exit 3", env=variables)
        assert (as_text.code, as_text.stdout.decode().split(":")[0]) == (3, f"{env}/bin")
        login = warm.run("echo $PATH", env={**variables, "PIGEON_CONFIG": str(with_path_login(warm))})
        assert str(env) not in login.stdout.decode()
        told = warm.run("true", options=("-v",), env=variables).words
        assert f"`{env}/bin` is put in front of PATH" in told
        shown = warm.run("history", "--journal", str(warm.journal), "-n1", "--json").stdout
        assert b"case :" not in shown, "what was typed is what the journal shows"
        off = warm.run("echo $PATH", env={variable: str(env)})
        assert str(env) not in off.stdout.decode(), "an environment that is not on PATH is not active"
        shutil.rmtree(env)
        missing = warm.run("true", options=("-v",), env=variables)
        assert f"there is no `{env}/bin` on this host" in missing.words
    finally:
        profile.unlink()


def with_path_login(pigeon: Pigeon) -> Path:
    """The client's configuration, with `path = "login"`."""
    own = Path(pigeon.env()["PIGEON_CONFIG"])
    file = own.with_name("login.toml")
    file.write_text(own.read_text() + '\n[client]\npath = "login"\n')
    return file


# -- waiting that speaks ------------------------------------------------------------------------------------


def test_the_first_line_says_what_is_missing_how_long_and_the_ways_out(pigeon: Pigeon) -> None:
    client = pigeon.start("true", options=("-v", "--claim-timeout", "20"))
    wait_until(lambda: "waiting for a worker" in client.err, 15, "the first line")
    line = next(line for line in client.err.splitlines() if "waiting for a worker" in line)
    assert re.search(
        r"start `pigeon worker` on the machine with internet \(giving up in [12]\ds; Ctrl-C leaves\)", line
    ), line
    pigeon.worker()
    wait_until(
        lambda: "making sure that it is alive" in client.err or not client.running, 15, "the next line"
    )
    assert client.wait().code == 0


def test_a_held_directory_names_the_ways_out_and_a_terminal_counts(warm: Pigeon, notes: Notes) -> None:
    holder = warm.start(notes.holding("holder"))
    notes.wait_started("holder")
    window = warm.spawn_tty("echo served", size=(200, 24))
    window.wait_for("Ctrl-C leaves, `--no-lock` runs beside")
    window.wait_for(lambda text: re.search(r"pigeon: waiting for this directory \([\d.]+s\)", text), 20)
    lines = len(window.text().splitlines())
    window.wait_for(lambda text: re.search(r"pigeon: waiting for this directory \([\d.]+s\)", text), 20)
    assert len(window.text().splitlines()) == lines, "it counts in place"
    notes.release("holder")
    window.wait_for("\nserved")
    assert window.wait().code == 0
    assert "pigeon: waiting for this directory (" not in window.text(), "the counting line is gone"
    assert holder.wait().code == 0


def test_a_count_is_nowhere_but_on_a_terminal(warm: Pigeon, notes: Notes) -> None:
    holder = warm.start(notes.holding("holder2"))
    notes.wait_started("holder2")
    client = warm.start("true", options=("-v",))
    wait_until(lambda: "held by" in client.err, 15, "the line")
    window = warm.spawn_tty("true", env={"TERM": "dumb"}, size=(200, 24))
    window.wait_for("held by")
    window.type("\x03")
    assert window.wait().code == 130
    assert "\r" not in client.err
    notes.release("holder2")
    assert (holder.wait().code, client.wait().code) == (0, 0)


def test_the_same_reason_is_told_again_ever_more_rarely() -> None:
    telling, reason = Telling(), Reason("slot", "waiting for a slot", "Ctrl-C leaves")
    told = [second for second in range(8000) if telling.notice(reason, float(second), float(second), None)]
    assert told[:4] == [0, *map(int, AGAIN_S)]
    assert all(THEN_S <= later - before <= THEN_S + 5 for before, later in itertools.pairwise(told[3:]))
    assert len(told) > 6
    other = Reason("held by 1-a", "waiting for this directory", "Ctrl-C leaves")
    assert telling.notice(other, 8000.0, 8000.0, None) == "waiting for this directory; Ctrl-C leaves"
    assert telling.notice(other, 8031.0, 8031.0, None).startswith("2h13m: still waiting for this directory")


def test_who_gives_up_now_does_not_say_that_it_still_waits() -> None:
    telling, reason = Telling(), Reason("none", "waiting for a worker", "start one")
    assert "giving up in 30s" in telling.notice(reason, 0.0, 0.0, 30.0)
    assert telling.notice(reason, 30.5, 30.5, 0.0) == ""
    assert "giving up in 30s" in telling.notice(reason, 120.0, 120.0, 30.0)


# -- an end that nobody sees --------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "rings"), [("500ms", True), ("1h", False), ("0", False)])
def test_the_terminal_rings_at_the_end_of_a_long_command(warm: Pigeon, after: str, rings: bool) -> None:
    own = Path(warm.env()["PIGEON_CONFIG"])
    file = own.with_name(f"rings-{after}.toml")
    file.write_text(own.read_text() + f'\n[client]\nnotify_after = "{after}"\n')
    window = warm.spawn_tty("sleep 0.7; exit 3", env={"PIGEON_CONFIG": str(file)})
    assert window.wait().code == 3
    assert (b"\x1b]9;pigeon: sleep 0.7; exit 3 has ended with 3 (" in window.raw) == rings
    assert b"\x07" not in warm.run("sleep 0.7", env={"PIGEON_CONFIG": str(file)}).stderr
