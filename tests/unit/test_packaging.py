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
from pathlib import Path

import pytest

from pigeon import __version__
from tests.helpers.pigeon import Pigeon

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str | Path, cwd: Path = ROOT, code: int = 0, **variables: str) -> str:
    """Run it, expect this exit code, and return its stdout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**environment, **variables},
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
    made = tmp_path_factory.mktemp("zipapp") / "pigeon.pyz"
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


# -- a checkout ----------------------------------------------------------------------------------------------


def test_a_checkout_without_any_package_serves_the_client(tmp_path: Path) -> None:
    (tmp_path / "pigeon.toml").write_text(f'cache = "{tmp_path}"\n')
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pigeon.cli import main; sys.exit(main())"
    bare = [sys.executable, "-I", "-S", "-c", program]
    said = run(*bare, "--config", str(tmp_path / "pigeon.toml"), "config", "show", cwd=tmp_path)
    assert str(tmp_path) in said
