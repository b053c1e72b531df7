"""One client's traffic with one session: input in; output, notices, states and an end out.

Each turn waits at the front, acts on the events that came, writes to the share what is due, reads from it what is due,
and asks whether the session has an end. May hang in any operation on the share: whoever has a user to look after runs
it in a process of its own (`client/following.py`).
"""

from __future__ import annotations

from pigeon import clock, trace
from pigeon.client.outcome import Outcome, of_error
from pigeon.client.session.departure import Departure
from pigeon.client.session.front import TOOK, Input, Wish
from pigeon.client.session.owner import OwnerState
from pigeon.client.session.session_end import QUIET_S, SessionEnd
from pigeon.client.session.trouble import NO_ROOM, ShareTrouble, Told
from pigeon.client.session.upstream import Upstream
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, DamagedSession, PigeonError
from pigeon.wire import files, records, states
from pigeon.wire.pacing import WATCHING, interval, pending_interval, polite
from pigeon.wire.records import HANGUP, OUTPUT_CLOSED, Exit, Record, payload_of
from pigeon.wire.tail import StreamReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.front import Event, Front
    from pigeon.client.session.neighbour import Neighbour
    from pigeon.client.session.options import Options
    from pigeon.client.session.submit import Submission
    from pigeon.wire.files import Appender

ALIVE_S = 2.0
ANSWERED_S = 0.1

LASTED_S = 20.0
"""A session that has been silent for so long is looked at in the way that costs its file server least."""

EXPLAINED_S = 8.0
"""Who reads no notices is told after this for what the session waits, and later as often as a notice is repeated."""


