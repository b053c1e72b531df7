"""The journal among strangers: where it may lie, what may lie beside it, and what a row of it can bring about."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pigeon.errors import JournalError
from pigeon.journal import place
from pigeon.journal.store import Journal
from pigeon.worker import identity, proof
from pigeon.worker.recovery import ending, plan
from tests.helpers.journals import advance_to, set_columns
from tests.helpers.pigeon import Pigeon
from tests.helpers.privileges import NOBODY, needs_root
from tests.helpers.users import User, Users, needs_users
from tests.helpers.waiting import wait_until
from tests.worker.test_recovery_end import Place

OPEN = "import sys\nfrom pigeon.journal.store import Journal\nJournal.open(sys.argv[1]).close()"
"""What every process of a worker does with its journal."""


def refused(person: User, journal: Path, *words: str) -> None:
    """The journal is refused, with these words, and nothing is made of it."""
    done = person.python(OPEN, str(journal))
    assert done.returncode == 1, done
    assert "JournalUnavailable" in done.words and all(word in done.words for word in words), done.words


# -- the place ---------------------------------------------------------------------------------------------


def shut(directory: Path) -> None:
    """Nothing is wrong with it."""


def everybody(directory: Path) -> None:
    directory.chmod(0o777)


def group(directory: Path) -> None:
    directory.chmod(0o770)


def sticky(directory: Path) -> None:
    directory.chmod(0o1777)


def above_open(directory: Path) -> None:
    directory.parent.chmod(0o777)


def above_foreign(directory: Path) -> None:
    os.chown(directory.parent, NOBODY, NOBODY)
    directory.parent.chmod(0o755)


def foreign(directory: Path) -> None:
    os.chown(directory, NOBODY, NOBODY)
    directory.chmod(0o755)


@needs_root
@pytest.mark.parametrize("spoil", [everybody, group, sticky, above_open, above_foreign, foreign])
def test_a_directory_that_others_can_change_holds_no_journal(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    directory = tmp_path / "above" / "here"
    directory.mkdir(parents=True)
    path = directory / "j.db"
    Journal.open(str(path)).close()
    spoil(directory)
    blamed = directory.parent if spoil in (above_open, above_foreign) else directory
    with pytest.raises(JournalError) as caught:
        Journal.open(str(path))
    assert f"`{blamed}`" in caught.value.message
    assert caught.value.hint
    with pytest.raises(JournalError):
        Journal.open(str(directory / "new.db"))
    assert not (directory / "new.db").exists()


def test_a_sticky_directory_may_be_passed_through(tmp_path: Path) -> None:
    (tmp_path / "above").mkdir()
    (tmp_path / "above" / "here").mkdir(mode=0o700)
    (tmp_path / "above").chmod(0o1777)
    Journal.open(str(tmp_path / "above" / "here" / "j.db")).close()


@needs_users
def test_a_place_among_strangers(users: Users, meeting: Path) -> None:
    victim, attacker = users.victim, users.attacker
    mine = meeting / "mine"
    mine.mkdir()
    victim.own(mine, mode=0o700)
    assert victim.python(OPEN, str(mine / "j.db")).code == 0

    common = meeting / "common"
    common.mkdir()
    os.chown(common, 0, users.victim.group)
    common.chmod(0o2775)  # what a project's group has
    refused(victim, common / "j.db", f"`{common}` can be written by others")

    theirs = meeting / "theirs"
    theirs.mkdir()
    attacker.own(theirs, mode=0o755)
    refused(victim, theirs / "j.db", f"`{theirs}` belongs to another user (uid {attacker.uid})")


@needs_users
def test_a_private_group_is_nobody_else(users: Users, meeting: Path) -> None:
    """Where each user has a group of his own, umask 002 is usual, and no fault."""
    directory = meeting / "loose"
    directory.mkdir()
    users.victim.own(directory, mode=0o775)
    assert users.victim.python(OPEN, str(directory / "j.db")).code == 0
    os.chown(directory, users.victim.uid, users.attacker.gid)
    refused(users.victim, directory / "j.db", "can be written by others")


@needs_users
def test_a_link_that_a_stranger_laid_is_not_followed(users: Users, meeting: Path) -> None:
    """Also where it leads to a directory of the victim's own, whose content he has never chosen."""
    victim, attacker = users.victim, users.attacker
    common = meeting / "common"
    common.mkdir()
    common.chmod(0o1777)
    unpacked = meeting / "unpacked"
    unpacked.mkdir()
    victim.own(unpacked, mode=0o700)
    trap = common / f"pigeon-{victim.uid}"
    trap.symlink_to(unpacked)
    attacker.own(trap)
    refused(victim, trap / "j.db", f"`{trap}`", "symbolic link of another user")
    assert list(unpacked.iterdir()) == []
    trap.unlink()
    trap.symlink_to(unpacked)
    victim.own(trap)
    assert victim.python(OPEN, str(trap / "j.db")).code == 0


