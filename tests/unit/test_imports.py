"""The directions in which pigeon's modules may import one another, and what a client must never load.

The first half parses the sources, so an import inside a function or under TYPE_CHECKING counts too. The second half
asks real processes what they have loaded.
"""

from __future__ import annotations

import ast
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pigeon import startup
from pigeon.cli_arguments import VERBS
from tests.helpers.pigeon import Pigeon

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pigeon"

# Modules that stand at the top of the package, and the layer that each belongs to. One that is new there must be
# given a place before this test passes.
TOP = {
    "pigeon": "base",
    "pigeon.errors": "base",
    "pigeon.backoff": "base",
    "pigeon.clock": "base",
    "pigeon.durations": "base",
    "pigeon.crash": "base",
    "pigeon.help": "commandline",
    "pigeon.guess": "base",
    "pigeon.inside": "base",
    "pigeon.procfs": "base",
    "pigeon.mountinfo": "base",
    "pigeon.printing": "base",
    "pigeon.startup": "base",
    "pigeon.trace": "base",
    "pigeon.trust": "base",
    "pigeon.settings": "base",
    "pigeon.config": "config",
    "pigeon.config_file": "config",
    "pigeon.config_trust": "config",
    "pigeon.env_rules": "config",
    "pigeon.toml_memory": "config",
    "pigeon.text": "base",
    "pigeon.commandline": "commandline",
    "pigeon.cli_arguments": "commandline",
    "pigeon.cli": "cli",
    "pigeon.__main__": "main",
}
FOLDERS = ("api", "wire", "client", "journal", "worker", "report", "net", "commands")

MAY_IMPORT = {
    "base": {"base"},
    "api": {"base"},  # it runs the executable and is imported by programs: neither client nor worker
    "wire": {"base"},
    "config": {"base", "wire"},
    "commandline": {"base"},
    "client": {"base", "wire", "config", "commandline"},
    "journal": {"base"},
    "worker": {"base", "wire", "config", "journal"},
    "net": {"base", "journal"},
    "report": {"base", "wire", "config", "commandline", "client", "journal", "worker"},
    "commands": {"base", "wire", "config", "commandline", "client", "journal", "worker", "report", "net"},
    "cli": {"base", "wire", "config", "commandline", "client", "commands", "report"},
    "main": {"cli"},
}
# Rooms within a layer, by the process that their code runs in, and all that a room may import beside itself: layers,
# rooms, and single modules of its own layer. So the guardian, which owns the terminal, provably knows no share.
ROOMS: dict[str, set[str]] = {
    "pigeon.client.terminal": {
        "base",
        "pigeon.client.frames",
        "pigeon.client.signals",
        "pigeon.client.tty",
    },
    "pigeon.client.session": {
        "base",
        "wire",
        "pigeon.client.driven",
        "pigeon.client.frames",
        "pigeon.client.outcome",
        "pigeon.client.signals",
        "pigeon.client.tty",
    },
    # Neither end of a lent network touches the share; only the far end writes to the journal.
    "pigeon.net.near": {"base", "net"},
    "pigeon.net.catch": {"base", "net"},
    "pigeon.net.far": {"base", "journal", "net"},
    # What the worker's rooms share stands below them and knows none of them, and a relay knows no runner.
    "pigeon.worker": {"base", "wire", "journal"},
    "pigeon.worker.relay": {"base", "wire", "pigeon.worker"},
    "pigeon.worker.runner": {"base", "wire", "config", "journal", "pigeon.worker", "pigeon.worker.relay"},
    # It ends what it has to refuse as a runner does, and takes a runner's place in the journal.
    "pigeon.worker.engine": {"base", "wire", "journal", "pigeon.worker", "pigeon.worker.runner"},
    "pigeon.worker.recovery": {"base", "wire", "journal", "pigeon.worker"},
    "pigeon.worker.scheduler": {"base", "wire", "journal", "pigeon.worker", "pigeon.worker.recovery"},
}
# What `import pigeon` offers programs is loaded when they ask for it.
FRONT = {"pigeon": "api"}
# What a single module may import besides: the scheduler starts runners here, and knows them nowhere else.
DOORS: dict[str, set[str]] = {
    "pigeon.worker.scheduler.forks": {"pigeon.worker.runner", "pigeon.worker.engine"},
    # What the processes at launched sessions say is theirs to write, and the scheduler's to read.
    "pigeon.worker.scheduler.runners": {"pigeon.worker.engine"},
}
# In commands/, and no verbs: what they share, the command that is none of pigeon's, and what `worker --print-unit` and
# pigeon's own questions to itself are.
NO_VERBS = {"arguments", "itself", "run", "unit"}
# In report/, and all the same not silent: it draws a screen of its own until it is left.
DRAWS = {"pigeon.report.screen"}
# Where a package, or a module of the standard library that has one owner, may be imported.
OWNERS = {
    "tomli": ("config",),
    "sqlite_utils": ("journal",),
    "ptyprocess": ("pigeon.worker.relay.spawn",),
    "filelock": ("pigeon.worker.locks.flock", "pigeon.worker.locks.strict"),
    "time": ("pigeon.clock",),
    "cloudpickle": ("pigeon.api.pickling",),  # no dependency: used where programs have it
}
# None of these may be loaded by a client: together they cost several times what a whole command takes.
HEAVY = {"sqlite3", "sqlite_utils", "filelock", "ptyprocess", "click"}
# Each costs 5 to 15 ms, of the 15 that a command may take; without a configuration file no client needs one.
SLOW = set(
    "argparse asyncio base64 dataclasses json logging pathlib random re secrets shlex shutil socket subprocess"
    " tempfile threading tomli tomllib typing uuid".split()
)
LAUNCHER = ROOT / "tools" / "launcher" / "pigeon"


