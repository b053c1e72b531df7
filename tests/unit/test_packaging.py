"""What leaves the checkout: the wheel, the command that an installer makes of it, and the single file.

Everything is built and installed for real, without a network: the wheel with the hatchling of this environment,
and into a fresh environment that only borrows the packages that pigeon depends on from this one.
"""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pigeon import __version__
from tests.helpers.pigeon import Pigeon

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(
    *words: str | Path,
    cwd: Path = ROOT,
    code: int = 0,
    env: Mapping[str, str] | None = None,
    **variables: str,
) -> str:
    """Run it, expect this exit code, and return its stdout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**environment, **(env or {}), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", directory, ROOT)
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh environment into which pip has put the wheel."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages,) = venv.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return venv / "bin"


@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pigeon.pyz, made of the packages of this environment."""
    made = tmp_path_factory.mktemp("zipapp") / "made" / "bin" / "pigeon.pyz"
    run(sys.executable, ROOT / "tools" / "build-zipapp", "-o", made)
    return made


def check_it_works(pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Both sides and the journal, started by `command`."""
    monkeypatch.setenv("PIGEON_TEST_COMMAND", command)
    pigeon.worker()
    result = pigeon.run("echo $((6 * 7)); exit 3")
    assert (result.code, result.stdout) == (3, b"42\n"), result.words
    result = pigeon.run("history", "--json", "--journal", str(pigeon.journal))
    assert result.code == 0, result.words
    assert b"6 * 7" in result.stdout


# -- the wheel -----------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_the_schema_and_the_command(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "pigeon/cli.py" in names
    assert "pigeon/py.typed" in names
    assert "pigeon/_migrations/migrations.py" in names
    assert f"pigeon-{__version__}.data/scripts/pigeon" in names
    assert f"pigeon-{__version__}.data/data/share/man/man1/pigeon.1" in names
    for name in ("completions/pigeon.bash", "completions/pigeon.zsh", "completions/pigeon.fish"):
        assert f"pigeon/{name}" in names
    assert "pigeon/report/page_files/page.js" in names
    strangers = [
        n for n in names if not re.match(r"pigeon(/|-[\d.]+\.(data|dist-info)/)", n) or "__pycache__" in n
    ]
    assert not strangers


def test_the_wheel_pins_the_majors_of_what_it_depends_on(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Version"] == __version__
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(re.split(r"[<>=]", line)[0] for line in needed) == [
        "filelock",
        "ptyprocess",
        "sqlite-utils",
        "tomli",
    ]
    assert all("<" in line and ">=" in line for line in needed), needed


# -- the installed command -----------------------------------------------------------------------------------


def test_the_installed_command_is_the_installed_package(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "pigeon", "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    assert run(installed / "python", "-m", "pigeon", "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    where = run(installed / "python", "-c", "import pigeon; print(pigeon.__file__)", cwd=tmp_path)
    assert where.startswith(str(installed.parent))


def test_it_works_through_a_symbolic_link(installed: Path, tmp_path: Path) -> None:
    link = tmp_path / "p"
    link.symlink_to(installed / "pigeon")
    assert run(link, "--version", cwd=tmp_path) == f"pigeon {__version__}\n"


def test_modules_of_the_users_own_do_not_get_into_it(installed: Path, tmp_path: Path) -> None:
    for name in ("select", "errno", "fcntl", "binascii", "pigeon"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the user was loaded')\n")
    for path in (str(tmp_path), ":/nowhere", "/nowhere:"):  # an empty entry is the current directory
        said = run(installed / "pigeon", "--version", cwd=tmp_path, PYTHONPATH=path)
        assert said == f"pigeon {__version__}\n"


def test_pythonpath_may_name_what_python_finds_anyway(installed: Path, tmp_path: Path) -> None:
    # Python then leaves the later of the two entries out.
    (packages,) = installed.parent.glob("lib/python*/site-packages")
    said = run(installed / "pigeon", "--version", cwd=tmp_path, PYTHONPATH=str(packages))
    assert said == f"pigeon {__version__}\n"


def test_it_is_found_by_pythonpath_where_pip_put_it_with_target(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path / "there", wheel)
    command = tmp_path / "there" / "bin" / "pigeon"
    said = run(command, "--version", cwd=tmp_path, PYTHONPATH=str(tmp_path / "there"))
    assert said == f"pigeon {__version__}\n"


def test_exit_codes_and_output_that_cannot_be_written_arrive(installed: Path, tmp_path: Path) -> None:
    run(installed / "pigeon", "--no-such-option", "true", cwd=tmp_path, code=2)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [installed / "pigeon", "--help"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode != 0, "the help was lost without a word"
    assert done.stderr


def test_the_installed_pigeon_works(pigeon: Pigeon, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_it_works(pigeon, monkeypatch, str(installed / "pigeon"))


@pytest.mark.long
@pytest.mark.parametrize("tool", ["pip", "pipx", "uv"])
def test_installers_install_upgrade_and_remove_it(wheel: Path, tmp_path: Path, tool: str) -> None:
    """From the checkout, then from a wheel over it, each with its dependencies fetched."""
    run(sys.executable, "-m", "venv", tmp_path / "tools")
    python = tmp_path / "tools" / "bin" / "python"
    if tool != "pip":
        run(python, "-m", "pip", "install", "-q", tool)
    home = {name: str(tmp_path / "home") for name in ("HOME", "PIPX_HOME", "UV_TOOL_DIR", "XDG_DATA_HOME")}
    home |= {"PIPX_BIN_DIR": str(tmp_path / "bin"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    programs: dict[str, list[str | Path]] = {
        "pip": [python, "-m", "pip"],
        "pipx": [python, "-m", "pipx"],
        "uv": [python, "-m", "uv", "tool"],
    }
    program = programs[tool]
    command = tmp_path / ("tools/bin" if tool == "pip" else "bin") / "pigeon"
    run(*program, "install", "-q" if tool != "pipx" else "--force", ROOT, env=home)
    assert run(command, "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    again = {"pip": ["--force-reinstall", "--no-deps"], "pipx": ["--force"], "uv": ["--force"]}[tool]
    run(*program, "install", *again, wheel, env=home)
    assert run(command, "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    man = list(tmp_path.rglob("share/man/man1/pigeon.1"))
    assert man, "the man page comes along"
    run(*program, "uninstall", *(["-y"] if tool == "pip" else []), "pigeon", env=home)
    assert not command.exists()


# -- the single file -----------------------------------------------------------------------------------------


def test_the_single_file_needs_nothing_but_python(zipapp: Path, tmp_path: Path) -> None:
    # -S leaves site-packages out: whatever is missing in the file is missing.
    assert run(sys.executable, "-I", "-S", zipapp, "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    assert run(zipapp, "--version", cwd=tmp_path) == f"pigeon {__version__}\n"
    names = zipfile.ZipFile(zipapp).namelist()
    assert "pigeon/_migrations/migrations.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_the_single_file_is_the_same_each_time(zipapp: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    run(sys.executable, ROOT / "tools" / "build-zipapp", "-o", again, PYTHONHASHSEED="7")
    assert again.read_bytes() == zipapp.read_bytes()


def test_the_single_file_runs_on_another_version_of_python(zipapp: Path, tmp_path: Path) -> None:
    # Its byte code has another magic number there.
    foreign = tmp_path / "foreign.pyz"
    with zipfile.ZipFile(zipapp) as source, zipfile.ZipFile(foreign, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            target.writestr(entry, b"\0\0\r\n" + data[4:] if entry.filename.endswith(".pyc") else data)
    said = run(sys.executable, "-I", "-S", foreign, "--version", cwd=tmp_path)
    assert said == f"pigeon {__version__}\n"


def test_the_single_file_works(pigeon: Pigeon, zipapp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_it_works(pigeon, monkeypatch, f"{sys.executable} -I -S {zipapp}")


OLD = "the system has no Python that is too old"


def pythons() -> dict[str, str]:
    """Every Python 3 that is installed here, by its version."""
    places = [*os.environ["PATH"].split(":"), *map(str, Path("~/.pyenv/versions").expanduser().glob("*/bin"))]
    found: dict[str, str] = {}
    for path in (f"{place}/python3.{minor}" for place in places for minor in range(6, 20)):
        program = "import sys; print('%d.%d %s' % (*sys.version_info[:2], sys.executable))"
        if os.path.exists(path):
            done = subprocess.run([path, "-c", program], capture_output=True, text=True)
            if done.returncode == 0:
                version, _, executable = done.stdout.strip().partition(" ")
                found.setdefault(version, executable)
    return found


PYTHONS = pythons()
TOO_OLD = {version: path for version, path in PYTHONS.items() if int(version.split(".")[1]) < 11}
NEW = next(path for version, path in PYTHONS.items() if version not in TOO_OLD)


@pytest.mark.parametrize("version", sorted(TOO_OLD) or [pytest.param("", marks=pytest.mark.skip(reason=OLD))])
def test_the_single_file_finds_a_newer_python(zipapp: Path, tmp_path: Path, version: str) -> None:
    """As when an older environment is active: its `python3` comes first in PATH."""
    old, new = tmp_path / "old", tmp_path / "new"
    for directory, name, target in ((old, "python3", TOO_OLD[version]), (new, "python3.11", NEW)):
        directory.mkdir()
        (directory / name).write_text(f'#!/bin/sh\nexec {target} "$@"\n')
        (directory / name).chmod(0o755)
    shim = old / "python3.19"  # of a version that is not there, as pyenv has them
    shim.write_text("#!/bin/sh\necho 'no such version' >&2; exit 127\n")
    shim.chmod(0o755)
    said = run(zipapp, "--version", cwd=tmp_path, PATH=f"{old}:{new}:/usr/bin:/bin")
    assert said == f"pigeon {__version__}\n"
    named = run(zipapp, "--version", cwd=tmp_path, PATH=f"{old}:/bin", PIGEON_PYTHON=NEW)
    assert named == f"pigeon {__version__}\n"
    where = run(
        zipapp,
        "config",
        "show",
        "--json",
        cwd=tmp_path,
        PATH=f"{old}:/bin",
        PIGEON_PYTHON=NEW,
        PIGEON_CACHE="/x",
    )
    assert "_PIGEON" not in where


def ended(*words: str | Path, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        words, env={"HOME": "/nowhere", **variables}, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr


def test_the_single_file_says_when_there_is_no_python_that_fits(zipapp: Path, tmp_path: Path) -> None:
    code, said = ended(sys.executable, zipapp, "--version", PIGEON_PYTHON="/no/python")
    assert (code, said) == (
        1,
        "pigeon: PIGEON_PYTHON names `/no/python`, which cannot be run: No such file or directory\n",
    )
    if not TOO_OLD:
        pytest.skip(OLD)
    old = next(iter(TOO_OLD.values()))
    code, said = ended(sys.executable, zipapp, "--version", PIGEON_PYTHON=old)
    assert code == 1
    assert "PIGEON_PYTHON is 3." in said
    assert "Traceback" not in said


# -- a checkout ----------------------------------------------------------------------------------------------


def test_a_checkout_without_any_package_serves_the_client(tmp_path: Path) -> None:
    (tmp_path / "pigeon.toml").write_text(f'cache = "{tmp_path}"\n')
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pigeon.cli import main; sys.exit(main())"
    bare = [sys.executable, "-I", "-S", "-c", program]
    said = run(*bare, "--config", str(tmp_path / "pigeon.toml"), "config", "show", cwd=tmp_path)
    assert str(tmp_path) in said
