"""The page of `pigeon history --html` in a real browser: what it draws, what a click tells, and that it asks nobody."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon.journal.store import Journal
from tests.helpers.book import Book, at
from tests.helpers.browser import PROGRAM, Browser, browser_in

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium here")
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> \x1b[31m \udcff"


class Day:
    """A journal of a stuck day, and the page of it."""

    def __init__(self, base: Path) -> None:
        self.book = book = Book(base)
        hour = 3600.0
        self.holder = book.add(
            "python train.py",
            cwd="/proj",
            seen_at=at(5 * hour),
            started_at=at(5 * hour),
            ended_at=at(3 * hour),
            run_s=2 * hour,
            bytes_out_pty=5 << 20,
            requester_user="ann",
        )
        self.waiter = book.add(
            "git pull",
            cwd="/proj",
            seen_at=at(4 * hour),
            started_at=at(3 * hour),
            ended_at=at(3 * hour - 30),
            run_s=30.0,
            lock_wait_s=hour,
            outcome="failed",
            exit_code=128,
            return_code=128,
        )
        self.evil = book.add(
            EVIL, cwd="/evil/<b>\udcff", seen_at=at(hour), started_at=at(hour), ended_at=at(hour - 9)
        )
        self.open = book.add("sleep 9999", "running", cwd="/open", seen_at=at(600), started_at=at(600))
        book.add("exec pigeon history -n20", cwd="/", lock_mode="none", terminal=0)
        with Journal.open(str(book.path)) as journal:
            journal.begin_wait(self.waiter, "w", "directory", self.holder, at(4 * hour))
            journal.end_wait(self.waiter, "w", "directory", hour)
            journal.event(self.waiter, "said", text="<i>hello")
        self.path = base / "day.html"
        result = book.run("--html", str(self.path))
        assert (result.code, result.stdout) == (0, b""), result.words
        self.address = self.path.as_uri()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    return Day(tmp_path_factory.mktemp("day"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser_in(tmp_path_factory.mktemp("profile")) as made:
        yield made


def text(browser: Browser, selector: str) -> str:
    """What a reader sees of the first element that fits; a blank that does not break is a blank."""
    shown = str(browser.value(f"document.querySelector({json.dumps(selector)}).innerText"))
    return shown.replace("\xa0", " ")


def number(browser: Browser, selector: str) -> int:
    """How many elements fit."""
    return int(browser.value(f"document.querySelectorAll({json.dumps(selector)}).length"))


def bars(browser: Browser) -> set[str]:
    return set(browser.value("[...document.querySelectorAll('.bar')].map((bar) => bar.dataset.id)"))


# -- the file --------------------------------------------------------------------------------------------


def test_the_file_is_one_private_page_that_names_no_address(day: Day) -> None:
    assert day.path.stat().st_mode & 0o777 == 0o600
    page = day.path.read_text(encoding="utf-8")
    assert sorted(os.listdir(day.path.parent)) == sorted({"day.html", *os.listdir(day.path.parent)})
    assert not re.findall(
        r"(?:src|href)=|@import|url\((?!#)", page.replace(json.dumps(EVIL)[1:-1], "").split('id="data"')[0]
    )
    assert page.count("</script>") == 2


def test_it_goes_to_stdout_and_a_failure_leaves_no_file(day: Day, tmp_path: Path) -> None:
    shown = day.book.run("--html", "-")
    assert shown.stdout.startswith(b"<!doctype html>")
    place = tmp_path / "no such place" / "day.html"
    failed = day.book.run("--html", str(place))
    assert failed.code == 255
    assert "cannot be written" in failed.words
    unknown = tmp_path / "kept.html"
    unknown.write_text("before")
    assert day.book.run("--html", str(unknown), "--journal", "/no/journal").code == 255
    assert unknown.read_text() == "before"
    assert os.listdir(tmp_path) == ["kept.html"]


# -- in the browser --------------------------------------------------------------------------------------


@needs_browser
def test_it_draws_a_lane_for_each_directory_and_asks_nobody(day: Day, browser: Browser) -> None:
    browser.asked.clear()
    browser.show(day.address)
    assert browser.errors == []
    assert [address for address in browser.asked if address != "about:blank"] == [day.address]
    lanes = browser.value("[...document.querySelectorAll('.lane[data-dir]')].map((lane) => lane.dataset.dir)")
    assert set(lanes) == {"/proj", "/evil/<b>\\xff", "/open"}
    assert lanes[0] == "/proj", "the lane with most waiting comes first"
    assert bars(browser) == {day.holder, day.waiter, day.evil, day.open}
    assert number(browser, f".bar[data-id='{day.waiter}'] .wait") == 1
    assert number(browser, ".tie") == 1
    assert number(browser, ".bar.failed") == 1
    assert number(browser, "#overview .area.running") > 10
    assert number(browser, "#overview .bytes.out") > 10
    assert "1 h 00 min" in text(browser, "#findings")
    assert "python train.py" in text(browser, "#blockers")
    assert "exit 128" in text(browser, "#failures")


@needs_browser
def test_nothing_of_a_command_acts_in_the_page(day: Day, browser: Browser) -> None:
    browser.show(day.address)
    assert str(browser.value("document.title")).startswith("What ran on ")
    assert number(browser, "img, main script, main b > b") == 0
    browser.show(f"{day.address}#session={day.evil}")
    assert "</script><script>" in text(browser, "#story pre")
    assert "\\x1b[31m" in text(browser, "#story pre")


@needs_browser
def test_a_click_tells_a_story_and_its_links_lead_on(day: Day, browser: Browser) -> None:
    browser.show(day.address)
    assert browser.value("document.getElementById('story').hidden")
    browser.click(f".bar[data-id='{day.waiter}'] .run")
    story = text(browser, "#story")
    for part in ("git pull", "exit 128", "1 h 00 min for the directory", "<i>hello", day.waiter):
        assert part in story, story
    assert day.waiter in str(browser.value("location.hash"))
    browser.click("#story .link")
    assert "python train.py" in text(browser, "#story pre")
    assert "Held up" in text(browser, "#story")
    browser.press("Escape")
    assert browser.value("document.getElementById('story').hidden")


@needs_browser
def test_filters_leave_what_fits(day: Day, browser: Browser) -> None:
    browser.show(day.address)
    browser.click(".chip[data-kind=ok]")
    assert bars(browser) == {day.waiter, day.open}
    browser.click("#reset")
    assert len(bars(browser)) == 4
    browser.value(
        "(() => { const e = document.getElementById('text'); e.value = 'TRAIN';"
        " e.dispatchEvent(new Event('input')); })()"
    )
    assert bars(browser) == {day.holder}
    address = str(browser.value("location.href"))
    browser.show(address)
    assert bars(browser) == {day.holder}, "the address keeps what is shown"
    browser.show(f"{day.address}#directory=%2Fopen")
    assert bars(browser) == {day.open}


@needs_browser
def test_dragging_looks_closer(day: Day, browser: Browser) -> None:
    browser.show(day.address)
    browser.drag("#overview", 0.9, 1.0)
    assert bars(browser) == {day.open}
    browser.click("#reset")
    assert len(bars(browser)) == 4


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 900, 1920])
def test_it_fits_each_width_in_both_schemes(day: Day, browser: Browser, width: int, scheme: str) -> None:
    browser.show(f"{day.address}#session={day.waiter}", width=width, scheme=scheme)
    assert browser.value("document.documentElement.scrollWidth") <= width, "the page must not scroll sideways"
    story = browser.value(
        "(() => { const r = document.getElementById('story').getBoundingClientRect();"
        " return [r.left, r.right, r.width]; })()"
    )
    assert story[0] >= 0
    assert story[1] <= width
    for colour, ground in browser.value(
        "['#title', '#subtitle', '.lane small', '#story dd', '#story dt', 'td']"
        ".map((s) => { const e = document.querySelector(s); let g = e; while"
        " (getComputedStyle(g).backgroundColor === 'rgba(0, 0, 0, 0)') g = g.parentElement;"
        " return [getComputedStyle(e).color, getComputedStyle(g).backgroundColor]; })"
    ):
        assert contrast(colour, ground) >= 4.5, (colour, ground)
    ground = str(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert (contrast(ground, "rgb(255, 255, 255)") < 1.5) == (scheme == "light"), ground
    assert len(browser.picture()) > 10_000


def contrast(one: str, other: str) -> float:
    """The contrast of two CSS colours: WCAG 2.1, "contrast ratio"."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@needs_browser