def layer_of(module: str) -> str:
    """The layer of one of pigeon's modules."""
    parts = module.split(".")
    if len(parts) > 1 and parts[1] in FOLDERS:
        return parts[1]
    found = TOP.get(module) or TOP.get(".".join(parts[:2]))
    assert found is not None, f"`{module}` has no place in the layers; give it one in TOP or in a folder"
    return found


def modules() -> dict[str, ast.Module]:
    """Every module of the package with its syntax tree."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_bytes(), str(path))
    return found


MODULES = modules()


def imports_of(module: str) -> Iterator[tuple[str, int]]:
    """Each module that `module` imports, with its line; `from pigeon import clock` names `pigeon.clock`."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import hides which layer it reaches"
            source = node.module or ""
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield (whole if whole in MODULES else source), node.lineno


def runs_at_import(module: str) -> Iterator[tuple[str, int]]:
    """The imports of `module` that loading it carries out."""
    inside = {
        id(node)
        for outer in ast.walk(MODULES[module])
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for node in ast.walk(outer)
    }
    lines = {
        node.lineno
        for node in ast.walk(MODULES[module])
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in inside
    }
    return ((name, line) for name, line in imports_of(module) if line in lines)


LAYERS = sorted({layer_of(module) for module in MODULES})


def members_of(layer: str) -> list[str]:
    """The modules of a layer."""
    return [module for module in MODULES if layer_of(module) == layer]


def room_of(module: str) -> str | None:
    """The innermost room that the module is in."""
    found = [room for room in ROOMS if module == room or module.startswith(f"{room}.")]
    return max(found, key=len, default=None)


def of_pigeon(module: str) -> Iterator[tuple[str, int]]:
    """What `module` imports of pigeon, with the line."""
    return ((n, line) for n, line in imports_of(module) if n == "pigeon" or n.startswith("pigeon."))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_from_those_above_it(layer: str) -> None:
    wrong = [
        f"{module}:{line}: `{layer}` imports `{name}`"
        for module in members_of(layer)
        for name, line in of_pigeon(module)
        if layer_of(name) not in {layer, FRONT.get(module), *MAY_IMPORT[layer]}
    ]
    assert not wrong


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_what_its_process_may_know(room: str) -> None:
    members = [module for module in MODULES if room_of(module) == room]
    assert members
    wrong = []
    for module in members:
        known = {room, *ROOMS[room], *DOORS.get(module, ())}
        for name, line in of_pigeon(module):
            if not {name, layer_of(name), room_of(name)} & known:
                wrong.append(f"{module}:{line}: `{room}` imports `{name}`")
    assert not wrong


def test_the_doors_are_used() -> None:
    for module, rooms in DOORS.items():
        assert {room_of(name) for name, _ in of_pigeon(module)} >= rooms


def test_a_module_of_commands_is_a_verb() -> None:
    found = {module.split(".")[2] for module in members_of("commands") if module.count(".") > 1}
    assert found - NO_VERBS == set(VERBS)


def test_a_report_prints_nothing() -> None:
    for module in set(members_of("report")) - DRAWS:
        for node in ast.walk(MODULES[module]):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            speaks = ("print", "os.write", "os.writev", "sys.stdout.write", "sys.stderr.write")
            assert called not in speaks, f"{module}:{getattr(node, 'lineno', 0)}: {called}"


