"""`pigeon doctor`: is the share usable from here, and what does it really do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pigeon import mountinfo
from pigeon.commands.doctor import checks, other_side, sharing
from pigeon.config import load
from pigeon.mountinfo import filesystem_of
from tests.helpers import raw
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import WITHOUT_OVERRIDE, mount_small, needs_own_mounts, needs_root, unmount
from tests.helpers.verbs import lose_host
from tests.helpers.waiting import wait_until

CHECKS = [
    "cache",
    "parents",
    "filesystem",
    "sharing",
    "space",
    "quota",
    "operations",
    "speed",
    "journal",
    "lingering",
    "profile",
    "workers",
    "other side",
]


def lines_of(result: Any) -> dict[str, list[dict[str, str]]]:
    """The findings of each check."""
    found: dict[str, list[dict[str, str]]] = {}
    for line in json.loads(result.stdout):
        assert line["level"] in ("PASS", "WARN", "FAIL")
        assert line["text"]
        assert line["level"] == "PASS" or line["remedy"], line
        found.setdefault(line["check"], []).append(line)
    return found


def left(pigeon: Pigeon) -> list[str]:
    """What doctors have left in the namespace."""
    return [name for name in os.listdir(pigeon.namespace.root) if name.startswith("doctor")]


def test_a_worker_that_takes_nothing_new_is_no_worker(pigeon: Pigeon, notes: Notes) -> None:
    """It lives and has the route, and who waits for it waits in vain."""
    worker = pigeon.worker()
    client = pigeon.start(notes.holding("held"))
    notes.wait_started("held")
    worker.signal()
    wait_until(
        lambda: any(one.get("draining") for one in pigeon.namespace.workers()), 10, "a worker that drains"
    )
    (found,) = lines_of(pigeon.run("doctor", "--json"))["workers"]
    assert found["level"] == "WARN"
    assert worker.id in found["text"]
    assert "ending" in found["text"]
    notes.release("held")
    assert client.wait().code == 0


def test_with_a_worker_it_measures_both_ways(warm: Pigeon) -> None:
    result = warm.run("doctor", "--json")
    found = lines_of(result)
    assert result.code == 0, result.stdout.decode()
    assert list(found) == CHECKS
    assert [line["level"] for line in found["operations"]] == ["PASS"]
    assert warm.workers[0].id in found["workers"][0]["text"]
    texts = [line["text"] for line in found["other side"]]
    assert [line["level"] for line in found["other side"]] == ["PASS"] * 5, texts
    parts = ("a new name is seen", "a byte goes", "flock excludes", "the clocks agree")
    for part in (*parts, f"`{warm.work}` is the same directory"):
        assert any(text.startswith(part) for text in texts)
    assert left(warm) == []
    session = warm.sessions()[-1]
    assert session.wait_final()["state"] == "succeeded"


def test_without_a_worker_on_a_terminal(pigeon: Pigeon) -> None:
    window = pigeon.spawn_tty("doctor", size=(200, 50))
    assert window.wait(60).code == 0
    lines = window.text().splitlines()
    heads = [line for line in lines if line[:4] in ("PASS", "WARN", "FAIL")]
    assert [line[6:18].strip() for line in heads] == CHECKS
    assert any("no worker of this route lives in `test`" in line for line in heads)
    assert any("pigeon worker --namespace test" in line for line in lines), "the remedy"
    assert heads[-1].startswith("WARN  other side   not measured")
    assert left(pigeon) == []


def test_a_full_worker_does_not_come_and_is_not_called_later(pigeon: Pigeon) -> None:
    worker = pigeon.worker(max_jobs=1)
    client, session = pigeon.begin("echo ready; exec sleep 100")
    session.wait_event("started")
    found = lines_of(pigeon.run("doctor", "--json", timeout_s=60))
    assert "did not come in time" in found["other side"][0]["text"]
    question = pigeon.sessions()[-1]
    assert question.id != session.id
    assert question.wait_final()["state"] == "cancelled"
    client.signal(signal.SIGTERM)
    assert client.wait().code == 143
    assert worker.child.running


def test_no_share(pigeon: Pigeon) -> None:
    result = pigeon.run("doctor", "--json", "--cache", "/nonexistent/share")
    assert result.code == 1
    assert [line["level"] for line in json.loads(result.stdout)] == ["FAIL"]
    assert "/nonexistent/share" in result.stdout.decode()


def test_a_share_that_is_no_place_for_files(pigeon: Pigeon) -> None:
    result = pigeon.run("doctor", "--json", "--cache", "/proc")
    line = json.loads(result.stdout)[-1]
    assert (result.code, line["check"], line["level"]) == (1, "filesystem", "FAIL")
    assert "`/proc` shows the kernel's own data" in line["text"]
    client = pigeon.run("true", options=("--cache", "/proc"))
    assert client.code == 255
    assert client.words.startswith("pigeon: cannot write to the shared directory `/proc`")


def quota_program(pigeon: Pigeon, script: str) -> dict[str, str]:
    """An environment in which quota(1) is this script."""
    place = pigeon.base / "programs"
    place.mkdir(exist_ok=True)
    (place / "quota").write_text(f"#!/bin/sh\n{script}\n")
    (place / "quota").chmod(0o755)
    return {"PATH": f"{place}:{os.environ['PATH']}"}


def test_what_the_quota_program_says(pigeon: Pigeon) -> None:
    """Of the share's filesystem, in the format of quota(1); above a limit it exits with 1."""
    source = filesystem_of(str(pigeon.share.client_path)).source
    if not source:
        pytest.skip("the mount table does not name this filesystem (a chroot), and quota(1) tells by name")

    def found(script: str) -> tuple[str, str]:
        environment = quota_program(pigeon, script)
        line = lines_of(pigeon.run("doctor", "--json", env=environment))["quota"][0]
        return line["level"], line["text"]

    head = "echo 'Disk quotas for user x (uid 7):'; echo ' Filesystem blocks quota limit grace files'; echo "
    other = "; echo '/dev/other 5 1 1 0 9 1 1 0'"
    assert found(f"{head}'{source} 1024 2048 4096 0 7 0 10 0'{other}") == (
        "PASS",
        "your quota: 1.0 of 2.0 MiB, 7 of 10 files",
    )
    assert found(f"{head}'{source} 4096* 2048 4096 0 7 0 0 0'{other}; exit 1") == (
        "WARN",
        "your quota: 4.0 of 2.0 MiB",
    )
    for silent in (f"{head}''{other}", "echo 'Disk quotas for user x (uid 7): none'", "exit 1"):
        assert found(silent)[0] == "PASS"
        assert "no quota is visible from here" in found(silent)[1]


