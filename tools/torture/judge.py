"""Every promise of FORMAT.md ("What holds whatever dies"), checked after a run from evidence.

The evidence is what commands wrote down by themselves, what clients printed, how processes ended, and the files on the
share, read here without any of pigeon's code. Each violation is one line with what it is about in front.
"""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tests.helpers.evidence import journal_rows
from tests.helpers.notes import Interval, overlapping
from tests.helpers.share import FINAL, outputs_in_order
from tools.torture import kinds, plan
from tools.torture.clients import Client, Member
from tools.torture.journals import check_journals

_WHILE_PYTHON_STARTS = re.compile(
    rb"Traceback \(most recent call last\):\n(  File \"<(frozen|string)[^\n]*\n)+KeyboardInterrupt\n"
)
"""Python itself says so if SIGINT comes before it has begun with a line of pigeon's."""

_BASH_SAYS = re.compile(rb"^(\S+: line \d+: +\d+ )?(Hangup|Terminated|Killed).*\n", re.M)


GAP_S = 20.0
"""Between the end of a command that had its directory's lock and that of its job's next one taking it: two seconds, and
as long as a runner may be stopped in a run. Another worker may start a command of others then."""


class Stream(NamedTuple):
    """What a stream.jsonl holds up to its exit event."""

    output: dict[str, bytes]
    exit_code: int | None
    events: list[str]
    damage: str | None


class Notes:
    """What one command wrote down."""

    def __init__(self, directory: Path, files: list[str], name: str) -> None:
        self._directory = directory
        self._files = files
        self.name = name

    def _of(self, kind: str) -> list[str]:
        return [f for f in self._files if f.startswith(f"{kind}.")]

    def stamps(self, kind: str) -> list[float]:
        """When it noted such a thing, in seconds."""
        return sorted(float(".".join(name.split(".")[-2:])) for name in self._of(kind))

    def texts(self, kind: str) -> list[str]:
        """What it noted."""
        return [(self._directory / name).read_text().strip() for name in sorted(self._of(kind))]

    def data(self, kind: str) -> bytes | None:
        """A file that it kept."""
        path = self._directory / f"{kind}.{self.name}"
        return path.read_bytes() if path.exists() else None

    @property
    def session_id(self) -> str | None:
        """The session in which it ran."""
        starts = [text.split() for text in self.texts("start")]
        return next((words[1] for words in starts if len(words) == 2), None)


def read_stream(path: Path) -> Stream:
    """Records up to the exit event, with what lies in segments in its place; `damage` says what is wrong with them."""
    records: list[dict[str, Any]] = []
    exit_code = damage = None
    seq = 0
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        lines = [b""]
    for number, line in enumerate(lines[:-1]):
        try:
            record: dict[str, Any] = json.loads(line)
        except ValueError:
            damage = f"line {number} is no JSON: {line[:80]!r}"
            break
        if record["type"] == "output":
            if record["seq"] != seq:
                damage = f"line {number}: seq {record['seq']} instead of {seq}"
                break
            seq += 1
        records.append(record)
        if record.get("event") == "exit":
            exit_code = record["exit_code"]
            break
    output: dict[str, bytes] = defaultdict(bytes)
    parts: dict[str, list[bytes]] = defaultdict(list)
    for channel, data in outputs_in_order(records, path.parent):
        parts[channel].append(data)
    output.update({channel: b"".join(pieces) for channel, pieces in parts.items()})
    events = [record["event"] for record in records if record["type"] == "event"]
    return Stream(output, exit_code, events, damage)


def _own(data: bytes) -> bytes:
    """Without what bash says of a child that was killed."""
    return _BASH_SAYS.sub(b"", data)


