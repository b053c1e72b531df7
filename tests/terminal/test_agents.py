"""AI programs look the same through pigeon as plainly: talk, pasted text, `^Z` and `fg`, a kill, detach and attach.

Each scenario runs in a shell, twice plainly and then through pigeon. What differs between the two plain runs, and the
clocks that the program is known to show, is not compared; every other cell is, with colours, attributes and cursor.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.emulator import Cell
from tests.helpers.model_service import answer_to
from tests.helpers.pigeon import Pigeon
from tests.helpers.processes import Word, kill_marked
from tests.helpers.terminal import Terminal
from tests.helpers.waiting import wait_until
from tests.terminal.agents import AGENTS, Agent, Loopback, drawing, installed, write_script
from tests.terminal.modes import modes_on
from tests.terminal.sameness import Picture, Shows, difference, picture

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

SIZE = (100, 30)
STILL_S = 0.7
"""What they load when they start comes in several steps."""
CODE = re.compile(r"code (\d+)\n\$$")
HIDDEN = Cell("", ("", ""), ())
TILDES = "\n".join(["the first line", "~.", "~d", "~~~ a fence", "~~struck~~", "~?", "the last line"])
LONG = "\n".join([*(f"~{n}~ of many lines" for n in range(200)), "the last line"])
PASTE = "\x1b[200~"
PASTE_END = "\x1b[201~"


class Sight(NamedTuple):
    """What was seen at one point of a plain run."""

    keys: str
    picture: Picture


class Run:
    """One run of a scenario: plainly, where it notes what it sees, or through pigeon, where it compares."""

    def __init__(
        self, pigeon: Pigeon, agent: Agent, program: Path, net: Loopback, wanted: list[Sight] | None
    ) -> None:
        self.pigeon, self.agent, self.net = pigeon, agent, net
        self.is_plain = wanted is None
        self.sights: list[Sight] = []
        self._wanted = wanted or []
        self._last_keys = ""
        self.place = pigeon.base / "dirs" / agent.name
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        agent.prepare(pigeon.home, self.place)
        net.begin()
        words: list[Word] = [str(program)]
        write_script(self.place, words if self.is_plain else pigeon.command(*words))
        self.window = self._shell()

    def _shell(self) -> Terminal:
        before = self.net.enter if self.is_plain else ()
        words = [*before, "bash", "--norc", "--noediting", "-i"]
        env = {"PS1": "$ ", "PWD": str(self.place), **self.agent.env}
        window = self.pigeon.spawn_plain(*words, cwd=self.place, size=SIZE, env=env)
        window.wait_for("$")
        return window

    def type(self, keys: str) -> None:
        """Keys, all at once."""
        self._last_keys = keys
        self.window.type(keys)

    def see(self, shows: Shows) -> None:
        """Wait for it; the screen is then as it is plainly."""
        self.window.wait_for(shows, 60)
        if self.is_plain:
            self.window.wait_still(STILL_S)
            self.sights.append(Sight(self._last_keys, self._picture()))
            return
        wanted = self._wanted[len(self.sights)]
        self.sights.append(wanted)

        def same() -> bool:
            self.window.pump(0.02)
            now = masked(self._picture(), wanted.picture)
            return now == masked(wanted.picture, now)

        def describe() -> str:
            now = masked(self._picture(), wanted.picture)
            told = difference(now, masked(wanted.picture, now))
            return f"the same after {wanted.keys!r}\n{told}\n{self.window.tell()}"

        wait_until(same, 30, describe, interval_s=0.0)

    def _picture(self) -> Picture:
        now = picture(self.window)
        return Picture([hide(row, self.agent.hidden) for row in now.cells], now.cursor)

    def ask(self, prompt: str, *, is_slow: bool = False) -> None:
        """Type a prompt, and Enter once it is there: together they would be a paste. `is_slow`: half the answer."""
        self.type(prompt)
        self.see(prompt)
        self.type("\r")
        if is_slow:
            self.window.wait_for(lambda text: "1. the line" in text.rpartition(prompt)[2], 60)
        else:
            self.see_answer(prompt)

    def start(self) -> None:
        """Until it can be typed to."""
        self.type("./run\r")
        self.see(self.is_at_rest)

    def is_at_rest(self, text: str) -> bool:
        """It waits for a prompt."""
        return bool(re.search(self.agent.ready, text))

    def see_answer(self, prompt: str) -> None:
        """The stand-in has read the prompt, whole, and the program has shown all that it says to it."""
        said = answer_to(prompt).splitlines()[-1]
        self.see(lambda text: said in text and self.is_at_rest(text))

    def leave(self) -> None:
        """End it by its keys; it and the terminal end alike."""
        self.type("\x03")
        if self.agent.leave:
            self.window.wait_for(self.agent.leave)  # it does so for less than a second
            self.type("\x03")
        self.see(prompted)
        self.type("echo code $?\r")
        self.see(lambda text: CODE.search(text))
        self.close()

    def close(self) -> None:
        """End the shell, which has the terminal as it was."""
        assert self.window.settings() == self.window.settings_before
        self.window.type("exit\r")
        self.window.wait(20)

    def come_back(self) -> None:
        """Detach, and attach in another window; plainly nothing."""
        if self.is_plain:
            return
        session = self.pigeon.sessions()[-1]
        self.window.type("~d")
        self.window.wait_for(f"pigeon attach {session.id}")
        self.window.wait_for(prompted)
        assert modes_on(self.window.raw) == {}
        self.close()
        session.wait_state("running")
        write_script(self.place, self.pigeon.command("attach", session.id))
        self.window = self._shell()
        self.window.type("./run\r")
        session.wait_event("attached")


def prompted(text: str) -> bool:
    return text.endswith("$")


def hide(row: list[Cell], patterns: tuple[str, ...]) -> list[Cell]:
    """The row without what is never the same twice, and without the colour of what is not there: a blank's."""
    text = "".join(cell.text[:1] or " " for cell in row)
    row = [blank(cell) for cell in row]
    for pattern in patterns:
        for found in re.finditer(pattern, text):
            row[found.start() : found.end()] = [HIDDEN] * (found.end() - found.start())
    return row


