"""The client's process on the share: input and control out, output in, until the session has an end.

Runs as the guardian's child. It may hang in any operation on the share; the guardian is there for the user meanwhile.
"""

from __future__ import annotations

import os
import select

from pigeon import clock, trace
from pigeon.client import link, submit
from pigeon.client.outcome import Options, Outcome, of_error
from pigeon.client.peer import Peer
from pigeon.client.screen import Screen
from pigeon.client.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM, signal_name
from pigeon.client.upstream import Upstream
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, DamagedSession, PigeonError
from pigeon.wire import files, states
from pigeon.wire.documents import Status
from pigeon.wire.files import Appender
from pigeon.wire.names import SessionFiles
from pigeon.wire.pacing import INTERACTIVE, PENDING, interval, polite
from pigeon.wire.records import Record, data_of, integer
from pigeon.wire.tail import Tail

READ_BYTES = 1024 * 1024
STATUS_S = 5.0
PENDING_STATUS_S = 0.5
ALIVE_S = 2.0
ANSWERED_S = 0.1
TROUBLE_S = 3.0
LAST_WORDS_S = 3.0
"""After a hang-up the session may take this long to end; then the client leaves."""

QUIET_S = 0.3
"""A final status without an exit event is believed once the stream has been quiet for this long."""


class Pump:
    """One client's traffic with one session. `attachment` > 0 once it has taken over from an earlier client."""

    def __init__(
        self,
        guardian: link.Link,
        session: SessionFiles,
        peer: Peer,
        options: Options,
        *,
        attachment: int = 0,
        created_at: str = "",
    ) -> None:
        self.guardian = guardian
        self.session = session
        self.peer = peer
        self.options = options
        self.screen = Screen(guardian, options)
        self._now = clock.monotonic()
        self.upstream = Upstream(session, peer, options, attachment, self._now)
        self._stream = Tail(session.stream, ("output",))
        self._created_at = created_at or clock.utc_text()
        self._started = False
        self._born = self._active = self._next_look = self._next_alive = self._answered_told = self._now
        self._next_status = self._now + PENDING_STATUS_S
        self._suspended = False
        self._answered = False
        self._detach_wanted = False
        self._cancel_wanted: Outcome | None = None
        self._hung_up_at: float | None = None
        self._hangup_outcome: Outcome | None = None
        self._ended: Outcome | None = None
        self._final: Status | None = None
        self._worker_error = ""
        self._trouble_since: float | None = None
        self._trouble_told = False

    def join(self, stream: Tail, control: Appender | None) -> None:
        """Take part in a session that runs already: `stream` stands where reading goes on."""
        self._stream = stream
        self._started = True
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
            self._last_words("hangup")
            return of_error(error)

    # Waiting

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.guardian.reading, select.POLLIN)
        if self._wants_stdin():
            poll.register(0, select.POLLIN)
        for sink in self.screen.sinks:
            if sink.is_waiting and not self._suspended:
                poll.register(sink.fd, select.POLLOUT)
        if self.guardian.has_output:
            poll.register(self.guardian.writing, select.POLLOUT)
        for fd, _ in poll.poll(self._timeout() * 1000):
            if fd == self.guardian.reading:
                self._hear()
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
        if self.options.keyboard or not self.options.reads_stdin or self._suspended:
            return False
        return self.upstream.wants_input(started=self._started)

    # The user's side

    def _hear(self) -> None:
        frames = self.guardian.receive()
        if frames is None:  # the guardian was killed: nobody is there any more
            self._gone(Outcome(EXIT_PIGEON))
            raise Outcome(EXIT_PIGEON)
        for kind, payload in frames:
            if kind == link.KEYS:
                self.upstream.send(payload)
                self._brisk()
            elif kind == link.KEYS_END:
                self.upstream.end()
            elif kind == link.SIGNAL:
                self._signalled(int(payload))
            elif kind == link.SIZE:
                self._resized(*map(int, payload.split()))
            elif kind == link.HANG_UP:
                self._hang_up(Outcome(EXIT_PIGEON, abnormal=True))
            elif kind == link.GONE:
                self._gone(Outcome(EXIT_PIGEON, abnormal=True))
            elif kind == link.DETACH:
                self._detach_wanted = True
            elif kind == link.SUSPEND:
                self._suspend()
            elif kind == link.RESUME:
                self._suspended = False
                self.upstream.say("resumed")

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

    def _signalled(self, number: int) -> None:
        name = signal_name(number)
        if not self._started and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT):
            code = EXIT_CANCELLED if number == SIGINT else 128 + number
            self._cancel_wanted = Outcome(code, f"pigeon: cancelled by {name} before the command ran")
            return
        if self.options.read_only:
            raise Outcome(128 + number)
        if self.options.pty and number in (SIGTERM, SIGHUP):
            self._gone(Outcome(128 + number, abnormal=True))
        else:
            self.upstream.signal(number)
        self.screen.verbose(f"{name} passed on")
        self._brisk()

    def _resized(self, cols: int, rows: int) -> None:
        self.options.window = (cols, rows)
        if self.options.pty:
            self.upstream.size(cols, rows)
            self._brisk()

    def _suspend(self) -> None:
        self._suspended = True
        self.upstream.say("suspended")
        try:
            self.upstream.flush()
        except OSError:
            pass  # it goes with the next write
        self.guardian.send(link.SUSPENDED)

    def _gone(self, outcome: Outcome) -> None:
        """The user's terminal has gone. A session that is to be kept goes on without a client."""
        if self.options.keeps and self._started:
            self._last_words("detached")
            raise outcome
        self._hang_up(outcome)
        self._last_words("hangup")

    def _hang_up(self, outcome: Outcome) -> None:
        if self._hung_up_at is not None:
            return
        self._hung_up_at = clock.monotonic()
        self._hangup_outcome = outcome
        if not self._started:
            self._cancel_wanted = outcome
        self.upstream.say("hangup")

    def _last_words(self, event: str) -> None:
        """Tell the runner why this client leaves, if the share takes it now."""
        if self.options.read_only or not self.upstream.is_open:
            return
        try:
            if not self._started and submit.withdraw(self.session, self._created_at, "its client left"):
                return
            self.upstream.say(event)
            self.upstream.flush()
        except OSError:
            pass  # the runner will notice the silence

    def _brisk(self) -> None:
        """Something happened: look again soon."""
        self._active = self._now = clock.monotonic()
        self._next_look = min(self._next_look, self._now + interval(INTERACTIVE, 0.0))

    # The share

    def _write(self) -> None:
        printed = self._stream.offset if self._started and not self.screen.is_waiting else 0
        try:
            if self.upstream.write(self._now, printed):
                self._trouble_over()
        except OSError as error:
            self._trouble_began(error)

    def _look(self) -> None:
        held = self.screen.is_waiting or self._suspended
        if not held:
            self._read_stream()
        self._follow_status()
        if not self._started and self._ended is None:
            self._follow_waiting()
        if (self._started or self.peer.is_claimed) and self._hung_up_at is None and not held:
            notice = self.peer.judge(self._now)
            if notice:
                self.screen.notice(notice)
        after = clock.monotonic()
        if self._stream.has_more and not held:
            self._next_look = after
            return
        steps, since = (INTERACTIVE, self._active) if self._started else (PENDING, self._born)
        wait = interval(steps, after - since)
        self._next_look = after + (max(wait, 0.01) if held else polite(wait, self._stream.cost_s))

    def _read_stream(self) -> None:
        try:
            records = self._stream.poll()
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self._is_removed():
                where = self.session.directory
                text = f"pigeon: the session's directory has been removed: `{where}`"
                raise Outcome(EXIT_PIGEON, text, abnormal=True) from None
            self.peer.failed()
            self._trouble_began(error)
            return
        self._trouble_over()
        self.peer.looked(self._now, grew=self._stream.grew)
        self._answered |= self._stream.grew
        for record in records:
            if self._ended is None:
                self._take(record)

    def _is_removed(self) -> bool:
        try:
            return self.session.session_id not in os.listdir(os.path.dirname(self.session.directory))
        except OSError:
            return False

    def _take(self, record: Record) -> None:
        if record.get("type") == "output":
            try:
                data = data_of(record)
            except ValueError as error:
                raise DamagedSession(self._stream.path, self._stream.offset, str(error)) from None
            self._start("has output")
            self._active = self._now
            try:
                self.screen.write(str(record.get("channel")), data)
            except OSError as error:
                self._output_failed(error)
        elif record.get("type") == "event":
            self._take_event(str(record.get("event")), record)

    def _take_event(self, event: str, record: Record) -> None:
        message = str(record.get("message", ""))
        if event == "started":
            trace.mark("client: started event read")
            self._start(f"started, pid {record.get('pid', 'unknown')}")
        elif event == "exit":
            self._take_exit(integer(record, "exit_code"))
        elif event == "worker_error":
            self._worker_error = message
            self._next_status = self._now
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

    def _take_exit(self, code: int | None) -> None:
        trace.mark("client: exit event read")
        self._start("started")
        code = EXIT_PIGEON if code is None else code & 255
        self.screen.verbose(f"session {self.session.session_id}: {states.state_of(code)}, exit code {code}")
        self._ended = self._hangup_outcome or Outcome(code)

    def _attached(self, number: int) -> None:
        if self.options.read_only or number < self.peer.attachment:
            return
        if number > self.peer.attachment:
            raise Outcome(0, "pigeon: detached: the session was attached to from elsewhere", abnormal=True)
        self.upstream.is_open = True
        self.screen.verbose(f"session {self.session.session_id}: attached as number {number}")
        self.upstream.redraw(self._now)

    def _start(self, how: str) -> None:
        if self._started:
            return
        self._started = True
        self._next_status = self._now + STATUS_S
        self._active = self._now
        self.screen.verbose(f"session {self.session.session_id}: {how}")
        if self.options.raw:
            self.screen.go_raw()

    def _go_on_printing(self) -> None:
        try:
            self.screen.flush()
        except OSError as error:
            self._output_failed(error)
        self._next_look = min(self._next_look, clock.monotonic())

    def _output_failed(self, error: OSError) -> None:
        self._last_words("output_closed")
        if isinstance(error, BrokenPipeError):
            raise Outcome(128 + 13, broken_pipe=True)
        raise Outcome(
            EXIT_PIGEON, f"pigeon: cannot write the command's output: {error.strerror}", abnormal=True
        )

    # States

    def _follow_status(self) -> None:
        if self._now < self._next_status or self._final is not None:
            return
        self._next_status = self._now + (STATUS_S if self._started else PENDING_STATUS_S)
        try:
            status = submit.read_status(self.session)
        except files.Refused as error:
            text = f"pigeon: `{self.session.status}` cannot be trusted: {error.strerror}"
            raise Outcome(EXIT_PIGEON, text, abnormal=True) from None
        except OSError:
            return  # the stream, which is read far more often, tells when something is wrong with the share
        if status is None:
            return
        if status.is_final:
            self._final = status
            self._start("has ended")
        elif status.state == states.RUNNING:
            self._start("runs")

    def _follow_waiting(self) -> None:
        if self._cancel_wanted is not None:
            self._withdraw(self._cancel_wanted)
            return
        verdict = self.peer.wait(self._now, self._now - self._born)
        if verdict.notice:
            self.screen.notice(verdict.notice)
        if verdict.claimed_now:
            self.screen.verbose(f"session {self.session.session_id}: claimed by {verdict.claimed_now}")
        if verdict.give_up:
            self._withdraw(Outcome(EXIT_PIGEON, verdict.give_up))

    def _withdraw(self, outcome: Outcome) -> None:
        try:
            won = submit.withdraw(self.session, self._created_at, "withdrawn by its client")
        except OSError as error:
            self._trouble_began(error)
            return
        if won:
            raise outcome
        if self._cancel_wanted is not None:
            self._hang_up(self._cancel_wanted)
        self._cancel_wanted = None
        self._start("has been claimed")

    def _conclude(self) -> None:
        """Raise the outcome once there is one and all output has been printed."""
        if self._detach_wanted:
            self._detach()
        if self._ended is not None:
            if not self.screen.is_waiting:
                raise self._ended
        elif self._final is not None:
            self._conclude_by_status(self._final)
        elif self._hung_up_at is not None and self._now - self._hung_up_at > LAST_WORDS_S:
            raise self._hangup_outcome or Outcome(EXIT_PIGEON)
        elif self.peer.verdict is not None:
            self._last_words("hangup")
            raise Outcome(EXIT_PIGEON, self.peer.verdict, abnormal=True)

    def _conclude_by_status(self, status: Status) -> None:
        """A final status without an exit event: end once everything that was promised has been read."""
        promised = status.fields.get("stream_bytes")
        behind = isinstance(promised, int) and self._stream.offset < promised and not status.text("ended_by")
        quiet = self._now - self._active > QUIET_S or not self._stream.grew
        if self.screen.is_waiting or behind or not quiet:
            return
        if self._hangup_outcome is not None:
            raise self._hangup_outcome
        error = status.text("error") or self._worker_error
        code = status.exit_code if status.exit_code is not None else EXIT_PIGEON
        raise Outcome(code & 255, f"pigeon: {error}" if error else "", abnormal=True)

    def _detach(self) -> None:
        if not self._started:
            self._detach_wanted = False
            return
        self.upstream.say("detached")
        self._detach_wanted = False
        try:
            self.upstream.flush()
        except OSError:
            self._detach_wanted = True  # leaving before this is written would end the session
            return
        text = f"pigeon: detached; `pigeon attach {self.session.session_id}` comes back to it"
        raise Outcome(0, text, abnormal=True)

    # Saying

    def _tell_guardian(self) -> None:
        if self._answered and self._now - self._answered_told >= ANSWERED_S:
            self._answered = False
            self._answered_told = self._now
            self.guardian.send(link.ANSWERED)
        if self._now >= self._next_alive:
            self._next_alive = self._now + ALIVE_S
            self.guardian.send(link.ALIVE)

    def _trouble_began(self, error: OSError) -> None:
        if not (files.may_pass(error) or isinstance(error, FileNotFoundError)):
            where = error.filename or self.session.directory
            raise Outcome(EXIT_PIGEON, f"pigeon: `{where}`: {error.strerror}", abnormal=True) from error
        if self._trouble_since is None:
            self._trouble_since = self._now
        elif not self._trouble_told and self._now - self._trouble_since > TROUBLE_S:
            self._trouble_told = True
            self.screen.notice(f"the shared directory is having trouble: {error.strerror}; trying on")

    def _trouble_over(self) -> None:
        if self._trouble_told:
            self.screen.notice("the shared directory works again")
        self._trouble_since = None
        self._trouble_told = False
