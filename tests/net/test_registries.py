"""Package managers, git over ssh and AI programs as people have them, with nothing of a proxy set but `pigeon net`.

What registries hold is played by tests/net/registries.py, what AI services say by tests/helpers/model_service.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.surroundings import ROOT
from tests.helpers.waiting import wait_until
from tests.net import registries
from tests.net.registries import NAME, SITE, VERSION, WORDS
from tests.net.test_programs import libraries as libraries
from tests.net.test_programs import needs
from tests.net.world import OUTSIDE, PYTHON, World, a_world
from tests.terminal import agents

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

BOTH = pytest.mark.parametrize("options", [(), ("--no-env",)], ids=["as it is", "catch alone"])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_world() as made:
        for fill in (registries.python, registries.npm, registries.cargo, registries.go):
            fill(made.served)
        yield made


@pytest.fixture
def empty(world: World) -> Path:
    """A directory of the user's with nothing in it."""
    path = world.work / "empty"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    shutil.chown(path, 65534, 65534)
    return path


def run(world: World, place: Path, options: tuple[str, ...], text: str, **env: str) -> str:
    """What a shell's text says, run in `place` with the network."""
    words = ["sh", "-c", f"cd {place} && export HOME={place} && {{ {text}; }} 2>&1"]
    return world.net(*options, *words, env=env, timeout_s=200).stdout.decode("utf-8", "replace")


@BOTH
def test_pip_and_uv(world: World, libraries: Path, empty: Path, options: tuple[str, ...]) -> None:
    pip = f"{PYTHON} -m pip install --disable-pip-version-check -q --target of-pip --index-url {SITE}/simple {NAME}"
    uv = (
        f"{libraries}/bin/uv pip install -q --python {PYTHON} --target of-uv --index-url {SITE}/simple {NAME}"
    )
    shown = " && ".join(f"{PYTHON} {place}/nothing_at_all.py" for place in ("of-pip", "of-uv"))
    said = run(world, empty, options, f"{pip} && {uv} && {shown}", PIP_CERT=str(world.base / "ca.pem"))
    assert said.count(WORDS) == 2, said


@BOTH
def test_npm(world: World, empty: Path, options: tuple[str, ...]) -> None:
    needs(world, "npm")
    text = f"npm install --no-audit --no-fund --registry {SITE}/npm {NAME} && node -e \"require('{NAME}')\""
    said = run(world, empty, options, text, npm_config_cafile=str(world.base / "ca.pem"))
    assert WORDS in said, said


CARGO = f"""[source.crates-io]
replace-with = "outside"
[source.outside]
registry = "{SITE}/index.git"
[net]
git-fetch-with-cli = true
"""


@BOTH
def test_cargo(world: World, empty: Path, options: tuple[str, ...]) -> None:
    needs(world, "cargo")
    (empty / "src").mkdir()
    (empty / "src" / "main.rs").write_text('fn main() { println!("{}", nothing_at_all::WORDS); }\n')
    (empty / "Cargo.toml").write_text(
        f'[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n{NAME} = "{VERSION}"\n'
    )
    (empty / ".cargo").mkdir()
    (empty / ".cargo" / "config.toml").write_text(CARGO)
    subprocess.run(["chown", "-R", "65534:65534", str(empty)], check=True)
    said = run(world, empty, options, "cargo run", CARGO_HTTP_CAINFO=str(world.base / "ca.pem"))
    assert WORDS in said, said


@BOTH
def test_go_modules(world: World, empty: Path, options: tuple[str, ...]) -> None:
    needs(world, "go")
    (empty / "go.mod").write_text("module a\n")
    (empty / "main.go").write_text(
        'package main\nimport "outside.example/nothing"\nfunc main() { println(nothing.Words) }\n'
    )
    subprocess.run(["chown", "-R", "65534:65534", str(empty)], check=True)
    text = f"go get outside.example/nothing@v{VERSION} && go run . && go clean -modcache"
    env = {"GOPROXY": f"{SITE}/go", "GONOSUMDB": "*", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    said = run(world, empty, options, text, **env)
    assert WORDS in said, said


@BOTH
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("node", f"node -e \"require('https').get('{SITE}/hello', r => r.pipe(process.stdout))\""),
        (
            "perl",
            "perl -MHTTP::Tiny -e 'print HTTP::Tiny->new->get(\"http://www.example/hello\")->{content}'",
        ),
    ],
)
def test_what_comes_with_a_language(
    world: World, empty: Path, options: tuple[str, ...], name: str, text: str
) -> None:
    needs(world, name)
    (world.served / "hello").write_text(WORDS)
    said = run(world, empty, options, text)
    assert WORDS in said, said


