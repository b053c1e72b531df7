"""Pigeon over kernel NFS: the client in one machine of the lab, the worker in another.

Limits are generous and nothing is judged by speed (test_nfs_lab.py says why). Each test prints what it measured with
`-s`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time

import pytest

from tests.helpers.waiting import wait_until
from tests.mounts.nfs_lab import (
    EVERY_MOUNT,
    GRACE_S,
    LEASE_S,
    LOCKING_MOUNTS,
    PYTHON,
    LabPigeon,
    Screen,
    assert_one_at_a_time,
    finish,
    long_test,
    on,
)
from tools.nfs_lab.kernel import CHECKOUT


@long_test
@on(*EVERY_MOUNT)
def test_exit_codes_and_output(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker()
    started = time.monotonic()
    first = lab_pigeon.run("true")
    times = [time.monotonic() - started]
    assert (first.returncode, first.stdout, first.stderr) == (0, b"", b"")
    for code in (0, 3, 255):
        started = time.monotonic()
        assert lab_pigeon.run(f"exit {code}").returncode == code
        times.append(time.monotonic() - started)
    print(f"\n`pigeon true` and the like: {', '.join(f'{t:.1f}' for t in times)} s")
    assert lab_pigeon.run("kill -TERM $$").returncode == 128 + signal.SIGTERM
    done = lab_pigeon.run("pwd; hostname; echo wrong >&2; echo made > here")
    assert (done.stdout.decode(), done.stderr) == (f"{lab_pigeon.work}\nb\n", b"wrong\n")
    # The user's own files are the user's affair: listing makes NFS look.
    assert lab_pigeon.sh("a", f"ls {lab_pigeon.work} >/dev/null; cat {lab_pigeon.work}/here") == "made\n"


@long_test
@on(*EVERY_MOUNT)
def test_pipes_are_exact_both_ways(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker()
    data = os.urandom(10_000_000)
    digest = hashlib.sha256(data).hexdigest()
    started = time.monotonic()
    assert lab_pigeon.run("sha256sum", stdin=data, timeout_s=400).stdout.decode().split()[0] == digest
    print(f"\n10 MB in: {time.monotonic() - started:.1f} s", end="")
    started = time.monotonic()
    # A file that the worker's host makes for itself, so that only the output crosses the share.
    done = lab_pigeon.lab.exec("b", ["sh", "-c", f"cat > /local/{lab_pigeon.name}/data"], input=data)
    assert done.returncode == 0
    started = time.monotonic()
    out = lab_pigeon.run(f"cat /local/{lab_pigeon.name}/data", timeout_s=400).stdout
    print(f", out: {time.monotonic() - started:.1f} s")
    assert hashlib.sha256(out).hexdigest() == digest


@long_test
@on("4.2", "3")
@pytest.mark.timeout(5400)
def test_fifty_sessions_at_once(lab_pigeon: LabPigeon) -> None:
    """They run at once; but they begin by tens: more starting clients than that starve on one emulated processor.

    Thirty idle sessions fill half of such a processor already, so the last tens take minutes to begin.
    """
    lab_pigeon.worker("b", "--max-jobs", "64")
    directories = [f"{lab_pigeon.work}/{n}" for n in range(50)]
    lab_pigeon.sh("a", f"mkdir {' '.join(directories)}")
    started = time.monotonic()
    sessions: list[subprocess.Popen[bytes]] = []

    def all_have_begun() -> bool:
        listing = f"ls {lab_pigeon.work}/*/begun 2>/dev/null | wc -l"
        return int(lab_pigeon.sh("b", listing)) == len(sessions)

    for first in range(0, 50, 10):
        for n in range(first, first + 10):
            text = f"touch begun; pwd; cat; exit {n}"
            sessions.append(lab_pigeon.start(text, cwd=directories[n], stdin=subprocess.PIPE))
        wait_until(all_have_begun, 1500, f"the start of {len(sessions)} commands", interval_s=5.0)
    began = time.monotonic()
    for n, session in enumerate(sessions):
        assert session.poll() is None and session.stdin
        session.stdin.write(f"input of {n}\n".encode())
        session.stdin.close()
        session.stdin = None
    for n, (session, where) in enumerate(zip(sessions, directories, strict=True)):
        done = finish(session, timeout_s=1500)
        assert (done.returncode, done.stdout, done.stderr) == (n, f"{where}\ninput of {n}\n".encode(), b"")
    print(f"\n50 sessions: begun in {began - started:.1f} s, ended in {time.monotonic() - began:.1f} s")


@long_test
@on(*LOCKING_MOUNTS)
def test_one_at_a_time_in_a_directory_with_workers_on_both_hosts(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker("b")
    lab_pigeon.worker("a")
    assert_one_at_a_time(lab_pigeon)


@long_test
@on(*EVERY_MOUNT)
def test_an_interactive_program(lab_pigeon: LabPigeon) -> None:
    lab_pigeon.worker()
    argv = [PYTHON, "-m", "pigeon", "env", "-u", "PYTHONSTARTUP", PYTHON, "-q"]
    screen = Screen(lab_pigeon.popen("a", argv, stdin=subprocess.PIPE, pty=True))
    screen.wait_for(b">>> ", 60)
    screen.type(b"import os, sys; print(os.get_terminal_size(), sys.stdin.isatty())\r")
    screen.wait_for(b"columns=80, lines=24) True")
    echoes = []
    for number in range(10):
        screen.type(f"{number} + 1000\r".encode())
        echoes.append(screen.wait_for(f"{number + 1000}\r\n".encode()))
    print(f"\ntyped line to its answer: {', '.join(f'{t * 1000:.0f}' for t in sorted(echoes))} ms")
    screen.type(b"import time; time.sleep(600)\r")
    screen.wait_for(b"sleep(600)")
    screen.type(b"\x03")
    screen.wait_for(b"KeyboardInterrupt")
    screen.type(b"raise SystemExit(9)\r")
    assert screen.process.wait(60) == 9


@long_test
@pytest.mark.parametrize("hours", [-5, 5])
@on("4.2", "3")
def test_clocks_hours_apart(lab_pigeon: LabPigeon, hours: int) -> None:
    with lab_pigeon.lab.skewed("a", hours * 3600):
        lab_pigeon.worker()
        done = lab_pigeon.run("cat; exit 4", stdin=b"whenever\n")
        assert (done.returncode, done.stdout, done.stderr) == (4, b"whenever\n", b"")
        later = lab_pigeon.start("for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 1; done")
        assert finish(later).stdout == b"1\n2\n3\n4\n5\n6\n7\n8\n"


@long_test
@pytest.mark.parametrize("crash", [False, True], ids=["service", "power cut"])
@on("4.2", "3")
def test_the_server_restarts_under_a_session(lab_pigeon: LabPigeon, crash: bool) -> None:
    lab_pigeon.worker()
    session = lab_pigeon.start(
        "for n in $(seq 30); do echo $n; sleep 0.5; done; cat; exit 6", stdin=subprocess.PIPE
    )
    assert session.stdout
    assert session.stdout.readline() == b"1\n"
    lab_pigeon.lab.restart_server(crash=crash)
    started = time.monotonic()
    done = finish(session, b"typed during the restart\n", 120 + 4 * GRACE_S)
    print(f"\nended {time.monotonic() - started:.1f} s after the restart, lease {LEASE_S} s; {done.stderr!r}")
    wanted = "".join(f"{n}\n" for n in range(2, 31)) + "typed during the restart\n"
    assert (done.returncode, done.stdout.decode()) == (6, wanted)


@long_test
@pytest.mark.parametrize("machine", ["a", "b"])
@on("4.2", "3")
def test_a_host_is_cut_off_for_a_while(lab_pigeon: LabPigeon, machine: str) -> None:
    lab_pigeon.worker()
    session = lab_pigeon.start("for n in $(seq 20); do echo $n; sleep 0.5; done; exit 6")
    assert session.stdout
    assert session.stdout.readline() == b"1\n"
    assert machine in ("a", "b")
    lab_pigeon.lab.cut(machine)  # type: ignore[arg-type]  # the parameter's two values are the two literals
    time.sleep(LEASE_S / 3)  # how long it is cut off is what is tested
    lab_pigeon.lab.mend(machine)  # type: ignore[arg-type]  # as above
    started = time.monotonic()
    done = finish(session, timeout_s=200)
    print(f"\nended {time.monotonic() - started:.1f} s after the wire was back; {done.stderr!r}")
    assert (done.returncode, done.stdout.decode()) == (6, "".join(f"{n}\n" for n in range(2, 21)))


EXPORT = "rw,sync,no_subtree_check,insecure"


@long_test
@on("4.2", "3")
def test_a_server_that_gives_files_to_another_uid(lab_pigeon: LabPigeon) -> None:
    """Such files are another's to everybody on the client: said in words, and nobody is served there; whoever has the
    uid that the server gives is served as ever."""
    as_user = "setpriv --reuid=1000 --regid=1000 --clear-groups"
    try:
        for squash, prefix, owner in (
            ("root_squash", "", 65534),
            ("all_squash,anonuid=2000,anongid=2000", as_user, 2000),
        ):
            export_with(lab_pigeon, squash)
            cache = f"/share/{lab_pigeon.name}-{owner}"
            assert lab_pigeon.sh("a", f"{prefix} mkdir -m 700 {cache}; stat -c %u {cache}") == f"{owner}\n"
            for machine, words in (("a", "true"), ("a", "sessions"), ("b", "true")):
                said = lab_pigeon.sh(
                    machine, f"PIGEON_CACHE={cache} {prefix} {PIGEON} {words} 2>&1; echo code $?"
                )
                assert f"`{cache}` belongs to another user (uid {owner})" in said, said
                assert ("root_squash" in said) == (not prefix), said
                assert said.endswith("code 255\n"), said
        said = lab_pigeon.sh(
            "a",
            f"PIGEON_CACHE={cache} setpriv --reuid=2000 --regid=2000 --clear-groups {PIGEON} "
            "--claim-timeout 1 true 2>&1 || :",
        )
        assert "no worker has taken the session" in said, said
    finally:
        export_with(lab_pigeon, "no_root_squash")


PIGEON = (
    f"env HOME=/tmp PYTHONPATH={CHECKOUT} PIGEON_NAMESPACE=lab PIGEON_JOURNAL=/local/j.db "
    "/usr/bin/python3 -m pigeon"
)
"""With the system's own Python, which every user may execute: a client needs no packages."""


def export_with(lab_pigeon: LabPigeon, squash: str) -> None:
    """The lab's export, with other rules of whose a file is (exports(5))."""
    lab_pigeon.sh("server", f"exportfs -i -o {EXPORT},{squash} '*:/share'; exportfs -f")