def test_a_share_that_cannot_be_written(pigeon: Pigeon) -> None:
    path = pigeon.base / "closed"
    path.mkdir(mode=0o500)
    child = pigeon.start_process(
        *WITHOUT_OVERRIDE, *pigeon.command("doctor", "--json", "--cache", str(path)), cwd=pigeon.base
    )
    result = child.wait(60)
    found = lines_of(result)
    assert result.code == 1
    assert found["operations"][0]["level"] == "FAIL"
    assert "permission denied" in found["operations"][0]["text"].lower()


@needs_root
def test_a_share_that_is_full(pigeon: Pigeon) -> None:
    place = pigeon.share.client_path
    mount_small(place, "1m")
    try:
        with suppress(OSError), (place / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        found = lines_of(pigeon.run("doctor", "--json"))
    finally:
        unmount(place)
    space, operations = found["space"][0], found["operations"][0]
    assert (space["level"], space["text"]) == ("FAIL", "0.0 MiB free")
    assert "No space left" in operations["text"]
    for line in (space, operations):
        assert line["remedy"] == "make room: `pigeon clean` removes finished sessions"


def test_a_share_that_others_can_write(pigeon: Pigeon) -> None:
    pigeon.share.client_path.chmod(0o777)
    found = lines_of(pigeon.run("doctor", "--json"))
    assert found["cache"][0]["level"] == "WARN"
    assert "chmod" in found["cache"][0]["remedy"]


def test_the_worker_answers_only_in_its_namespace(pigeon: Pigeon) -> None:
    for name in ("../elsewhere", "/tmp", ".hidden"):
        result = pigeon.run("doctor", "--help-out", name)
        assert result.code == 2
        assert "cannot be used as a directory name" in result.words


def test_freeing_a_strict_lock_of_a_host_that_is_gone_for_good(pigeon: Pigeon) -> None:
    """Only by the user's word, and not against signs of life. The other host is one by name (a UTS namespace)."""
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
    pigeon.configure(worker={"lock": "strict", "host_timeout": 5})
    pigeon.worker(prefix=elsewhere)
    client, session = pigeon.begin("echo ready; exec sleep 100")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    release = ("doctor", "--release", str(pigeon.work))
    foreign = pigeon.run(*release)
    assert foreign.code == 1
    assert "if elsewhere is down for good, add `--gone-host elsewhere`" in foreign.stdout.decode()
    assert pigeon.run(*release, "--gone-host", "nowhere").code == 1
    lives = pigeon.run(*release, "--gone-host", "elsewhere")
    assert (lives.code, b"which lives" in lives.stdout) == (1, True)
    lose_host(pigeon, session)
    row = pigeon.journal_row(session.id)
    assert row is not None
    os.kill(int(row["command_pid"]), signal.SIGKILL)
    pigeon.worker(journal=pigeon.base / "another.db")
    waiting = pigeon.start("echo free", options=("-v",))
    assert client.wait(40).code == 255, "the other host's session is taken over"
    wait_until(lambda: "waiting for" in waiting.err, 20, "that it waits")
    freed = pigeon.run(*release, "--gone-host", "elsewhere")
    assert (freed.code, b"as you say" in freed.stdout) == (0, True), freed.stdout
    assert waiting.wait(40).stdout == b"free\n"


def test_freeing_a_strict_lock(pigeon: Pigeon) -> None:
    """A holder that is dead on this host is proven so; one that lives keeps its lock."""
    pigeon.configure(worker={"lock": "strict"})
    pigeon.worker()
    client, session = pigeon.begin("echo ready; exec sleep 100")
    wait_until(lambda: client.out == b"ready\n", 15, "the command")
    lives = pigeon.run("doctor", "--release", str(pigeon.work))
    assert lives.code == 1
    assert "which lives" in lives.stdout.decode()
    lose_host(pigeon, session)
    orphaned = pigeon.run("doctor", "--release", str(pigeon.work))
    assert orphaned.code == 1, "the runner is dead, and its command is not"
    row = pigeon.journal_row(session.id)
    assert row is not None
    os.kill(int(row["command_pid"]), signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{row['command_pid']}/cwd").is_dir(), 15, "the end of the command")
    freed = pigeon.run("doctor", "--release", str(pigeon.work))
    assert (freed.code, freed.stderr) == (0, b""), freed.stdout
    assert freed.stdout.decode().count("is freed from") == 1
    again = pigeon.run("doctor", "--release", ".")
    assert "is not held" in again.stdout.decode()
    pigeon.worker()
    assert client.wait(40).code == 255
    pigeon.wait_quiet(20)
    assert pigeon.run("echo free").stdout == b"free\n"


# -- does anybody else see the cache? --------------------------------------------------------------------------


def sharing_of(pigeon: Pigeon, cache: Path | None = None) -> checks.Finding:
    patient = checks.Patient(str(cache or pigeon.share.client_path), "test", None, "user")
    (found,) = sharing.check_sharing(patient, load({}, environ={"HOME": str(pigeon.home)}, cwd="/"))
    return found


@needs_root
def test_a_directory_of_this_machine_alone(pigeon: Pigeon) -> None:
    """The same path on two machines, a disk of its own below each: what the one says never reaches the other."""
    place = pigeon.directory("local")
    mount_small(place, "1m")
    try:
        found = sharing_of(pigeon, place)
        assert found.level == checks.WARN
        assert f"(tmpfs on {place})" in found.text
        assert "a directory of that name on another machine is another one" in found.text
        assert "take a directory on a filesystem that both machines mount" in found.remedy
        client = pigeon.run("true", options=("--cache", str(place), "--claim-timeout", "0.3"))
        assert client.code == 255
        assert f"`{place}` lies on a filesystem of this machine (tmpfs on {place})" in client.words
    finally:
        unmount(place)


@needs_own_mounts
def test_the_current_directory_is_another_one_over_there(
    pigeon: Pigeon, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pigeon.directory("local")
    (place / "inner").mkdir()
    hide = f'mount -t tmpfs tmpfs {place} && exec "$@"'
    pigeon.worker(prefix=("unshare", "--mount", "sh", "-c", hide, "sh"))
    patient = checks.Patient(str(pigeon.share.client_path), "test", None, "user")
    config = load({}, environ=pigeon.env(), cwd="/")
    for where, level, text in (
        (place, checks.WARN, "is another directory than the one here"),
        (place / "inner", checks.WARN, "does not exist on"),
        (pigeon.work, checks.PASS, "is the same directory"),
    ):
        monkeypatch.chdir(where)
        (found,) = other_side.judge_directory(patient, config)
        assert (found.level, f"`{where}`" in found.text) == (level, True)
        assert text in found.text


@needs_root
def test_a_mounted_part_of_a_filesystem_is_no_alarm(pigeon: Pigeon) -> None:
    """As a container has it, beside which another one has the same."""
    place, source = pigeon.directory("here"), pigeon.directory("there")
    done = subprocess.run(["mount", "--bind", str(source), str(place)], check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        found = sharing_of(pigeon, place)
        assert found.level == checks.PASS
        assert "may be mounted in other containers" in found.text
    finally:
        unmount(place)


def test_one_machine_with_a_worker_is_no_alarm(warm: Pigeon) -> None:
    assert sharing_of(warm).level == checks.PASS


def test_who_has_asked_from_elsewhere_sees_it(pigeon: Pigeon) -> None:
    raw.publish(pigeon, requester={"host": "gpu7", "pid": 1, "user": "ann"})
    found = sharing_of(pigeon)
    assert (found.level, found.text) == (checks.PASS, "also seen by gpu7")


def test_what_this_machine_exports_is_no_alarm(tmp_path: Path) -> None:
    exports = tmp_path / "etab"
    assert not sharing.is_exported("/srv/share", str(exports))
    exports.write_text("/srv/share\t*(rw,sync)\n/srv/other/\t10.0.0.0/8(rw)\n")
    for path, lent in {"/srv/share": True, "/srv/other/x": True, "/srv/shared": False, "/": False}.items():
        assert sharing.is_exported(path, str(exports)) is lent, path


@pytest.mark.parametrize(
    ("fields", "is_private"),
    [
        ("/ / rw - ext4 /dev/sda1 rw", True),
        ("/ / rw - overlay overlay rw", True),
        ("/ / rw - fuse.fuse-overlayfs fuse rw", True),
        ("/@home / rw - btrfs /dev/sda1 rw", True),
        ("/srv/p / rw - ext4 /dev/sda1 rw", False),
        ("/ / rw - nfs4 server:/x rw", False),
        ("/ / rw - fuse.sshfs host: rw", False),
        ("/ / rw - virtiofs tag rw", False),
    ],
)
def test_which_mounts_are_of_one_machine(fields: str, is_private: bool) -> None:
    mount = mountinfo.mount_of(f"1 1 0:1 {fields}\n".encode(), "/x")
    assert mountinfo.is_private(mount) is is_private