def blank(cell: Cell) -> Cell:
    """Of a blank nobody sees more than the background, unless it is reversed or has a line."""
    _, _, underlined, struck, reverse = cell.attributes
    if cell.text != " " or underlined or struck or reverse:
        return cell
    return Cell(" ", ("default", cell.colours[1]), (False,) * 5)


def masked(now: Picture, wanted: Picture) -> Picture:
    """`now` without the cells that are hidden in `wanted`."""
    rows = zip(now.cells, wanted.cells, strict=True)
    cells = [[HIDDEN if b == HIDDEN else a for a, b in zip(*row, strict=True)] for row in rows]
    return Picture(cells, now.cursor)


def common(first: Sight, second: Sight) -> Sight:
    """What two plain runs have in common; that must be nearly all."""
    assert first.picture.cursor == second.picture.cursor, (first.keys, first.picture, second.picture)
    rows = zip(first.picture.cells, second.picture.cells, strict=True)
    cells = [[a if a == b else HIDDEN for a, b in zip(*row, strict=True)] for row in rows]
    both = Picture(cells, first.picture.cursor)
    hidden = sum(cell == HIDDEN for row in cells for cell in row)
    assert hidden < SIZE[0] * 4, f"{hidden} cells differ\n{difference(second.picture, first.picture)}"
    return Sight(first.keys, both)


Scenario = Callable[[Run], None]


class Bench:
    """What the scenarios of one program run on."""

    def __init__(self, pigeon: Pigeon, agent: Agent, net: Loopback) -> None:
        self.pigeon, self.agent, self.net = pigeon, agent, net
        self.program = installed(agent)

    def compare(self, scenario: Scenario) -> tuple[Run, Run]:
        """Twice plainly, once through pigeon. Raises AssertionError for the first difference."""
        first, second = self.run(scenario), self.run(scenario)
        wanted = [common(*pair) for pair in zip(first.sights, second.sights, strict=True)]
        run = self.run(scenario, wanted)
        assert len(run.sights) == len(wanted)
        return second, run

    def run(self, scenario: Scenario, wanted: list[Sight] | None = None) -> Run:
        """One run; nothing of it is left."""
        run = Run(self.pigeon, self.agent, self.program, self.net, wanted)
        scenario(run)
        self.pigeon.wait_quiet()
        return run


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    made = Loopback(tmp_path_factory.mktemp("service"))
    yield made
    made.close()