class Conversation:
    """The client's side of one session; `run` returns how it ended.

    `attachment` > 0: this client takes part in a session that another began; `join` says where it comes in.
    """

    def __init__(
        self, submission: Submission, options: Options, front: Front, *, attachment: int = 0
    ) -> None:
        self.front = front
        self.options = options
        self.session = submission.session
        self.owner = OwnerState(
            submission,
            claim_timeout_s=options.claim_timeout_s,
            worker_timeout_s=options.worker_timeout_s,
            attachment=attachment,
        )
        self._now = clock.monotonic()
        self.upstream = Upstream(self.session, self.owner, options, attachment, self._now)
        if submission.input_bytes:
            self.upstream.ended_before(submission.input_bytes)
        self.end = SessionEnd(self.session, self._now)
        self.departure = Departure(submission, options, front, self.upstream, self.end)
        told = Told(self._tell_trouble)
        self._reading = ShareTrouble(self.session.directory, told)
        self._writing = ShareTrouble(self.session.directory, told)
        self._stream = StreamReader(self.session)
        self._born = self._active = self._next_look = self._next_alive = self._answered_told = self._now
        self._answered = False
        self._asks_first = False
        self._unexplained = ""
        self._job = submission.request.job
        self._neighbour: Neighbour | None = None

    @property
    def _started(self) -> bool:
        return self.upstream.is_started

    def join(self, stream: StreamReader, control: Appender | None) -> None:
        """Take part in a session that runs already: `stream` stands where reading goes on."""
        self._stream = stream
        self.end.joined()
        self.upstream.is_started = self.owner.was_heard = True
        self.upstream.is_open = False
        if control is not None:
            self.upstream.control = control
        self.front.started()

    def run(self) -> Outcome:
        """Until the session has an end that can be told."""
        try:
            while True:
                self._turn(self._wait())
        except Outcome as outcome:
            self.front.progress("")
            return outcome
        except PigeonError as error:
            self.departure.last_words(HANGUP)
            return of_error(error)
        except Exception:
            self.departure.last_words(HANGUP)  # a bug of ours: nobody will be there for the command any more
            raise

    def _turn(self, events: list[Event]) -> None:
        self._now = clock.monotonic()
        for event in events:
            self._act(event)
        self._write()
        if self._now >= self._next_look:
            self._look()
        self._tell_front()
        self._conclude()

    # Waiting

    def _wait(self) -> list[Event]:
        now = clock.monotonic()
        timeout = min(self._next_look - now, self._next_alive - now, *self.upstream.due(now))
        # What is too late to withdraw the session comes before any more input.
        may_read = (
            self.options.reads_stdin and not self.front.is_suspended and not self.departure.cancel_wanted
        )
        wants_input = may_read and self.upstream.wants_input()
        try:
            return self.front.wait(max(0.0, timeout), wants_input=wants_input)
        except OSError as error:
            self._output_failed(error)
            return []

    def _act(self, event: Event) -> None:
        if isinstance(event, Input):
            if event.is_typed:
                self.upstream.type(event.data)
            elif event.data:
                self.upstream.send(event.data)
            else:
                self.upstream.end()
            if event.data:
                self._brisk()
        elif isinstance(event, Wish) and event.kind == TOOK:
            self._next_look = min(self._next_look, self._now)
        elif self.departure.act(event):
            self._brisk()

    def _brisk(self) -> None:
        """Something happened: look again soon."""
        self._active = self._now
        self._next_look = min(self._next_look, self._now + interval(WATCHING, 0.0))

    # The share

    def _write(self) -> None:
        is_printed = self._started and self.front.is_shown and not self.front.is_printing
        printed = (self._stream.offset, self._stream.bulk_bytes) if is_printed else (0, 0)
        try:
            if self.upstream.write(self._now, printed, self._stream.base_bytes):
                trace.mark("client: input written")
                self._writing.over()
                self.owner.is_refused_room = False
        except OSError as error:
            self.owner.is_refused_room = error.errno in NO_ROOM
            self._writing.began(error, self._now)
        self.owner.is_held_up = self.owner.finds_no_room or (
            self.owner.is_refused_room and self._writing.is_told
        )

    def _look(self) -> None:
        held = self.front.is_printing or self.front.is_suspended
        if not held:
            self._read_stream()
        self._follow_status()
        if not self._started and not self.end.is_told:
            self._follow_waiting()
        if (self._started or self.owner.is_claimed) and self.end.hung_up_at is None and not held:
            notice = self.owner.judge(self._now)
            if notice and not (self.owner.finds_no_room and self._writing.is_told):
                self._tell_trouble(notice)
        after = clock.monotonic()
        if self._stream.has_more and not held:
            self._next_look = after
            return
        wait = (
            interval(WATCHING, after - self._active)
            if self._started
            else pending_interval(after - self._born)
        )
        if self._started and not self._asks_first and after - self._active > LASTED_S:
            self._asks_first = True
            from pigeon.wire.looks import question_for

            self._stream.ask_first(question_for(self.session.stream))
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
            self.owner.failed()
            self._reading.began(error, self._now)
            return
        self._reading.over()
        self.owner.looked(self._now, grew=self._stream.grew)
        self._answered |= self._stream.grew
        for record in records:
            if not self.end.is_told:
                self._take(record)
        self.end.polled(began, grew=self._stream.grew)

    def _take(self, record: Record) -> None:
        if records.type_of(record) == records.OUTPUT:
            try:
                data = payload_of(record)
            except ValueError as error:
                raise DamagedSession(self._stream.path, self._stream.offset, str(error)) from None
            self._start("has output")
            self._active = self._now
            trace.mark("client: output read")
            try:
                self.front.output(records.channel_of(record), data)
                trace.mark("client: output printed")
            except OSError as error:
                self._output_failed(error)
        else:
            self._take_event(records.event_of(record), record)

    def _take_event(self, event: str, record: Record) -> None:
        if event == records.STARTED:
            trace.mark("client: started event read")
            self.front.running(terminal=records.has_terminal(record))
            self._start(f"started, pid {records.pid_of(record) or 'unknown'}")
        elif event == records.EXIT:
            self._take_exit(Exit(record))
        elif event == records.WORKER_ERROR:
            self.end.worker_error = records.message_of(record)
            self.end.next_look = self._now
        elif event == records.FALLBACK:
            self.front.notice("the worker has no terminal left for this session: it runs on pipes")
        elif event == records.ACK and self.upstream.is_open:  # before: they are of an earlier client's files
            taken = records.offset_of(record), records.bulk_bytes_of(record), records.control_of(record)
            self.owner.input_taken(*taken)
            self.upstream.release()
        elif event == records.NOTICE:
            say = self.front.verbose if records.is_verbose(record) else self.front.notice
            say(records.message_of(record))
        elif event == records.ATTACHED:
            self._attached(records.attacher_of(record))
        elif event == records.STOPPED:
            self._stopped()
        elif event == records.READS_TERMINAL:
            self.upstream.types_to_terminal = True
            self.front.reads_terminal(raw_output=records.has_raw_output(record))
        elif event == records.CLIENT_LOST:
            self.front.verbose(records.message_of(record))

    def _stopped(self) -> None:
        """By itself, or by a key over there; an attacher who was not there then has let it go on."""
        if self.upstream.is_open and not self.options.read_only:
            self.front.stopped()

    def _take_exit(self, told: Exit) -> None:
        trace.mark("client: exit event read")
        self._start("started")
        code = EXIT_PIGEON if told.exit_code is None else told.exit_code & 255
        self.front.verbose(f"session {self.session.session_id}: {states.state_of(code)}, exit code {code}")
        outcome = Outcome(code, signal=max(0, -(told.return_code or 0)))
        # A program that was killed has not put the terminal back itself.
        outcome.abnormal = self.options.pty and outcome.signal > 0
        if told.hung_up:
            # Not the program's own end: what it has done to the terminal is still done.
            outcome.message, outcome.abnormal = f"pigeon: the command was hung up: {told.hung_up}", True
            outcome.hung_up = told.hung_up
        self.end.exited(outcome, self._now)
        self.front.over()

    def _attached(self, number: int) -> None:
        if self.options.read_only or number < self.owner.attachment:
            return
        if number > self.owner.attachment:
            text = "pigeon: detached: the session was attached to from elsewhere"
            raise Outcome(0, text, abnormal=True, kind="detached")
        self.upstream.is_open = True
        self.front.verbose(f"session {self.session.session_id}: attached as number {number}")
        self.upstream.redraw(self._now)

    def _start(self, how: str) -> None:
        if self._started:
            return
        self.upstream.is_started = True
        self.end.started(self._now)
        self._active = self._now
        self.front.verbose(f"session {self.session.session_id}: {how}")
        self.front.started()
        self.departure.started()

    def _output_failed(self, error: OSError) -> None:
        self.departure.last_words(OUTPUT_CLOSED)
        if isinstance(error, BrokenPipeError):
            raise Outcome(128 + 13, broken_pipe=True, signal=13)
        text = f"pigeon: cannot write the command's output: {error.strerror}"
        raise Outcome(EXIT_PIGEON, text, abnormal=True, kind="output")

    # States

    def _follow_status(self) -> None:
        state = self.end.look(self._now, started=self._started, silence_s=self._now - self._active)
        if state in states.FINAL:
            self._start("has ended")
        elif state == states.RUNNING:
            self._start("runs")

    def _follow_waiting(self) -> None:
        cancelled = self.departure.cancel_wanted
        if cancelled is not None:
            self._withdraw(cancelled)
            return
        news = self.owner.wait(self._now, self._now - self._born)
        if news.notice:
            self.front.notice(news.notice, about="waiting")
            self._unexplained = news.notice
        elif news.progress:
            self.front.progress(news.progress)
        if self._unexplained and self._now - self._born >= EXPLAINED_S:
            self.front.explain(self._unexplained)
            self._unexplained = ""
        if news.holder:
            self._look_next_door(news.holder)
        if news.claimed_now:
            self.front.verbose(f"session {self.session.session_id}: claimed by {news.claimed_now}")
            self.front.claimed(news.claimed_now)
        if news.give_up:
            outcome = Outcome(EXIT_PIGEON, news.give_up, kind="no_worker", ran=False)
            self._withdraw(outcome, news.give_up_reason, EXIT_PIGEON)

    def _look_next_door(self, holder: str) -> None:
        """Who has the directory may be dead, or of this very job: then there is no sense in waiting."""
        if self._neighbour is None or self._neighbour.session_id != holder:
            from pigeon.client.session.neighbour import Neighbour

            self._neighbour = Neighbour(self.owner.namespace, holder)
        self._neighbour.look(self._job, self.upstream, self.front)

    def _withdraw(
        self, outcome: Outcome, reason: str = "withdrawn by its client", code: int = EXIT_CANCELLED
    ) -> None:
        try:
            won = self.departure.withdraw(reason, code)
        except OSError as error:
            self._writing.began(error, self._now)
            return
        if won:
            raise outcome
        self._start("has been claimed")

    def _conclude(self) -> None:
        """Raise the outcome once there is one and all output has been printed."""
        if self.departure.wants_to_detach:
            self._read_stream()  # an end that has come meanwhile is what the user hears of
        self.departure.detach()
        self.departure.give_up()
        outcome = self.end.due(
            self._now,
            printing=self.front.is_printing,
            read_bytes=self._stream.offset,
            is_quiet=self._now - self._active > QUIET_S or not self._stream.grew,
        )
        if outcome is not None:
            if self.end.is_known:
                self.upstream.clear()
            raise outcome
        if self.owner.verdict is not None and not self.end.is_known:
            self.departure.last_words(HANGUP)
            raise Outcome(EXIT_PIGEON, self.owner.verdict, abnormal=True, kind="worker_lost")

    # Saying

    def _tell_trouble(self, text: str) -> None:
        self.front.notice(text)
        self.front.explain(text)

    def _tell_front(self) -> None:
        if self._answered and self._now - self._answered_told >= ANSWERED_S:
            self._answered = False
            self._answered_told = self._now
            self.front.answered()
        if self._now >= self._next_alive:
            self._next_alive = self._now + ALIVE_S
            self.front.alive()
        self.departure.tell_taken()
