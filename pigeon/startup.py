"""What makes a start cheap; `pigeon.cli` imports it first, and programs that `import pigeon` do not.

Most of what a small module costs is the search for it: importlib tries each kind of file that it could be, takes locks
against other threads and makes the names of its bytecode. Which modules every command needs is known, and where they
lie: beside this one, with bytecode where Python could write it. So `preload` loads them by one open each. It believes
bytecode by importlib's own rule, the source's time and size (PEP 552). What it does not find so (no bytecode, a zip
file, a source that was changed) is not loaded here, and imported as ever when its turn comes.

The lists below are therefore no promises but savings. `tests/unit/test_imports.py` holds them to what is really
imported. They stand in an order in which each module finds loaded what it imports.

And the garbage collector waits: no command of a moment makes as much garbage as the collector would look through.
"""

from __future__ import annotations

import gc
import os
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec, SourceFileLoader
    from types import CodeType
else:
    ModuleSpec, SourceFileLoader = (
        type(__spec__),
        type(__spec__.loader),
    )  # whichever has loaded this very module

GARBAGE = 50_000
"""So many more objects that can be in cycles than at the last collection: a `pigeon true` makes a third of it, and
what a long session leaves behind in cycles grows to a few MB at most."""

FIRST = """
    clock trace errors settings cli_arguments printing
""".split()
"""By every call of pigeon."""

COMMAND = """
    commands commandline config_file config procfs
    client client.frames client.outcome client.signals client.tty
    client.terminal client.terminal.escapes client.terminal.giveup client.terminal.leaving client.terminal.raw
    client.terminal.window client.terminal.guardian client.following
    trust wire wire.text wire.names wire.way wire.share wire.files wire.jsontext wire.documents wire.states
    client.session client.session.context client.session.submit commands.run
""".split()
"""By a command, before its session is published."""

GUARDIAN = ["client.terminal.death", "client.terminal.foreground"]
"""By its guardian, meanwhile."""

SESSION = """
    wire.pacing wire.input_end wire.records wire.tail
    client.session.front client.session.departure client.session.trouble client.session.owner
    client.session.session_end client.session.upstream client.session.conversation
    client.session.output client.session.guardian_front client.session.options
""".split()
"""And after it, while a worker can be at it."""

_PACKAGE = __name__.rpartition(".")[0]
_PLACE, _, _SUFFIX = (__spec__.cached or "").rpartition("startup")
_MOST_BYTES = 1 << 16
"""Of bytecode; what is larger is left to importlib. A larger buffer would be a mapping for each read."""


def preload(names: list[str]) -> None:
    """Load modules of pigeon that are about to be imported, as far as that is quicker here."""
    magic = _magic()
    for name in names if magic else ():
        whole = f"{_PACKAGE}.{name}"
        if whole in sys.modules:
            continue
        above, _, last = whole.rpartition(".")
        place = f"{sys.modules[above].__path__[0]}/{last}" if above in sys.modules else ""
        _load(whole, f"{place}.py", None, magic) or _load(whole, f"{place}/__init__.py", [place], magic)


def _magic() -> bytes:
    """What bytecode of this Python begins with; b"" where modules are not kept as files with bytecode beside them."""
    folder = os.path.dirname(__file__)
    if f"{folder}/__pycache__/" != _PLACE or SourceFileLoader.__name__ != "SourceFileLoader":
        return b""
    try:
        from _frozen_importlib_external import MAGIC_NUMBER
    except ImportError:
        return b""  # another Python than the ones that this was written for
    return bytes(MAGIC_NUMBER)


def _load(name: str, source: str, path: list[str] | None, magic: bytes) -> bool:
    """One module, or a package with this `path`. False: importlib has to look for it."""
    folder, _, file = source.rpartition("/")
    bytecode = f"{folder}/__pycache__/{file[:-3]}{_SUFFIX}"
    code = _code(source, bytecode, magic)
    if code is None:
        return False
    spec = ModuleSpec(name, SourceFileLoader(name, source), origin=source)
    spec.has_location, spec.cached, spec.submodule_search_locations = True, bytecode, path
    module = type(sys)(name)
    module.__dict__.update(
        __spec__=spec,
        __loader__=spec.loader,
        __package__=spec.parent,
        __file__=source,
        __cached__=bytecode,
    )
    if path is not None:
        module.__path__ = path
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    above, _, last = name.rpartition(".")
    setattr(sys.modules[above], last, module)
    return True


def _code(source: str, bytecode: str, magic: bytes) -> CodeType | None:
    try:
        fd = os.open(bytecode, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(fd, _MOST_BYTES)
        finally:
            os.close(fd)
        found = os.stat(source)
    except OSError:
        return None
    time, size = int(found.st_mtime) & 0xFFFFFFFF, found.st_size & 0xFFFFFFFF
    believed_by_time = bytes(4)
    head = magic + believed_by_time + time.to_bytes(4, "little") + size.to_bytes(4, "little")
    if data[:16] != head or len(data) == _MOST_BYTES:
        return None
    try:
        code: CodeType = loads(data[16:])
    except (EOFError, ValueError, TypeError):
        return None
    return code if code.co_filename == source else None  # moved: importlib puts its names right


def collect_rarely() -> None:
    """For who makes less garbage than the collector would look through."""
    gc.set_threshold(GARBAGE)


_usual = gc.get_threshold()
collect_rarely()
preload(FIRST)


def collect_as_usual() -> None:
    """For who stays."""
    gc.set_threshold(*_usual)
