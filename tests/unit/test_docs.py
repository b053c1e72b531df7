"""The README and its Chinese version say what the code does: every verb, option, setting and exit code is in both."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from pigeon import cli_arguments, errors, help, settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "pigeon/README.zh-CN.md")
OPTIONS = sorted({*cli_arguments._WITH_VALUE, *cli_arguments._SWITCHES})
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def help_of(*verb: str) -> str:
    """What `pigeon VERB… --help` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "pigeon", *verb, "--help"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_made_from_the_code_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "docs", "--check"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert "<!-- made by tools/docs: help -->" in text_of("README.md")
    assert "<!-- made by tools/docs: settings -->" in text_of("pigeon/docs/settings.md")
    assert "<!-- made by tools/docs: settings_zh -->" in text_of("pigeon/docs/zh-CN/settings.md")


def test_every_option_has_help() -> None:
    explained = {name for name in OPTIONS if re.search(rf"(?m)(^  |, ){name}\b.* \S", help.usage())}
    assert set(OPTIONS) - explained <= {"-h", "--help", "--version"}  # their names say it


@pytest.mark.parametrize("verb", cli_arguments.VERBS)
def test_every_verb_has_help_and_so_has_each_of_its_options(verb: str) -> None:
    assert verb in help.usage(short=True)
    said = help_of(verb)
    # What argparse prints for an option without help is its name alone, with nothing on the line below either.
    bare = re.findall(r"(?m)^  (-\S+(?: [A-Z]\S*)?(?:, -\S+(?: [A-Z]\S*)?)*)$(?!\n {8,}\S)", said)
    assert not bare, f"`pigeon {verb} --help` does not say what these do: {bare}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_verb_is_documented(document: str) -> None:
    missing = [verb for verb in cli_arguments.VERBS if f"pigeon {verb}" not in text_of(document)]
    assert not missing


@pytest.mark.parametrize("document", ["pigeon/docs/settings.md", "pigeon/docs/zh-CN/settings.md"])
def test_every_setting_is_documented(document: str) -> None:
    names = {name for setting in settings.TABLE for name in (setting.key, setting.variable, setting.flag)}
    missing = [name for name in sorted(names) if name not in text_of(document)]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_exit_code_is_documented(document: str) -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    missing = [code for code in sorted(codes) if not re.search(rf"(?<!\d){code}(?!\d)", text_of(document))]
    assert not missing


PAGES = [path.name for path in sorted((ROOT / "pigeon" / "docs").glob("*.md"))]
IN_STEP = [DOCUMENTS, *((f"pigeon/docs/{name}", f"pigeon/docs/zh-CN/{name}") for name in PAGES)]


def test_the_first_screen_is_one() -> None:
    for name, more in zip(DOCUMENTS, ("## Interactive programs", "## 交互式程序"), strict=True):
        first = text_of(name).partition(more)[0]
        assert first.count("\n") <= 60
        assert first.startswith(("English | [简体中文](", "[English](../README.md) | 简体中文"))


@pytest.mark.parametrize("pair", IN_STEP, ids=lambda pair: str(pair[0]))
def test_both_languages_say_the_same(pair: tuple[str, str]) -> None:
    """As far as a test can tell: sections, examples, rows, lists, and whatever stands in backticks."""
    english, chinese = (text_of(name) for name in pair)
    examples = [[COMMENT.sub("", block) for block in FENCE.findall(text)] for text in (english, chinese)]
    assert examples[1] == examples[0]
    english, chinese = (FENCE.sub("", text) for text in (english, chinese))
    for what in (r"(?m)^(#+) ", r"(?m)^(\|)", r"(?m)^(-) ", r"(?m)^(\*\*`)", r"\(https?://[^)]+\)"):
        assert re.findall(what, chinese) == re.findall(what, english), what
    assert code_of(chinese) - code_of(english) <= {"pigeon 命令", 'bash -lc "<文本>"'}
    assert code_of(english) - code_of(chinese) <= {"pigeon COMMAND", 'bash -lc "<text>"'}


COMMENT = re.compile(r"(?m)(?: {2,}|^)#(?! [a-z]+ = |SBATCH|!).*$")


def code_of(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def test_no_translation_is_left_behind() -> None:
    """Of a text that is not there any more."""
    pages = "".join(text_of(f"pigeon/docs/{name}") for name in PAGES)
    texts = tomllib.loads(text_of("tools/made/chinese.toml"))
    assert [cell for cell in texts["cells"] if f"| {cell} |" not in pages] == []
    assert set(texts["help"]) <= {setting.help for setting in settings.TABLE}


@pytest.mark.parametrize(
    "document",
    [
        *DOCUMENTS,
        "pigeon/DESIGN.md",
        "pigeon/SECURITY.md",
        "pigeon/wire/FORMAT.md",
        *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "pigeon" / "docs").rglob("*.md"))),
    ],
)
def test_links_lead_somewhere(document: str) -> None:
    base = (ROOT / document).parent
    for target in re.findall(r"\]\(([^)#\s]+)", text_of(document)):
        if "://" not in target:
            assert (base / target).exists(), f"{document}: {target}"


def test_what_a_change_takes_is_where_it_is_said_to_be() -> None:
    """Each row of CONTRIBUTING.md names a file, and what is found in it."""
    rows = re.findall(r"(?m)^\| `([^`]+)` \| (.+) \|$", text_of("pigeon/CONTRIBUTING.md"))
    assert len(rows) > 20
    for name, what in rows:
        path = ROOT / name
        assert path.is_file(), name
        source = path.read_text(encoding="utf-8")
        for word in re.findall(r"`(\w+)`", what):
            known = word in source or (ROOT / "tests" / "unit" / f"{word}.py").is_file()
            assert known or word == "auto", f"{name} has no `{word}`"


def test_each_test_that_the_threat_model_names_is_there() -> None:
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", text_of("pigeon/SECURITY.md"))
    assert len(named) > 40
    for path, name in named:
        tree = ast.parse((ROOT / path).read_bytes())
        assert any(isinstance(one, ast.FunctionDef) and one.name == name for one in tree.body), (
            f"{path}::{name}"
        )


def test_each_line_of_an_attack_names_a_test() -> None:
    defended = (
        text_of("pigeon/SECURITY.md").partition("## What is defended")[2].partition("## What is not")[0]
    )
    rows = [line for line in defended.splitlines() if line.startswith("| ") and "shown by" not in line]
    rows = [line for line in rows if not set(line) <= set("|- ")]
    assert rows
    for row in rows:
        assert "::test_" in row, row
