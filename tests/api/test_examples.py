"""The examples of pigeon/docs/python.md and of the docstrings do what they say."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import re
from pathlib import Path

import pytest

import pigeon
from tests.helpers.pigeon import Pigeon

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("pigeon.api.commands", "pigeon.api.popen", "pigeon.api.aio", "pigeon.api.executor")
FLAGS = doctest.IGNORE_EXCEPTION_DETAIL
NAMES = {"pigeon": pigeon, "asyncio": asyncio}


def docstrings() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name), name, extraglobs=NAMES)
    ]
    return [test for test in found if test.examples]


def run(test: doctest.DocTest) -> None:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=said.append)
    assert runner.tries and not runner.failures, "".join(said)


@pytest.mark.parametrize("test", docstrings(), ids=lambda test: test.name.removeprefix("pigeon.api."))
def test_docstrings(served: Pigeon, test: doctest.DocTest) -> None:
    run(test)


def test_the_page(served: Pigeon) -> None:
    text = (ROOT / "pigeon" / "docs" / "python.md").read_text(encoding="utf-8")
    # Each block keeps its place in the text, so that a failure names the line.
    blocks = re.sub(r"(?ms)^```pycon\n(.*?)^```$", lambda found: "\n" + found[1], text)
    names = {"pigeon": pigeon}
    run(doctest.DocTestParser().get_doctest(blocks, names, "python.md", "pigeon/docs/python.md", 0))


def test_each_name_is_documented_and_loaded_only_when_it_is_used() -> None:
    page = (ROOT / "pigeon" / "docs" / "python.md").read_text(encoding="utf-8")
    for name in pigeon.__all__:
        assert getattr(pigeon, name) is not None
        if name not in ("DEVNULL", "PIPE", "STDOUT", "CalledProcessError", "CompletedProcess"):
            assert name in page, name
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(pigeon, "no_such_name")  # noqa: B009
    assert set(pigeon.__all__) <= set(dir(pigeon))
