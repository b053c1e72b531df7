"""A worker as a service: its log, its unit, and how it is replaced without a pause."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pigeon.commands.unit import SYSTEM, TEMPLATE, USER
from tests.helpers.journals import ROOT
from tests.helpers.notes import Notes
from tests.helpers.pigeon import Pigeon
from tests.helpers.waiting import wait_until

PAGE = (ROOT / "pigeon" / "docs" / "worker.md").read_text(encoding="utf-8")
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def lines(log: str) -> list[str]:
    return [line for line in log.splitlines() if re.match(STAMP, line)]


def test_a_line_at_the_start_and_at_the_end_and_no_bytes(pigeon: Pigeon) -> None:
    worker = pigeon.worker()  # its stderr is no terminal
    result = pigeon.run("cat; echo secret-output; exit 3", stdin=b"secret-input")
    assert result.code == 3
    (session,) = pigeon.sessions()
    short = session.id.partition("-")[2][:8]
    wait_until(lambda: len(lines(worker.log)) == 2, 15, "both lines")
    start, end = lines(worker.log)
    assert re.fullmatch(
        rf"{STAMP} {short} start tester@\S+ {pigeon.work}: cat; echo secret-output; exit 3", start
    )
    assert re.fullmatch(rf"{STAMP} {short} end failed 3 \S+ in 12 out 26", end)
    assert "secret-input" not in worker.log


def test_ids_only_none_and_what_was_never_started(pigeon: Pigeon) -> None:
    ids = pigeon.worker("--log=ids")
    assert pigeon.run("echo secret").code == 0
    wait_until(lambda: len(lines(ids.log)) == 2, 15, "both lines")
    assert "secret" not in ids.log
    assert str(pigeon.work) not in lines(ids.log)[0]
    gone = pigeon.directory("gone")
    notes = Notes(pigeon.directory("notes"))
    holder = pigeon.start(f"{notes.holding('h').removesuffix('; exit $code')}; rm -r {gone}", cwd=gone)
    notes.wait_started("h")
    late, _ = pigeon.begin("true", cwd=gone)
    notes.release("h")
    holder.wait()
    assert late.wait().code == 255
    wait_until(lambda: "without a start" in ids.log, 15, "the line")
    assert ids.stop() == 0
    silent = pigeon.worker("--log", "none")
    assert pigeon.run("true").code == 0
    assert not lines(silent.log)


def test_names_do_not_act_in_the_log(pigeon: Pigeon) -> None:
    worker = pigeon.worker("--log")
    assert pigeon.run("true \x1b[31m # \n# 2026-01-01T00:00:00Z forged line").code == 0
    wait_until(lambda: " end " in worker.log, 15, "the end")
    assert "\x1b" not in worker.log
    assert len(lines(worker.log)) == 2


# -- the unit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [(SYSTEM, ()), (USER, ("--user",)), (TEMPLATE, ("--template",))]
)
def test_the_unit(pigeon: Pigeon, kind: str, options: tuple[str, ...], tmp_path: Path) -> None:
    cache = "/shared/tester/100%"
    result = pigeon.run("worker", "--cache", cache, "--print-unit", *options)
    assert result.code == 0, result.words
    text = result.stdout.decode()
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation has it
    unit.read_string(text)
    service = unit["Service"]
    assert (service["KillMode"], service["Restart"]) == ("process", "on-failure")
    shown = "/shared/%i/100%%" if kind == TEMPLATE else "/shared/tester/100%%"
    assert unit["Unit"]["RequiresMountsFor"] == shown
    assert f"Environment=PIGEON_CACHE={shown}\n" in text
    assert service["ExecStart"].endswith(" worker")
    assert service.get("User") == {SYSTEM: "tester", USER: None, TEMPLATE: "%i"}[kind]
    assert unit["Install"]["WantedBy"] == ("default.target" if kind == USER else "multi-user.target")
    file = tmp_path / ("pigeon-worker@.service" if kind == TEMPLATE else "pigeon-worker.service")
    file.write_text(text)
    verify(file, "--user" if kind == USER else "--system")


def verify(file: Path, manager: str) -> None:
    """systemd's own opinion, where there is a systemd that has one."""
    program = shutil.which("systemd-analyze")
    if program is None:
        return
    trivial = file.with_name("trivial.service")
    trivial.write_text("[Service]\nExecStart=/bin/true\n")
    works = subprocess.run([program, manager, "verify", str(trivial)], capture_output=True)
    if works.returncode != 0:
        return  # no manager to ask
    done = subprocess.run([program, manager, "verify", str(file)], capture_output=True, text=True)
    complaints = [
        line for line in done.stderr.splitlines() if "man page" not in line and "not executable" not in line
    ]
    assert not complaints


def test_the_unit_needs_a_share_and_one_kind(pigeon: Pigeon) -> None:
    assert pigeon.run("worker", "--print-unit", "--user", "--template").code == 2
    none = pigeon.base / "none.toml"
    none.write_text("")
    assert pigeon.run("worker", "--config", str(none), "--print-unit").code == 2


# -- replacing it ---------------------------------------------------------------------------------------------


def test_a_worker_is_drained_and_replaced_as_the_page_says(pigeon: Pigeon) -> None:
    (recipe,) = re.findall(r"<!-- run by a test: drain -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    old = pigeon.worker()
    notes = Notes(pigeon.directory("notes"))
    long = pigeon.start(notes.holding("long"))
    notes.wait_started("long")
    command = " ".join(map(str, pigeon.command()))
    script = recipe.replace("pigeon worker &", f"{command} worker --journal {pigeon.journal} & echo new $!")
    shell = pigeon.start_process("bash", "-c", f"OLD={old.pid}\n{script}\nwait", cwd=pigeon.base)
    wait_until(lambda: len(pigeon.namespace.workers()) == 2, 20, "the new worker")
    for number in range(5):
        where = pigeon.directory(f"while-{number}")
        assert pigeon.run("true", cwd=where).code == 0, "somebody takes every command"
    assert old.child.running, "it waits for what it runs"
    notes.release("long")
    assert long.wait().code == 0
    assert old.wait() == 0
    where = pigeon.directory("after")
    assert pigeon.run("echo served", cwd=where).stdout == b"served\n"
    wait_until(lambda: b"new " in shell.out, 10, "its pid")
    subprocess.run(["kill", "-TERM", shell.out.split()[1].decode()], check=True)
    shell.wait()