@pytest.fixture
def bench(pigeon: Pigeon, net: Loopback, agent: Agent) -> Bench:
    pigeon.worker(prefix=net.enter)
    return Bench(pigeon, agent, net)


agents = pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)


@agents
def test_talk(bench: Bench) -> None:
    """What it says at once, more than a screen, and in two halves; a tilde at the start of a line."""

    def scenario(run: Run) -> None:
        run.start()
        run.ask("hello there")
        run.ask("list 60")
        run.ask("~/notes and ~d")
        run.ask("list 5 slowly", is_slow=True)
        run.net.let_go()
        run.see_answer("list 5 slowly")
        run.leave()

    plain, through = bench.compare(scenario)
    assert modes_on(through.window.raw) == modes_on(plain.window.raw)


@agents
@pytest.mark.parametrize("text", [TILDES, LONG], ids=["tildes", "long"])
def test_pasted_text(bench: Bench, text: str) -> None:
    """It arrives as it is, with what would be pigeon's escapes if it were typed."""

    def scenario(run: Run) -> None:
        run.start()
        run.type(PASTE + text.replace("\n", "\r") + PASTE_END)
        run.see(lambda screen: "the last line" in screen or "[Pasted" in screen)
        run.type("\r")
        run.see_answer(text)
        assert text in run.net.prompts()
        run.leave()

    bench.compare(scenario)


@agents
def test_stopped_and_continued(bench: Bench) -> None:
    """`^Z` gives the shell, `fg` the program: at rest, and while it answers."""

    def scenario(run: Run) -> None:
        def stop_and_go_on() -> None:
            run.type("\x1a")
            run.see(lambda text: "Stopped" in text and prompted(text))
            assert run.window.settings() == run.window.settings_before
            run.net.let_go()
            run.type("fg\r")

        run.start()
        run.ask("hello there")
        stop_and_go_on()
        run.see(lambda text: run.is_at_rest(text) and not prompted(text))
        run.ask("and now")
        run.net.begin()
        run.ask("list 5 slowly", is_slow=True)
        stop_and_go_on()
        run.see_answer("list 5 slowly")
        run.leave()

    plain, through = bench.compare(scenario)
    assert modes_on(through.window.raw) == modes_on(plain.window.raw)


@agents
def test_killed(bench: Bench) -> None:
    """SIGKILL while it answers: the shell is told the same; the terminal, which plainly stays as it was, is clean."""

    def scenario(run: Run) -> None:
        run.start()
        run.ask("list 5 slowly", is_slow=True)
        kill_marked(bench.pigeon.mark, [drawing(bench.pigeon.mark, bench.agent)])
        run.window.wait_true(lambda: run.window.raw.endswith(b"$ "))
        run.window.type("echo code $?\r")
        run.window.wait_true(lambda: run.window.raw.endswith(b"\r\ncode 137\r\n$ "))
        run.close()

    plain, through = bench.compare(scenario)
    assert modes_on(plain.window.raw) != {}
    assert modes_on(through.window.raw) == {}


@agents
def test_detached_and_attached(bench: Bench) -> None:
    """While it answers: whoever comes back sees what he would see who had stayed."""

    def scenario(run: Run) -> None:
        run.start()
        run.ask("hello there")
        run.ask("list 40 slowly", is_slow=True)
        run.come_back()
        run.net.let_go()
        run.see_answer("list 40 slowly")
        run.ask("and now")
        run.come_back()
        run.see_answer("and now")
        run.leave()

    plain, through = bench.compare(scenario)
    assert modes_on(through.window.raw) == modes_on(plain.window.raw)
