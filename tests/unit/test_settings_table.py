"""The table of settings is the one place that knows them: flags, help and types elsewhere say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pigeon import cli_arguments, config, help, settings
from pigeon.commands import arguments
from pigeon.settings import TABLE, Setting

TYPES = {
    settings.TEXT: "str",
    settings.PATH: "str",
    settings.NAME: "str",
    settings.CHOICE: "str",
    settings.CHARACTER: "str",
    settings.SWITCH: "bool",
    settings.COUNT: "int",
    settings.BYTES: "int",
    settings.SECONDS: "float",
    settings.WORDS: "list[str]",
    settings.LIST: "list[str]",
}
NEVER_NONE = {"namespace", "user"}
"""Those without a default of their own that always get one."""


def annotated() -> dict[str, str]:
    """Key -> type, as config.py promises them to its users."""
    tree = ast.parse(Path(config.__file__).read_bytes())
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            table = node.name.removesuffix("Section").lower() if node.name != "Config" else ""
            for one in node.body:
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                    key = f"{table}.{one.target.id}" if table else one.target.id
                    found[key] = ast.unparse(one.annotation)
    return found


def test_what_is_annotated_is_what_the_table_has() -> None:
    beside = {*settings.TABLES, settings.REMOTE_ENV, "notes", "files", "warnings"}
    found = {k: t for k, t in annotated().items() if k not in beside and not k.startswith("_")}
    wanted = {
        s.key: TYPES[s.kind] + (" | None" if s.default is None and s.key not in NEVER_NONE else "")
        for s in TABLE
    }
    assert found == wanted


def parser_of(*keys: str) -> arguments.Parser:
    parser = arguments.Parser(prog="pigeon x")
    arguments.add_settings(parser, *keys)
    return parser


def a_value(setting: Setting) -> str:
    if setting.choices:
        return setting.choices[-1]
    kinds = {settings.COUNT: "3", settings.SECONDS: "2", settings.PATH: "/x", settings.CHARACTER: "^X"}
    return kinds.get(setting.kind, "word")


@pytest.mark.parametrize("setting", [s for s in TABLE if s.flag], ids=lambda s: str(s.key))
def test_a_flag_sets_its_key(setting: Setting) -> None:
    words = [setting.flag] if setting.kind == settings.SWITCH else [setting.flag, a_value(setting)]
    given = arguments.flags_of(parser_of(setting.key).parse_args(words), {})
    effective = config.load(given, environ={"HOME": "/nowhere"}, cwd="/")
    assert effective.origin(setting.key) == setting.flag
    assert setting.told in re.sub(r"\s+", " ", parser_of(setting.key).format_help()).replace("- ", "-")


@pytest.mark.parametrize("setting", settings.options(*cli_arguments.COMMON), ids=lambda s: str(s.key))
def test_a_flag_before_the_command_is_told_and_understood(setting: Setting) -> None:
    for flag in filter(None, (setting.flag, setting.letter)):
        assert cli_arguments.parse([flag, "x", "true"]).flags == {setting.key: "x"}
    lines = re.sub(r"\s+", " ", help.usage())
    assert f"{setting.flag} {setting.metavar} {setting.told} " in lines


def test_each_flag_that_takes_a_value_says_what_it_is_called() -> None:
    for setting in TABLE:
        if setting.flag and setting.kind != settings.SWITCH:
            assert bool(setting.metavar) != bool(setting.choices), setting.key


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("worker.max_jobs", "commands that run at a time (4)"),
        ("worker.poll_interval", "longest wait between two looks for new sessions (0.2 s)"),
        ("cache", "the shared directory; required from somewhere (PIGEON_CACHE)"),
        ("worker.debug", "say what happens, with previews of the bytes that move"),
    ],
)
def test_the_help_of_a_key_tells_its_default_or_variable(key: str, told: str) -> None:
    assert settings.BY_KEY[key].told == told


def test_no_module_but_the_table_writes_a_flag_of_a_setting() -> None:
    package = Path(config.__file__).parent
    allowed = {"--cache", "--config"}  # they are named in hints
    flags = {s.flag for s in TABLE if s.flag} - allowed
    systemd = {"unit.py": {"--user"}}  # a switch of systemctl's, and no name
    for path in package.rglob("*.py"):
        if path.name == "settings.py":
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and node.value in flags - systemd.get(path.name, set()):
                raise AssertionError(f"{path}:{node.lineno}: {node.value} is written a second time")


def test_a_key_without_a_default_has_an_example_to_begin_with() -> None:
    for setting in TABLE:
        assert setting.default is not None or setting.example, setting.key