@needs_root
def test_the_private_directory_may_be_a_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a configured path too, and no hint proposes it then."""
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.setattr(place, "PRIVATE_BASE", str(base))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    directory = Path(place.private_directory())
    directory.symlink_to(theirs)
    os.chown(directory, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(JournalError, match="is not a directory"):
        Journal.open(str(directory / "journal.db"))
    assert list(theirs.iterdir()) == []
    assert place._such_as() == ""
    directory.unlink()
    assert str(directory) in place._such_as()


# -- what lies beside it -----------------------------------------------------------------------------------


def given_away(path: Path) -> None:
    path.touch()
    os.chown(path, NOBODY, NOBODY)


def open_to_all(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def linked(path: Path) -> None:
    (path.parent / "elsewhere").touch()
    path.symlink_to(path.parent / "elsewhere")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


@needs_root
@pytest.mark.parametrize("spoil", [given_away, open_to_all, linked, a_pipe])
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ".lock", ".runners"])
@pytest.mark.parametrize("is_there", [False, True], ids=["new", "old"])
def test_what_lies_beside_it_is_ours(
    tmp_path: Path, suffix: str, spoil: Callable[[Path], None], is_there: bool
) -> None:
    path = tmp_path / "j.db"
    if is_there:
        Journal.open(str(path)).close()
    beside = Path(f"{path}{suffix}")
    beside.unlink(missing_ok=True)
    spoil(beside)
    with pytest.raises(JournalError) as caught:
        Journal.open(str(path))
    assert f"`{beside}`" in caught.value.message
    assert caught.value.hint


# -- rows are data -----------------------------------------------------------------------------------------


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user that has nothing to do with pigeon."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def is_alive(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def forge(place_: Place, **columns: object) -> None:
    set_columns(place_.worker.journal_path, "t", **columns)


@pytest.mark.parametrize("where", ["elsewhere", "beside", "climbing"])
def test_no_path_out_of_a_row_is_touched(tmp_path: Path, where: str) -> None:
    made = Place(tmp_path, "running")
    precious = tmp_path / "precious"
    precious.write_text("kept")
    other = Path(made.worker.proof_directory) / "other.1.5.alive"  # of another session's runner
    other.write_text("kept")
    said = {
        "elsewhere": str(precious),
        "beside": str(other),
        "climbing": f"{made.worker.proof_directory}/t.1/../../precious",
    }[where]
    # Nobody knows its proof any more, so only another boot, or the end of its process, proves it dead.
    forge(made, runner_lock=said, boot_id="another/boot")
    assert plan.is_dead(made.worker.proof_directory, made.row)
    ending.end(made.worker, made.row)
    assert (precious.read_text(), other.read_text()) == ("kept", "kept")
    assert made.status.state == "failed"


@pytest.mark.parametrize("started", ["right", "none", "wrong"])
def test_no_process_out_of_a_row_is_ended(
    tmp_path: Path, bystander: subprocess.Popen[bytes], started: str
) -> None:
    made = Place(tmp_path, "running")
    start = identity.start_ticks(bystander.pid)
    forge(
        made,
        command_pid=bystander.pid,
        command_start={"right": start, "none": None, "wrong": 1}[started],
    )
    ending.end(made.worker, made.row)
    assert made.status.state == "failed"
    assert is_alive(bystander)


@pytest.mark.parametrize("number", [0, 1, -1])
def test_numbers_that_mean_more_than_a_process(tmp_path: Path, number: int) -> None:
    made = Place(tmp_path, "running")
    forge(made, command_pid=number, command_start=identity.start_ticks(1), runner_pid=number)
    ending.end(made.worker, made.row)
    assert made.status.state == "failed"


def test_a_command_that_hid_its_mark_is_ended_by_its_runners_word(
    tmp_path: Path, bystander: subprocess.Popen[bytes]
) -> None:
    made = Place(tmp_path, "running")
    held = proof.ProofOfLife(made.worker.proof_directory, "t.1")
    held.note_directory("/some where")
    held.note_command(bystander.pid)
    os.close(held.descriptor)  # as by the runner's death
    assert proof.noted_directory(held.path) == "/some where"
    forge(
        made,
        runner_lock=held.path,
        command_pid=bystander.pid,
        command_start=identity.start_ticks(bystander.pid),
    )
    ending.end(made.worker, made.row)
    wait_until(lambda: not is_alive(bystander), 10, "the end of the command")


def test_no_session_of_another_claim_is_ended(tmp_path: Path) -> None:
    made = Place(tmp_path, "running")
    Path(made.session.claim).write_text("worker_id=you-1\nclaim_token=another\n")
    ending.end(made.worker, made.row)
    assert made.status.state == "running"
    assert made.row.state == "final"


def test_a_row_that_says_less_than_the_stream_starts_nothing(tmp_path: Path) -> None:
    """By its row the command was never started, but a runner has said something: it is not run a second time."""
    made = Place(tmp_path, "claimed")
    assert plan.look(made.session, made.row).is_startable
    Path(made.session.stream).write_bytes(b'{"event":"started","pid":1,"ts":"x","type":"event"}\n')
    assert not plan.look(made.session, made.row).is_startable
    assert ending.end(made.worker, made.row) == 0
    assert made.status.state == "failed"


def test_only_a_runner_is_told_to_stop(tmp_path: Path, bystander: subprocess.Popen[bytes]) -> None:
    proofs = str(tmp_path / "proofs")
    held = proof.ProofOfLife(proofs, "t.1")
    start = identity.start_ticks(bystander.pid)
    assert not proof.signal_holder(bystander.pid, start, held.path, signal.SIGKILL)
    assert is_alive(bystander)
    assert proof.holds_proof(os.getpid(), identity.start_ticks(os.getpid()), held.path)
    assert not proof.holds_proof(os.getpid(), 1, held.path)
    assert not proof.holds_proof(os.getpid(), None, held.path)
    held.remove()


@pytest.mark.parametrize("said", ["right", "nothing", "wrong"])
def test_a_process_out_of_a_row_keeps_no_session_alive(
    tmp_path: Path, bystander: subprocess.Popen[bytes], said: str
) -> None:
    """Where the proof is gone, only who has it open is the runner: a phantom would keep slot, directory and worker."""
    made = Place(tmp_path, "running")
    held = proof.ProofOfLife(made.worker.proof_directory, "t.1")
    start = identity.start_ticks(bystander.pid)
    pid, ticks = {"right": (bystander.pid, start), "nothing": (None, None), "wrong": (1, 7)}[said]
    forge(made, runner_lock=held.path, runner_pid=pid, runner_start=ticks)
    os.unlink(held.path)
    assert not plan.is_dead(made.worker.proof_directory, made.row)  # this very process has it open
    os.close(held.descriptor)
    assert plan.is_dead(made.worker.proof_directory, made.row)
    os.mkdir(held.path)  # nor is this what a runner makes
    assert plan.is_dead(made.worker.proof_directory, made.row)


BAD_VALUES = {
    "session_id": None,
    "claim_token": "../../x",
    "state": "bananas",
    "epoch": "many",
    "cwd": b"\xff\x00",
    "command": "[1, null",
    "command_pid": "1; rm",
    "runner_pid": 2**62,
    "runner_start": "soon",
    "runner_lock": b"\x00",
    "boot_id": 7,
    "started_at": float("inf"),
    "lock_wait_s": "long",
    "return_code": "zero",
}


def damage(path: Path, token: str, column: str, value: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = on")
        database.execute("PRAGMA writable_schema = on")
        (sql,) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'sessions'").fetchone()
        loose = str(sql).replace("NOT NULL", "").replace("STRICT", "")
        database.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'sessions'", (loose,))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE sessions SET {column} = ? WHERE claim_token = ?", (value, token))


@pytest.fixture
def damaged_rows(pigeon: Pigeon) -> dict[str, str]:
    """Column -> the session whose row has nonsense there, all in one journal."""
    tokens = dict(zip(BAD_VALUES, "0123456789abcd", strict=True))
    with Journal.open(str(pigeon.journal)) as journal:
        for token in tokens.values():
            advance_to(journal, token, "running")
    place_ = str(pigeon.share.worker_path)
    for column, token in tokens.items():
        set_columns(pigeon.journal, token, cache=place_, namespace="test", boot_id="another/boot")
        damage(pigeon.journal, token, column, BAD_VALUES[column])
    return {column: f"1700000000000-{token:0>12}" for column, token in tokens.items()}


def test_damaged_rows_are_told_and_stop_nobody(pigeon: Pigeon, damaged_rows: dict[str, str]) -> None:
    """Not the verbs that show them, and not the worker that finds them when it starts."""
    options = ("--journal", str(pigeon.journal))
    for words in (("-n", "0"), ("-n", "0", "--csv"), ("-n", "0", "--json")):
        done = pigeon.run("history", *words, *options)
        assert done.code == 0, done.words
        for column, session in damaged_rows.items():
            assert column == "session_id" or session in done.stdout.decode(), (words, column)
    for column, session in damaged_rows.items():
        done = pigeon.run("history", session, *options)
        assert done.code == 0, (column, done.words)  # its events are whole
    pigeon.worker()
    assert pigeon.run("echo served").stdout == b"served\n"


def test_inspect_explains_a_damaged_journal(pigeon: Pigeon) -> None:
    pigeon.worker()
    pigeon.run("true")
    session = pigeon.sessions()[-1]
    pigeon.workers[-1].stop()
    data = pigeon.journal.read_bytes()
    pigeon.journal.write_bytes(data[:4096] + b"\xaa" * (len(data) - 4096))
    for path in (Path(f"{pigeon.journal}-wal"), Path(f"{pigeon.journal}-shm")):
        path.unlink(missing_ok=True)
    for words in (("inspect", session.id, "--here"), ("history",), ("history", session.id)):
        done = pigeon.run(*words, "--journal", str(pigeon.journal))
        assert "is damaged" in done.words, done
        assert "bug" not in done.words