class Judge:
    """One run's evidence. `violations` after `check`."""

    def __init__(
        self,
        base: Path,
        clients: list[Client | Member],
        journals: dict[str, Path],
        first_ends: dict[str, tuple[str, int]],
    ) -> None:
        self.base = base
        self.first_ends = first_ends
        self.clients = clients
        self.journals = journals
        self.violations: list[str] = []
        self.counts: dict[str, int] = defaultdict(int)
        self.root = base / "share" / "namespaces" / "test"
        self._files: dict[str, list[str]] = defaultdict(list)
        for path in (base / "notes").iterdir():
            self._files[path.name.split(".")[1]].append(path.name)

    def check(self) -> list[str]:
        """All promises."""
        ids = self._ids()
        intervals: dict[str, list[Interval]] = defaultdict(list)
        whole: set[str] = set()
        for client in self.clients:
            session = client.session
            notes = Notes(self.base / "notes", self._files[session.name], session.name)
            self._starts(notes)
            session_id = ids.get(session.number)
            place = self.root / "sessions" / (session_id or "-")
            status = self._status(place)
            stream = read_stream(place / "stream.jsonl")
            self._check_end(client, notes, session_id, status, stream)
            self._check_output(client, notes, status, stream)
            self._check_input(session, notes)
            if session.kind == plan.NESTING:
                self._check_inner(session, notes, status)
            if self._has_come_to_its_end(client, notes, stream):
                whole.add(session.name)
            starts, ends = notes.stamps("start"), notes.stamps("end")
            if session.locks and len(starts) == len(ends) == 1:
                times = (int(starts[0] * 1e9), int(ends[0] * 1e9))
                intervals[session.directory].append(Interval(session.name, *times))
        for directory, ran in intervals.items():
            for pair in overlapping(ran):
                if not self._may_overlap(*pair):
                    self._wrong(directory, f"two commands at a time: {pair}")
        for client in self.clients:
            self._check_flow(client, whole)
        self._check_sessions()
        rows = {name: journal_rows(path).get("sessions", []) for name, path in self.journals.items()}
        self.violations += check_journals(self.journals, rows, self.root / "sessions")
        self._check_logs()
        return self.violations

    def check_lost(self) -> list[str]:
        """What can be told without the share: nothing ran twice, and all that was printed and read is right."""
        for client in self.clients:
            session = client.session
            notes = self._notes(session.name)
            self._starts(notes)
            self._check_input(session, notes)
            channel = "pty" if session.kind in plan.ON_A_TERMINAL else "stdout"
            if not session.detach and channel == "stdout" and client.out is not None:
                self._prefix(f"{session.name}: client's output", client.out, kinds.expected(session, channel))
        self._check_logs()
        return self.violations

    def _notes(self, name: str) -> Notes:
        return Notes(self.base / "notes", self._files[name], name)

    @staticmethod
    def _has_come_to_its_end(client: Client | Member, notes: Notes, stream: Stream) -> bool:
        """Nothing that was done has had to do with it, and its command has ended as it wanted."""
        has_ended = (
            notes.texts("end") == [str(client.session.code)] and stream.exit_code == client.session.code
        )
        return has_ended and not client.touched and client.code == client.session.code

    def _check_flow(self, client: Client | Member, whole: set[str]) -> None:
        """What one of a pipeline's commands prints the next one reads."""
        source = client.session.source
        if client.job is None or source is None:
            return
        names = [member.session.name for member in client.job.members]
        before = names[: names.index(client.session.name) + 1]
        if all(name in whole for name in before):
            self.counts["read all that the one before has printed"] += 1
            received = self._notes(client.session.name).data("received") or b""
            if received != kinds.expected(client.session, "stdout"):
                self._wrong(
                    client.session.name, f"got {len(received)} bytes, and all before it has ended well"
                )

    def _companions(self, name: str) -> list[str]:
        """Names of its job's sessions, if it is of one."""
        for client in self.clients:
            if client.job is not None and name in (names := [m.session.name for m in client.job.members]):
                return names
        return []

    def _may_overlap(self, one: str, other: str) -> bool:
        """They are of one job; or one of them began when the other's companion had just freed their directory."""
        if other in self._companions(one):
            self.counts["ran beside one of their own job"] += 1
            return True
        first, second = sorted((one, other), key=lambda name: self._notes(name).stamps("start"))
        begun = self._notes(second).stamps("start")[0]
        for companion in self._companions(first):
            if companion != first and any(
                0 <= begun - end < GAP_S for end in self._notes(companion).stamps("end")
            ):
                self.counts["began while a job's next one was to take the lock"] += 1
                return True
        return False

    def _check_inner(self, session: plan.Session, notes: Notes, status: dict[str, Any]) -> None:
        """A pigeon inside a session runs its command there, once, and ends as that does.

        Where the session's runner has died it is inside none, and finds no configuration for a client of its own.
        """
        inner = self._notes(f"inner-{session.number}")
        starts = inner.stamps("start")
        if len(starts) > 1:
            self._wrong(inner.name, f"started {len(starts)} times")
        for code in notes.texts("inner"):
            self.counts["called inside"] += 1
            is_inside = status.get("ended_by") not in ("recovery", "takeover")
            if is_inside and int(code) != 7 and int(code) < 128:
                self._wrong(inner.name, f"ended with 7, and its pigeon with {code}")
            if int(code) == 7 and inner.session_id != notes.session_id:
                self._wrong(inner.name, f"ran in {inner.session_id} and not in {notes.session_id}")

    def _wrong(self, who: str, what: str) -> None:
        self.violations.append(f"{who}: {what}")

    def _ids(self) -> dict[int, str]:
        """Session number -> id, by the name in the request's command."""
        found: dict[int, str] = {}
        for path in (self.root / "sessions").glob("*/request.json"):
            try:
                text = json.loads(path.read_bytes())["command"][-1]
            except ValueError:
                self._wrong(path.parent.name, "its request.json cannot be read")
                continue
            match = re.search(r"/bin/job \S+ ([a-z]+)-(\d+) ", text)
            if match and match[1] == "inner":  # its session's runner had died: that is none any more
                self.counts["called inside, published"] += 1
            elif match:
                number = int(match[2])
                if number in found:
                    self._wrong(str(number), f"published twice: {found[number]} and {path.parent.name}")
                found[number] = path.parent.name
        return found

    @staticmethod
    def _status(place: Path) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((place / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def _starts(self, notes: Notes) -> None:
        starts = notes.stamps("start")
        self.counts["started"] += bool(starts)
        if len(starts) > 1:
            self._wrong(notes.name, f"started {len(starts)} times: {notes.texts('start')}")
        for text in notes.texts("overlap"):
            if text and self._may_overlap(text.split()[0], notes.name):
                continue
            self._wrong(notes.name, f"found another command at work in its directory: {text}")

    def _check_end(
        self,
        client: Client | Member,
        notes: Notes,
        session_id: str | None,
        status: dict[str, Any],
        stream: Stream,
    ) -> None:
        who = f"{client.session.name} ({session_id})"
        state, code = status.get("state"), status.get("exit_code")
        self.counts[
            f"state {state or 'unpublished'}{' by ' + status['ended_by'] if status.get('ended_by') else ''}"
        ] += 1
        if notes.session_id not in (None, session_id):
            self._wrong(who, f"its command ran in {notes.session_id}")
        if not status:
            if notes.stamps("start"):
                self._wrong(who, "started without having been published")
            if client.was_begun and not client.touched and client.code != 255 and not client.session.detach:
                self._wrong(who, f"never published, and its client ended with {client.code}")
            return
        if state not in FINAL:
            self._wrong(who, f"not final: {status}")
        ends = [int(text) for text in notes.texts("end") if text]
        if stream.exit_code is not None:
            if stream.exit_code != code and status.get("ended_by") != "takeover":
                self._wrong(who, f"exit event says {stream.exit_code}, status {status}")
            self._check_exit_event(who, notes, stream.exit_code, ends)
        if state == "succeeded" and ends != [0]:
            self._wrong(who, f"succeeded, but its command noted {ends}")
        torn = status.get("ended_by") in ("recovery", "takeover")
        if stream.damage and not torn:
            self._wrong(who, f"damaged stream: {stream.damage}")

    def _check_exit_event(self, who: str, notes: Notes, exit_code: int, ends: list[int]) -> None:
        if not notes.stamps("start") and exit_code not in (129, 130, 137, 143):
            self._wrong(who, f"ended with {exit_code} without a start")
        if ends and exit_code not in (ends[0], 137) and exit_code < 129:
            self._wrong(who, f"exit code {exit_code}, but its command ended with {ends[0]}")
        if not ends and exit_code < 128 and notes.stamps("start"):
            self._wrong(who, f"exit code {exit_code} from a command that noted no end")

    def _check_output(
        self, client: Client | Member, notes: Notes, status: dict[str, Any], stream: Stream
    ) -> None:
        session, who = client.session, client.session.name
        for channel, data in stream.output.items():
            self._prefix(f"{who}: stream, {channel}", _own(data), kinds.expected(session, channel))
        channel = "pty" if "pty" in stream.output else "stdout"
        whole = kinds.expected(session, channel)
        if (
            session.kind in plan.ON_A_TERMINAL and "window closed" in client.touched
        ):  # an early end of its input
            whole = kinds.answers((notes.data("heard") or b"").decode().splitlines(), channel)
        if session.kind == plan.FILTER:
            whole = notes.data("received") or b""
        written = stream.output.get("pty", stream.output.get("stdout", b""))
        printed = (notes.data("printed") or b"").split()
        least = int(printed[-1]) if printed else 0
        lost_its_reader = client.out is None and stream.exit_code == 128 + signal.SIGPIPE
        if stream.exit_code is not None and not lost_its_reader:
            if len(written.replace(b"\r\n", b"\n")) < least:
                self._wrong(who, f"exit event after {len(written)} bytes of output; it had written {least}")
            if notes.texts("end") == [str(session.code)] and written != whole:
                self._wrong(who, f"ended by itself: {len(written)} of {len(whole)} bytes in the stream")
        out = client.out
        if session.detach or out is None:
            return
        if (
            session.kind in plan.ON_A_TERMINAL
        ):  # typed when its command had been killed: the terminal was cooked again
            out = re.sub(rb"(?<=> )(line \d+|quit)\r\n\Z", b"", out)
        if session.kind not in plan.ON_A_TERMINAL or not client.touched:
            # What is typed while the guardian is stopped, or has given the terminal back, is echoed in between.
            self._prefix(f"{who}: client's output", out, written)
        if session.kind not in plan.ON_A_TERMINAL:
            said = client.err_path.read_bytes().splitlines(True)
            errors = b"".join(line for line in said if not line.startswith(b"pigeon"))
            self._prefix(f"{who}: client's errors", errors, stream.output.get("stderr", b""))
        self._check_client_end(client, status, stream, out == written)

    def _check_client_end(
        self, client: Client | Member, status: dict[str, Any], stream: Stream, is_whole: bool
    ) -> None:
        who = client.session.name
        if client.touched or client.code is None:
            return
        if client.job is not None and any(member.touched for member in client.job.members):
            return  # the end of one is what the others hear of
        self.counts["clients left alone"] += 1
        if stream.exit_code is not None:
            self._check_client_with_exit(client, status, stream, is_whole)
        elif status.get("state") in FINAL and client.code not in (status.get("exit_code"), 255):
            self._wrong(
                who, f"client ended with {client.code}, status {status}; it said {client.err[-300:]!r}"
            )

    def _check_client_with_exit(
        self, client: Client | Member, status: dict[str, Any], stream: Stream, is_whole: bool
    ) -> None:
        who = client.session.name
        if client.code == stream.exit_code:
            if not is_whole and status.get("ended_by") is None:
                self._wrong(who, f"its client ended with {client.code} and has not printed everything")
        elif status.get("ended_by") != "takeover":
            self._wrong(
                who,
                f"exit event {stream.exit_code}, but its client ended with {client.code}: {client.err[-300:]!r}; "
                f"{status}",
            )

    def _prefix(self, who: str, found: bytes, whole: bytes) -> None:
        if whole.startswith(found):
            return
        at = next((i for i, (a, b) in enumerate(zip(found, whole, strict=False)) if a != b), len(whole))
        self._wrong(
            who,
            f"differs at byte {at} of {len(found)} (of {len(whole)}): {found[at : at + 60]!r} for "
            f"{whole[at : at + 60]!r}",
        )

    def _check_input(self, session: plan.Session, notes: Notes) -> None:
        if session.source is not None:
            self._prefix(
                f"{session.name}: input", notes.data("received") or b"", kinds.expected(session, "stdout")
            )
        elif session.kind == plan.BINARY:
            received = notes.data("received") or b""
            self._prefix(f"{session.name}: input", received, kinds.sent(session))
            for text in notes.texts("hash"):
                right = hashlib.sha256(kinds.sent(session)).hexdigest()
                if text and notes.texts("end") == [str(session.code)] and text.split()[0] != right:
                    self.counts["ended with part of the input"] += 1
        elif session.kind in plan.ON_A_TERMINAL:
            heard = notes.data("heard") or b""
            self._prefix(
                f"{session.name}: input", heard, "".join(f"{t}\n" for t in kinds.typed(session)).encode()
            )

    def _check_sessions(self) -> None:
        """Sessions of nobody's, and claims without an end."""
        for place in (self.root / "sessions").iterdir():
            status = self._status(place)
            end = (status.get("state"), status.get("exit_code"))
            if self.first_ends.get(place.name, end) != end:
                self._wrong(place.name, f"had ended as {self.first_ends[place.name]}, and then: {status}")
            if (place / "worker.claim").exists() and status.get("state") not in FINAL:
                self._wrong(place.name, f"claimed and not final: {status}")

    def _check_logs(self) -> None:
        for path in [*(self.base / "logs").iterdir(), *(self.base / "tmp").glob("pigeon-*.txt")]:
            text = b"" if path.suffix == ".in" else path.read_bytes()
            text = _WHILE_PYTHON_STARTS.sub(b"", text)
            at = text.find(b"Traceback (most recent call last)")
            if at >= 0 and (path.suffix != ".out" or path.name.startswith("worker")):
                self._wrong(
                    str(path), f"a traceback: {text[at : at + 3000].decode('utf-8', 'backslashreplace')}"
                )