# Over ssh

SSHD = """Port 2222
ListenAddress {address}
HostKey {base}/host_key
AuthorizedKeysFile {base}/key.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


@pytest.fixture(scope="module")
def ssh(world: World) -> Iterator[str]:
    """The words of a client that may log in outside, and knows the host."""
    base = world.base
    for name in ("host_key", "key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)]
        subprocess.run(words, check=True)
    os.chown(base / "key", 65534, 65534)
    host = (base / "host_key.pub").read_text()
    (base / "known").write_text(f"[www.example]:2222 {host}")
    (base / "sshd_config").write_text(SSHD.format(address=OUTSIDE, base=base))
    os.makedirs("/run/sshd", exist_ok=True)
    program = shutil.which("sshd") or "/usr/sbin/sshd"  # which wants to be called by its whole path
    server = world.start_outside(program, "-D", "-e", "-f", str(base / "sshd_config"))
    wait_until(lambda: b"listening" in server.out, 10, lambda: f"sshd\n{server.tell()}")
    yield f"ssh -i {base}/key -o UserKnownHostsFile={base}/known -o BatchMode=yes -p 2222"


@BOTH
def test_git_and_rsync_over_ssh(world: World, empty: Path, ssh: str, options: tuple[str, ...]) -> None:
    needs(world, "rsync")
    (world.served / "hello").write_text(WORDS)
    git = f"git -c core.sshCommand='{ssh}' clone -q ssh://root@www.example:2222{world.served}/index.git"
    rsync = f"rsync -e '{ssh}' root@www.example:{world.served}/hello ."
    text = f"{git} && cat index/config.json && {rsync} && cat hello"
    said = run(world, empty, options, text)
    assert '"dl"' in said and WORDS in said, said


# AI programs


CLAUDE = agents.CODEX._replace(name="claude", package="@anthropic-ai/claude-code@2.1.332")


@pytest.fixture(scope="module")
def service(world: World) -> None:
    """It answers at www.example:8080."""
    script = str(ROOT / "tests" / "helpers" / "model_service.py")
    server = world.start_outside(PYTHON, script, OUTSIDE, str(agents.PORT), str(world.served))
    wait_until(lambda: b"ready" in server.out, 15, lambda: f"the service\n{server.tell()}")


def brought(world: World, agent: agents.Agent) -> Path:
    """The program where the node's user may read it."""
    node_modules = agents.installed(agent).parents[1]
    place = world.work / agent.name / "node_modules"
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*world.node.enter, "mount", "--bind", str(node_modules), str(place)])
    assert done.returncode == 0
    return place / ".bin" / agent.name


@BOTH
def test_codex(world: World, service: None, empty: Path, options: tuple[str, ...]) -> None:
    program = brought(world, agents.CODEX)
    agents.CODEX.prepare(empty, empty)
    config = empty / ".codex" / "config.toml"
    config.write_text(config.read_text().replace("127.0.0.1", "www.example"))
    subprocess.run(["chown", "-R", "65534:65534", str(empty)], check=True)
    text = f"{program} exec --skip-git-repo-check 'hello there' </dev/null"
    said = run(world, empty, options, text, **agents.CODEX.env)
    assert "I have read 11 characters" in said, said


@BOTH
def test_claude_code(world: World, service: None, empty: Path, options: tuple[str, ...]) -> None:
    program = brought(world, CLAUDE)
    env = {"ANTHROPIC_BASE_URL": f"http://www.example:{agents.PORT}", "ANTHROPIC_API_KEY": agents.KEY}
    said = run(world, empty, options, f"{program} -p 'hello there' </dev/null", **env)
    assert "I have read 11 characters" in said, said
