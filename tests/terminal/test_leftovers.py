"""What a command leaves running keeps no session open, and has the fate that a closed terminal gives it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import kill_marked, marked
from tests.helpers.waiting import wait_until

NUMBER = 86_399
"""Seconds that no other sleep(1) sleeps."""

ITSELF = r"until tr '\0' ' ' < /proc/$!/cmdline | grep -q ^sleep; do sleep 0.01; done;"
"""Until the process in the background has become what it is to be."""


def sleepers(pigeon: Pigeon) -> list[int]:
    """The processes that were left."""
    return [pid for pid, line in marked(pigeon.mark).items() if str(NUMBER) in line and "pigeon" not in line]


@pytest.fixture(autouse=True)
def _nothing_stays(warm: Pigeon) -> Iterator[None]:
    yield
    kill_marked(warm.mark, sleepers(warm))


@pytest.mark.parametrize(
    "text",
    [
        f"nohup sleep {NUMBER} > /dev/null 2>&1 &",
        f"nohup sleep {NUMBER} &",  # nohup.out is its output; its input it keeps
        f"setsid sleep {NUMBER} &",
        f"(trap '' HUP; exec sleep {NUMBER}) &",
    ],
)
def test_what_lives_on(warm: Pigeon, text: str) -> None:
    window = warm.spawn_tty(f"{text} {ITSELF} exit 4")
    assert window.wait(15).code == 4
    warm.sessions()[-1].wait_final(15)
    wait_until(lambda: sleepers(warm), 10, "the process that lives on")
    kill_marked(warm.mark, sleepers(warm))
    warm.wait_quiet()


def test_what_ends_with_its_terminal(warm: Pigeon) -> None:
    window = warm.spawn_tty(f"sleep {NUMBER} & exit 4")
    assert window.wait(15).code == 4
    wait_until(lambda: not sleepers(warm), 10, "the end of the background process")


def test_one_that_goes_on_writing(warm: Pigeon) -> None:
    """Output that does not become quiet is read for some seconds after the command's end, and no longer."""
    loop = f"(trap '' HUP; while :; do echo again; : {NUMBER} > mark; sleep 0.01; done) &"
    text = f"{loop} until [ -e mark ]; do sleep 0.01; done; exit 3"
    window = warm.spawn_tty(text, cwd=warm.directory("writing"))
    assert window.wait(25).code == 3
    assert "again" in window.text()
    warm.sessions()[-1].wait_final(15)
    left = [pid for pid, line in warm.commands_left().items() if "bash" in line or "sleep" in line]
    kill_marked(warm.mark, left)
    warm.wait_quiet()


def test_pipes_that_are_held_open(warm: Pigeon) -> None:
    result = warm.run(f"nohup sleep {NUMBER} & echo done; exit 5", timeout_s=20)
    assert (result.stdout, result.code) == (b"done\n", 5)
    wait_until(lambda: sleepers(warm), 10, "the process that lives on")
