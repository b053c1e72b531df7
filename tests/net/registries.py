"""Stand-ins for what package registries hold, as files that a plain web server can serve: one package in each."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

SITE = "https://www.example"
NAME, VERSION = "nothing-at-all", "1.0.0"
WORDS = "hello from outside"


def _archive(files: Mapping[str, str]) -> bytes:
    """A .tar.gz."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return held.getvalue()


def _put(served: Path, name: str, content: str | bytes) -> None:
    path = served / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def python(served: Path) -> None:
    """A simple repository (PEP 503) at /simple."""
    wheel = f"{NAME.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    info = f"{NAME.replace('-', '_')}-{VERSION}.dist-info"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as zipped:
        zipped.writestr("nothing_at_all.py", f"print('{WORDS}')\n")
        zipped.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n")
        zipped.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        zipped.writestr(f"{info}/RECORD", "")
    _put(served, f"files/{wheel}", held.getvalue())
    _put(served, f"simple/{NAME}/index.html", f'<a href="/files/{wheel}">{wheel}</a>')


def npm(served: Path) -> None:
    """A package's document at /npm/NAME, and its tarball."""
    package = {"name": NAME, "version": VERSION, "main": "index.js"}
    code = f"console.log('{WORDS}')\n"
    tarball = _archive({"package/package.json": json.dumps(package), "package/index.js": code})
    _put(served, f"npm-files/{NAME}.tgz", tarball)
    dist = {"tarball": f"{SITE}/npm-files/{NAME}.tgz", "shasum": hashlib.sha1(tarball).hexdigest()}
    document = {
        "name": NAME,
        "dist-tags": {"latest": VERSION},
        "versions": {VERSION: {**package, "dist": dist}},
    }
    _put(served, f"npm/{NAME}", json.dumps(document))


def cargo(served: Path) -> None:
    """An index as a git repository at /index.git (cargo's book, "Registry Index"), which its crate lies beside."""
    manifest = f'[package]\nname = "{NAME}"\nversion = "{VERSION}"\nedition = "2021"\n'
    base = f"{NAME}-{VERSION}"
    code = f'pub const WORDS: &str = "{WORDS}";\n'
    crate = _archive({f"{base}/Cargo.toml": manifest, f"{base}/src/lib.rs": code})
    _put(served, f"crates/{NAME}/{VERSION}/download", crate)
    line = {"name": NAME, "vers": VERSION, "deps": [], "features": {}, "yanked": False}
    line["cksum"] = hashlib.sha256(crate).hexdigest()
    _put(served, "index/config.json", json.dumps({"dl": f"{SITE}/crates/{{crate}}/{{version}}/download"}))
    _put(served, f"index/{NAME[:2]}/{NAME[2:4]}/{NAME}", json.dumps(line) + "\n")
    script = """set -e
    cd index; git init -q -b master; git add .; git -c user.name=t -c user.email=t@t commit -q -m x; cd ..
    git clone -q --bare index index.git; git -C index.git update-server-info"""
    subprocess.run(["sh", "-c", script], cwd=served, check=True, capture_output=True)


def go(served: Path) -> None:
    """A module proxy at /go (go.dev/ref/mod, "Module proxies")."""
    module = "outside.example/nothing"
    base = f"go/{module}/@v/v{VERSION}"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as zipped:
        zipped.writestr(f"{module}@v{VERSION}/go.mod", f"module {module}\n")
        zipped.writestr(f"{module}@v{VERSION}/words.go", f'package nothing\nconst Words = "{WORDS}"\n')
    _put(served, f"{base}.info", json.dumps({"Version": f"v{VERSION}", "Time": "2020-01-01T00:00:00Z"}))
    _put(served, f"{base}.mod", f"module {module}\n")
    _put(served, f"{base}.zip", held.getvalue())
