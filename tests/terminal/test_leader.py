"""Who stands above a command is killed or stopped: nothing of it is left beside the next one, and its end is told."""

from __future__ import annotations

import os
import signal

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import children_of, marked, name_of
from tests.helpers.share import Session
from tests.helpers.surroundings import PIGEON
from tests.helpers.verbs import runner_of
from tests.helpers.waiting import wait_until
from tests.terminal.test_job_control import leave, prompted, shell

DEAF = "trap '' HUP INT TERM; echo rea''dy; while sleep 0.1; do :; done"
"""A command that ends by SIGKILL only."""

WRAPPER = ["sh", "-c", '"$@"; exit $?', "sh"]
"""One that stays above the command."""


def leader_of(pigeon: Pigeon, session: Session) -> int:
    (pid,) = children_of(runner_of(pigeon, session))
    return pid


def left_of(pigeon: Pigeon) -> list[str]:
    """Processes of the command."""
    return [
        line
        for line in marked(pigeon.mark).values()
        if line.startswith(("bash -lc", "/bin/bash -lc", "sh -c", "sleep 0.1"))
    ]


@pytest.mark.parametrize("wrap", [[], WRAPPER], ids=["plain", "wrapped"])
@pytest.mark.parametrize("how", ["", "</dev/null"], ids=["terminal", "beside-pipes"])
def test_a_killed_leader_leaves_nothing(pigeon: Pigeon, wrap: list[str], how: str) -> None:
    pigeon.worker(wrap=wrap)
    window = shell(pigeon, pigeon.work)
    known = pigeon.namespace.session_names()
    window.type(f'{PIGEON} "{DEAF}" {how}; echo en""ded-$?; read -r x\r')
    session = pigeon.wait_session(known)
    window.wait_for("ready")
    leader = leader_of(pigeon, session)
    assert name_of(leader) == "pigeon leader"
    assert left_of(pigeon)
    os.kill(leader, signal.SIGKILL)
    assert session.wait_final(20)["exit_code"] == 137
    assert left_of(pigeon) == []
    window.wait_for("ended-137")
    window.type("\r")
    window.wait_for(prompted)
    leave(window)


def test_a_killed_wrapper_leaves_nothing(pigeon: Pigeon) -> None:
    pigeon.worker(wrap=WRAPPER)
    client, session = pigeon.begin(DEAF)
    wait_until(lambda: client.out == b"ready\n", 20, "the command")
    os.kill(leader_of(pigeon, session), signal.SIGKILL)
    assert client.wait(20).code == 137
    assert left_of(pigeon) == []


def test_the_end_is_told_though_the_leader_is_stopped(warm: Pigeon) -> None:
    place = warm.directory("stopped leader")
    known = warm.namespace.session_names()
    window = warm.spawn_tty("echo rea''dy; until [ -e go ]; do sleep 0.02; done; exit 7", cwd=place)
    session = warm.wait_session(known)
    window.wait_for("ready")
    os.kill(leader_of(warm, session), signal.SIGSTOP)
    (place / "go").touch()
    assert window.wait(30).code == 7
