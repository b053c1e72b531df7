"""The client's process on the share: input and control out, output in, until the session has an end.

Runs as the guardian's child. It may hang in any operation on the share; the guardian is there for the user meanwhile.
"""

from __future__ import annotations

import os
import select

from pigeon import clock, trace
from pigeon.client import frames
from pigeon.client.outcome import Options, Outcome, of_error
from pigeon.client.session import submit
from pigeon.client.session.guardian_inbox import GuardianInbox
from pigeon.client.session.output import Output
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.session_end import QUIET_S, SessionEnd
from pigeon.client.session.trouble import NO_ROOM, ShareTrouble
from pigeon.client.session.upstream import Upstream
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, DamagedSession, PigeonError
from pigeon.wire import files, states
from pigeon.wire.files import Appender
from pigeon.wire.names import SessionFiles
from pigeon.wire.pacing import WATCHING, interval, pending_interval, polite
from pigeon.wire.records import Record, data_of, integer
from pigeon.wire.tail import Tail

READ_BYTES = 1024 * 1024
ALIVE_S = 2.0
ANSWERED_S = 0.1


class Pump:
    """One client's traffic with one session. `attachment` > 0 once it has taken over from an earlier client."""

    def __init__(
        self,
        guardian: frames.FramePipe,
        session: SessionFiles,
        peer: OwnerState,
        options: Options,
        *,
        attachment: int = 0,
        created_at: str = "",
    ) -> None:
        self.guardian = guardian
        self.session = session
        self.peer = peer
        self.options = options
        self.screen = Output(guardian, options)
        self._now = clock.monotonic()
        self.upstream = Upstream(session, peer, options, attachment, self._now)
        self.ending = SessionEnd(session, self._now)
        self._reading = ShareTrouble(session.directory, self.screen.notice)
        self._writing = ShareTrouble(session.directory, self.screen.notice)
        self._stream = Tail(session.stream, ("output",))
        self._created_at = created_at or clock.utc_text()
        self.user = GuardianInbox(
            guardian, session, options, self.screen, self.upstream, self.ending, self._created_at
        )
        self._born = self._active = self._next_look = self._next_alive = self._answered_told = self._now
        self._answered = False

    @property
    def _started(self) -> bool:
        return self.upstream.is_started

    def join(self, stream: Tail, control: Appender | None) -> None:
        """Take part in a session that runs already: `stream` stands where reading goes on."""
        self._stream = stream
        self.ending.joined()
        self.upstream.is_started = True
        self.upstream.is_open = False
        if control is not None:
            self.upstream.control = control
        if self.options.raw:
            self.screen.go_raw()

    def run(self) -> Outcome:
        """Until the session has an end that can be told."""
        try:
            while True:
                self._wait()
                self._now = clock.monotonic()
                self._write()
                if self._now >= self._next_look:
                    self._look()
                self._tell_guardian()
                self._conclude()
        except Outcome as outcome:
            return outcome
        except PigeonError as error:
            self.user.last_words("hangup")
            return of_error(error)

    # Waiting

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.guardian.reading, select.POLLIN)
        if self._wants_stdin():
            poll.register(0, select.POLLIN)
        for sink in self.screen.sinks:
            if sink.is_waiting and not sink.is_held and not self.user.is_suspended:
                poll.register(sink.fd, select.POLLOUT)
        if self.guardian.has_output:
            poll.register(self.guardian.writing, select.POLLOUT)
        for fd, _ in poll.poll(self._timeout() * 1000):
            if fd == self.guardian.reading:
                if self.user.hear():
                    self._brisk()
            elif fd == 0:
                self._read_stdin()
            elif fd == self.guardian.writing:
                self.guardian.flush()
            else:
                self._go_on_printing()

    def _timeout(self) -> float:
        now = clock.monotonic()
        return max(0.0, min(self._next_look - now, self._next_alive - now, *self.upstream.due(now)))

    def _wants_stdin(self) -> bool:
        if self.options.keyboard or not self.options.reads_stdin or self.user.is_suspended:
            return False
        return self.upstream.wants_input()

    # The user's side; what he wants otherwise, `User` hears from the guardian

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: a terminal that has gone; EISDIR: no input either way
        if data:
            self.upstream.send(data)
            self._brisk()
        else:
            self.upstream.end()

    def _brisk(self) -> None:
        """Something happened: look again soon."""
        self._active = self._now = clock.monotonic()
        self._next_look = min(self._next_look, self._now + interval(WATCHING, 0.0))

    # The share

    def _write(self) -> None:
        printed = self._stream.offset if self._started and not self.screen.is_waiting else 0
        try:
            if self.upstream.write(self._now, printed):
                trace.mark("client: input written")
                self._writing.over()
                self.peer.is_refused_room = False
        except OSError as error:
            self.peer.is_refused_room = error.errno in NO_ROOM
            self._writing.began(error, self._now)

    def _look(self) -> None:
        held = self.screen.is_waiting or self.user.is_suspended
        if not held:
            self._read_stream()
        self._follow_status()
        if not self._started and not self.ending.is_told:
            self._follow_waiting()
        if (self._started or self.peer.is_claimed) and self.ending.hung_up_at is None and not held:
            notice = self.peer.judge(self._now)
            if notice and not (self.peer.finds_no_room and self._writing.is_told):
                self.screen.notice(notice)
        after = clock.monotonic()
        if self._stream.has_more and not held:
            self._next_look = after
            return
        wait = (
            interval(WATCHING, after - self._active)
            if self._started
            else pending_interval(after - self._born)
        )
        self._next_look = after + (max(wait, 0.01) if held else polite(wait, self._stream.cost_s))

    def _read_stream(self) -> None:
        began = clock.boottime()
        try:
            records = self._stream.poll()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and files.is_removed(self.session):
                where = self.session.directory
                text = f"pigeon: the session's directory has been removed: `{where}`"
                raise Outcome(EXIT_PIGEON, text, abnormal=True, kind="worker_lost") from None
            self.peer.failed()
            self._reading.began(error, self._now)
            return
        self._reading.over()
        self.peer.looked(self._now, grew=self._stream.grew)
        self._answered |= self._stream.grew
        for record in records:
            if not self.ending.is_told:
                self._take(record)
        self.ending.polled(began, grew=self._stream.grew)

    def _take(self, record: Record) -> None:
        if record.get("type") == "output":
            try:
                data = data_of(record)
            except ValueError as error:
                raise DamagedSession(self._stream.path, self._stream.offset, str(error)) from None
            self._start("has output")
            self._active = self._now
            trace.mark("client: output read")
            try:
                self.screen.write(str(record.get("channel")), data)
                trace.mark("client: output printed")
            except OSError as error:
                self._output_failed(error)
        elif record.get("type") == "event":
            self._take_event(str(record.get("event")), record)

    def _take_event(self, event: str, record: Record) -> None:
        message = str(record.get("message", ""))
        if event == "started":
            trace.mark("client: started event read")
            self.guardian.tell("started")
            self._start(f"started, pid {record.get('pid', 'unknown')}")
        elif event == "exit":
            self._take_exit(integer(record, "exit_code"), record)
        elif event == "worker_error":
            self.ending.worker_error = message
            self.ending.next_look = self._now
        elif event == "pty_fallback_to_pipes":
            self.screen.notice("the worker has no terminal left for this session: it runs on pipes")
        elif event == "ack":
            self.peer.input_taken(integer(record, "offset"))
        elif event == "notice":
            (self.screen.verbose if record.get("verbose") is True else self.screen.notice)(message)
        elif event == "attached":
            self._attached(integer(record, "n") or 0)
        elif event == "client_lost":
            self.screen.verbose(message)

    def _take_exit(self, code: int | None, record: Record) -> None:
        trace.mark("client: exit event read")
        self._start("started")
        code = EXIT_PIGEON if code is None else code & 255
        self.screen.verbose(f"session {self.session.session_id}: {states.state_of(code)}, exit code {code}")
        outcome = Outcome(code, signal=max(0, -(integer(record, "raw_return_code") or 0)))
        hung_up = record.get("hung_up")
        if isinstance(hung_up, str):
            # Not the program's own end: what it has done to the terminal is still done.
            outcome.message, outcome.abnormal = f"pigeon: the command was hung up: {hung_up}", True
            outcome.hung_up = hung_up
        self.ending.exited(outcome, self._now)

    def _attached(self, number: int) -> None:
        if self.options.read_only or number < self.peer.attachment:
            return
        if number > self.peer.attachment:
            text = "pigeon: detached: the session was attached to from elsewhere"
            raise Outcome(0, text, abnormal=True, kind="detached")
        self.upstream.is_open = True
        self.screen.verbose(f"session {self.session.session_id}: attached as number {number}")
        self.upstream.redraw(self._now)

    def _start(self, how: str) -> None:
        if self._started:
            return
        self.upstream.is_started = True
        self.ending.started(self._now)
        self._active = self._now
        self.screen.verbose(f"session {self.session.session_id}: {how}")
        if self.options.raw:
            self.screen.go_raw()
        self.user.started()

    def _go_on_printing(self) -> None:
        try:
            self.screen.flush()
        except OSError as error:
            self._output_failed(error)
        self._next_look = min(self._next_look, clock.monotonic())

    def _output_failed(self, error: OSError) -> None:
        self.user.last_words("output_closed")
        if isinstance(error, BrokenPipeError):
            raise Outcome(128 + 13, broken_pipe=True, signal=13)
        raise Outcome(
            EXIT_PIGEON,
            f"pigeon: cannot write the command's output: {error.strerror}",
            abnormal=True,
            kind="output",
        )

    # States

    def _follow_status(self) -> None:
        state = self.ending.look(self._now, started=self._started, silence_s=self._now - self._active)
        if state in states.FINAL:
            self._start("has ended")
        elif state == states.RUNNING:
            self._start("runs")

    def _follow_waiting(self) -> None:
        if self.user.cancel_wanted is not None:
            self._withdraw(self.user.cancel_wanted)
            return
        verdict = self.peer.wait(self._now, self._now - self._born)
        if verdict.notice:
            self.screen.notice(verdict.notice, event="waiting")
        if verdict.claimed_now:
            self.screen.verbose(f"session {self.session.session_id}: claimed by {verdict.claimed_now}")
        if verdict.give_up:
            outcome = Outcome(EXIT_PIGEON, verdict.give_up, kind="no_worker", ran=False)
            self._withdraw(outcome, verdict.give_up_reason, EXIT_PIGEON)

    def _withdraw(
        self, outcome: Outcome, reason: str = "withdrawn by its client", code: int = EXIT_CANCELLED
    ) -> None:
        try:
            won = submit.withdraw(self.session, self._created_at, reason, code)
        except OSError as error:
            self._writing.began(error, self._now)
            return
        if won:
            raise outcome
        self._start("has been claimed")

    def _conclude(self) -> None:
        """Raise the outcome once there is one and all output has been printed."""
        self.user.detach()
        outcome = self.ending.due(
            self._now,
            printing=self.screen.is_waiting,
            read_bytes=self._stream.offset,
            is_quiet=self._now - self._active > QUIET_S or not self._stream.grew,
        )
        if outcome is not None:
            raise outcome
        if self.peer.verdict is not None and not self.ending.is_known:
            self.user.last_words("hangup")
            raise Outcome(EXIT_PIGEON, self.peer.verdict, abnormal=True, kind="worker_lost")

    # Saying

    def _tell_guardian(self) -> None:
        if self._answered and self._now - self._answered_told >= ANSWERED_S:
            self._answered = False
            self._answered_told = self._now
            self.guardian.send(frames.ANSWERED)
        if self._now >= self._next_alive:
            self._next_alive = self._now + ALIVE_S
            self.guardian.send(frames.ALIVE)
        self.user.tell_taken()