def test_a_journal_without_sessions_and_a_storm_are_drawn(browser: Browser, tmp_path: Path) -> None:
    book = Book(tmp_path)
    Journal.open(str(book.path)).close()
    page = tmp_path / "page.html"
    assert book.run("--html", str(page)).code == 0
    browser.show(page.as_uri())
    assert "Nothing matches" in text(browser, "#lanes")
    with Journal.open(str(book.path)) as journal:
        for n in range(3000):
            begin = at(3000 - n)
            row = {
                "claim_token": f"{n:032x}",
                "session_id": f"{1700000000000 + n}-{n:012x}",
                "cwd": f"/d{n % 7}",
            }
            journal.begin_claim({**row, "command": ["bash", "-lc", f"true {n}"], "seen_at": begin})
            journal.advance(
                row["claim_token"],
                1,
                to="final",
                outcome="succeeded",
                exit_code=0,
                return_code=0,
                started_at=begin,
                ended_at=begin + 0.02,
                run_s=0.02,
            )
    assert book.run("--html", str(page), "-n", "2500").code == 0
    browser.show(page.as_uri())
    assert browser.errors == []
    assert "2500 commands in 7 directories" in text(browser, "#subtitle")
    assert "500 older ones are left out" in text(browser, "#foot")
    assert number(browser, "#table tbody tr") == 100
    took = browser.value(
        "(() => { const begin = performance.now(); draw(); return performance.now() - begin; })()"
    )
    assert took < 3000, f"drawing takes {took} ms"