@pytest.mark.parametrize("layer", LAYERS)
def test_what_has_one_owner_is_imported_only_there(layer: str) -> None:
    for module in members_of(layer):
        for name, line in imports_of(module):
            top = name.split(".")[0]
            if top in OWNERS:
                owned = layer in OWNERS[top] or module in OWNERS[top]
                assert owned, f"{module}:{line}: `{top}` belongs to {' and '.join(OWNERS[top])}"
            else:
                known = top == "pigeon" or top in sys.stdlib_module_names
                assert known, f"{module}:{line}: `{top}` is no package that pigeon depends on"


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer not in ("cli", "main")])
def test_only_the_command_line_ends_the_process(layer: str) -> None:
    for module in members_of(layer):
        for node in ast.walk(MODULES[module]):
            named = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
            assert named not in ("sys.exit", "SystemExit", "exit", "quit"), (
                f"{module}:{getattr(node, 'lineno', 0)}"
            )


def test_a_verb_is_imported_when_it_is_called() -> None:
    for name, line in runs_at_import("pigeon.cli"):
        assert not name.startswith("pigeon.commands"), f"pigeon.cli:{line}: loads `{name}` for every command"


def test_the_schema_imports_nothing_of_pigeon() -> None:
    # `sqlite-utils migrate` runs it by itself, with no pigeon installed.
    tree = ast.parse((ROOT / "migrations" / "migrations.py").read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "pigeon" not in ast.unparse(node)


def imports_in(report: str) -> tuple[set[str], str]:
    """What `-X importtime` reported, in forked processes too, and what else stands in that stderr."""
    lines = report.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    return loaded, "\n".join(line for line in lines if not line.startswith("import time:"))


def loaded_by(directory: Path, *words: str | Path, **variables: str) -> tuple[int, set[str], str]:
    """Run Python with these words in a process of its own: exit code, every module loaded, the rest of stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONPATH": str(ROOT), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, *imports_in(done.stderr)


def assert_light(loaded: set[str]) -> None:
    assert "pigeon.cli" in loaded
    heavy = {name for name in loaded if name.split(".")[0] in HEAVY or name.startswith("pigeon.worker")}
    assert not heavy, f"loaded by a client: {sorted(heavy)}"


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(word: str, tmp_path: Path) -> None:
    code, loaded, said = loaded_by(tmp_path, LAUNCHER, word)
    assert code == 0, said
    assert_light(loaded)


def test_a_client_that_gives_up_loads_nothing_slow(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir(mode=0o700)
    variables = {"PIGEON_CACHE": str(share), "PIGEON_NAMESPACE": "imports"}
    # Nobody serves this share: the client publishes, waits, withdraws and gives up.
    code, loaded, said = loaded_by(tmp_path, LAUNCHER, "--claim-timeout", "0.5", "true", **variables)
    assert code == 255, said
    assert "no worker" in said, said
    assert_light(loaded)
    _, always, _ = loaded_by(tmp_path, "-c", "pass")
    assert not (loaded - always) & SLOW


# Everything that `pigeon true` loads of pigeon, from its start to its end. Each line costs every command 0.1 ms:
# what is not needed by all of them is imported where it is needed.
CLIENT = set(
    """
    pigeon pigeon.cli pigeon.cli_arguments pigeon.clock pigeon.commandline pigeon.config pigeon.config_file
    pigeon.errors pigeon.printing pigeon.procfs pigeon.settings pigeon.startup pigeon.trace pigeon.trust
    pigeon.commands pigeon.commands.run
    pigeon.client pigeon.client.following pigeon.client.frames pigeon.client.outcome pigeon.client.session
    pigeon.client.session.context pigeon.client.session.conversation pigeon.client.session.departure
    pigeon.client.session.front pigeon.client.session.guardian_front pigeon.client.session.options
    pigeon.client.session.output
    pigeon.client.session.owner pigeon.client.session.session_end pigeon.client.session.submit
    pigeon.client.session.trouble pigeon.client.session.upstream
    pigeon.client.signals pigeon.client.terminal pigeon.client.terminal.escapes
    pigeon.client.terminal.death pigeon.client.terminal.foreground pigeon.client.terminal.giveup
    pigeon.client.terminal.guardian pigeon.client.terminal.leaving
    pigeon.client.terminal.raw pigeon.client.terminal.window pigeon.client.tty
    pigeon.wire pigeon.wire.documents pigeon.wire.files pigeon.wire.input_end pigeon.wire.jsontext pigeon.wire.names
    pigeon.wire.pacing pigeon.wire.records pigeon.wire.share pigeon.wire.states pigeon.wire.tail pigeon.wire.text
    pigeon.wire.way
    """.split()
)
CLIENT_LIBRARY = set("__future__ _json _signal errno gc select termios time".split())


@pytest.mark.parametrize("has_file", [False, True])
def test_exactly_this_is_loaded_by_a_client_that_is_served(
    pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch, has_file: bool
) -> None:
    pigeon.worker()
    monkeypatch.setenv("PIGEON_TEST_COMMAND", f"{sys.executable} -X importtime {LAUNCHER}")
    share = {"PIGEON_NAMESPACE": "test", "PIGEON_CACHE": str(pigeon.share.client_path)}
    # Bytecode in another place: then nothing is preloaded, and each import shows.
    elsewhere = {"PYTHONPYCACHEPREFIX": str(pigeon.base / "bytecode")}
    env: dict[str, str | None] = {**elsewhere, **({} if has_file else {"PIGEON_CONFIG": None, **share})}
    for _ in range(2):  # the first one has to parse the file, and those after it know it
        result = pigeon.run("true", env=env)
        loaded, said = imports_in(result.words)
        assert result.code == 0, said
    _, always, _ = loaded_by(pigeon.base, "-c", "pass")
    ours = {name for name in loaded if name.split(".")[0] == "pigeon"}
    assert ours == CLIENT | ({"pigeon.toml_memory"} if has_file else set())
    # What compiling needs, where there is no bytecode yet; and who the user is, where no variable says it.
    others = {"unicodedata", "pwd"} | ({"binascii"} if has_file else set())
    assert loaded - ours - always - others <= CLIENT_LIBRARY


PRELOADED = [
    f"pigeon.{name}" for name in startup.FIRST + startup.COMMAND + startup.SESSION + startup.GUARDIAN
]


def test_what_is_preloaded_is_what_a_client_imports() -> None:
    assert len(set(PRELOADED)) == len(PRELOADED)
    assert set(PRELOADED) == CLIENT - {"pigeon", "pigeon.cli", "pigeon.startup"}


def compiled(directory: Path, *changed: str) -> Path:
    """A copy of the package with bytecode beside it, but for the modules that have been `changed` since."""
    copy = directory / "copy"
    shutil.copytree(PACKAGE, copy / "pigeon", ignore=shutil.ignore_patterns("__pycache__", "docs"))
    for module in ["pigeon", "pigeon.startup", "pigeon.cli", *PRELOADED]:
        path = copy.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        py_compile.compile(
            str(path), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP
        )
        if module in changed:
            path.write_bytes(path.read_bytes() + b"\n# changed\n")
    return copy


def show_preloaded(copy: Path, code: str) -> tuple[set[str], str]:
    """Which of pigeon's modules importlib loads while `code` runs, and what that prints."""
    env = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    preload = "startup.preload(startup.COMMAND); startup.preload(startup.SESSION); startup.preload(startup.GUARDIAN)"
    done, loaded, said = loaded_by(copy, "-c", f"from pigeon import cli, startup; {preload}; {code}", **env)
    assert done == 0, said
    return {name for name in loaded if name.split(".")[0] == "pigeon"}, said


def test_modules_are_preloaded_in_an_order_in_which_importlib_has_nothing_to_do(tmp_path: Path) -> None:
    names = ",".join(PRELOADED)
    loaded, _ = show_preloaded(compiled(tmp_path), f"import {names}")
    assert loaded == {"pigeon", "pigeon.startup", "pigeon.cli"}


def test_a_preloaded_module_is_like_an_imported_one(tmp_path: Path) -> None:
    copy = compiled(tmp_path, "pigeon.wire.names")
    # `names` was changed after it was compiled: importlib loads it anew, and the rest is preloaded all the same.
    about = "[getattr(m, a) for m in (sys.modules['pigeon.wire.files'], sys.modules['pigeon.wire'])"
    about += " for a in ('__name__', '__package__', '__file__', '__cached__')]"
    code = "import importlib, inspect, sys, pigeon.wire.files as files, pigeon.wire as wire; "
    code += f"before = {about}; source = inspect.getsource(files.replace); "
    code += f"importlib.reload(wire), importlib.reload(files); assert before == {about}; "
    code += (
        "assert 'temporary' in source; assert wire.__path__ == [wire.__file__.removesuffix('/__init__.py')]; "
    )
    code += "assert files.__spec__.parent == 'pigeon.wire' and files.__loader__ is files.__spec__.loader"
    loaded, _ = show_preloaded(copy, code)
    assert loaded == {"pigeon", "pigeon.startup", "pigeon.cli", "pigeon.wire.names"}


def test_what_follows_a_session_is_loaded_after_its_publication() -> None:
    before = {name for name, _ in runs_at_import("pigeon.commands.run")}
    assert "pigeon.client.session.submit" in before
    assert not before & set(
        "pigeon.client.session.owner pigeon.client.session.conversation pigeon.client.session.output"
        " pigeon.wire.tail".split()
    )
