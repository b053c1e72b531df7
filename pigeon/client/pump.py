"""The client's process on the share: input and control out, output in, until the session has an end.

Runs as the guardian's child (or attached to somebody else's session). It may hang in any operation on the share; the
guardian is there for the user meanwhile.
"""

from __future__ import annotations

import os
import select

from pigeon import clock, trace
from pigeon.client import link, submit
from pigeon.client.peer import Peer
from pigeon.client.signals import SIGHUP, SIGINT, SIGQUIT, SIGTERM, signal_name
from pigeon.client.sink import Sink
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON, DamagedSession, PigeonError
from pigeon.wire import files, states
from pigeon.wire.documents import Status
from pigeon.wire.files import Appender
from pigeon.wire.names import SessionFiles
from pigeon.wire.pacing import HEARTBEAT_S, INTERACTIVE, PENDING, interval, polite
from pigeon.wire.records import (
    MAX_DATA_BYTES,
    Record,
    control_line,
    data_of,
    integer,
    stdin_eof_line,
    stdin_line,
)
from pigeon.wire.tail import CHUNK_BYTES, Tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pigeon.client.modes import Modes

INPUT_WINDOW_BYTES = 16 * 1024 * 1024
"""How far input runs ahead of a command that does not read, where the runner acknowledges."""

ACK_BYTES = 8 * 1024 * 1024
READ_BYTES = 1024 * 1024

HELD_BYTES = 1024 * 1024
"""Output read from the session that stdout has not taken; beyond this the stream is left alone."""

STATUS_S = 5.0
PENDING_STATUS_S = 0.5
ALIVE_S = 2.0
TROUBLE_S = 3.0
LAST_WORDS_S = 3.0
"""After a hang-up the session may take this long to end; then the client leaves."""


class Options:
    """How this client watches its session."""

    __slots__ = (
        "reads_stdin",
        "keyboard",
        "raw",
        "pty",
        "escape_char",
        "verbose",
        "speaks",
        "heartbeats",
        "window",
        "read_only",
    )

    def __init__(self) -> None:
        self.reads_stdin = True
        """Somebody's input goes to the command, from the keyboard or from stdin itself."""
        self.keyboard = False
        self.raw = False
        self.pty = False
        self.escape_char = "~"
        self.verbose = False
        self.speaks = False
        self.heartbeats = True
        self.window: tuple[int, int] | None = None
        self.read_only = False


class Outcome(Exception):
    """The end of the pump: an exit code, and what to say once the terminal is restored."""

    def __init__(
        self, code: int, message: str = "", *, abnormal: bool = False, broken_pipe: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.abnormal = abnormal
        self.broken_pipe = broken_pipe


class Pump:
    """One client's traffic with one session. `attachment` > 0 once it has taken over from an earlier client."""

    def __init__(
        self, guardian: link.Link, session: SessionFiles, peer: Peer, options: Options, attachment: int = 0
    ) -> None:
        self.guardian = guardian
        self.session = session
        self.peer = peer
        self.options = options
        self.stream = Tail(session.stream, ("output",))
        self.input = Appender(session.stdin(attachment))
        self.control = Appender(session.control(attachment))
        self.created_at = clock.utc_text()
        self.started = False
        self.may_send = True
        self._now = clock.monotonic()
        self._born = self._now
        self._active = self._now
        self._next_look = self._now
        self._next_status = self._now + PENDING_STATUS_S
        self._next_heartbeat = self._now
        self._next_alive = self._now
        self._next_write = 0.0
        self._input_seq = 0
        self._control_seq = 0
        self._input_ended = False
        self._keys_ended = False
        self._acknowledged = 0
        self._sinks: dict[str, Sink] = {}
        self._sink_of: dict[str, Sink] = {}
        self._ended: Outcome | None = None
        self._final: Status | None = None
        self._hung_up_at: float | None = None
        self._hangup_outcome: Outcome | None = None
        self._suspended = False
        self._answered_told = self._now
        self._answered = False
        self._cancel_wanted: Outcome | None = None
        self._detach_wanted = False
        self._gone_wanted = False
        self._modes: Modes | None = None
        self._modes_told = b""
        self._worker_error = ""
        self._resize_back_at: float | None = None
        self._trouble_since: float | None = None
        self._trouble_told = False
        self._make_sinks()

    def _make_sinks(self) -> None:
        out = Sink(1)
        self._sink_of = {"stdout": out, "pty": out, "stderr": out if _same_file(1, 2) else Sink(2)}
        self._sinks = {"stdout": out, "stderr": self._sink_of["stderr"]}

    def no_input(self) -> None:
        """The command gets an empty input."""
        self._end_input()

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
            hint = f"\npigeon: hint: {error.hint}" if error.hint else ""
            return Outcome(error.exit_code, f"pigeon: {error.message}{hint}", abnormal=True)

    # Waiting

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self.guardian.reading, select.POLLIN)
        if self._wants_stdin():
            poll.register(0, select.POLLIN)
        for sink in self._sinks.values():
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
                self._flush_sinks()

    def _timeout(self) -> float:
        now = clock.monotonic()
        waits = [self._next_look - now, self._next_alive - now]
        if self.may_send:
            waits.append(self._next_heartbeat - now)
        if self._resize_back_at is not None:
            waits.append(self._resize_back_at - now)
        if self.input.queued_bytes or self.control.queued_bytes:
            waits.append(self._next_write - now)
        return max(0.0, min(waits))

    def _wants_stdin(self) -> bool:
        if (
            self._input_ended
            or self.options.keyboard
            or not self.options.reads_stdin
            or not self.may_send
            or self._suspended
        ):
            return False
        return self.input.queued_bytes < READ_BYTES and self._has_window()

    def _has_window(self) -> bool:
        limit = INPUT_WINDOW_BYTES if self.started else READ_BYTES
        ahead = self.input.end - self.peer.input_acknowledged
        return ahead < limit or (self.started and not self.peer.acknowledges())

    # The user's side

    def _hear(self) -> None:
        frames = self.guardian.receive()
        if frames is None:  # the guardian was killed: nobody is there any more
            self._last_words("hangup")
            raise Outcome(EXIT_PIGEON)
        for kind, payload in frames:
            if kind == link.KEYS:
                self._send_input(payload)
            elif kind == link.KEYS_END:
                self._end_input()
            elif kind == link.SIGNAL:
                self._signalled(int(payload))
            elif kind == link.SIZE:
                cols, rows = payload.split()
                self.options.window = (int(cols), int(rows))
                if self.options.pty:
                    self._send_size(int(cols), int(rows))
            elif kind == link.HANG_UP:
                self._hang_up(Outcome(EXIT_PIGEON, abnormal=True))
            elif kind == link.DETACH:
                self._detach_wanted = True
            elif kind == link.SUSPEND:
                self._suspend()
            elif kind == link.RESUME:
                self._suspended = False
                self._say_control("client", event="resumed")

    def _read_stdin(self) -> None:
        try:
            data = os.read(0, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # EIO: a terminal that has gone, or a directory: no input either way
        if data:
            self._send_input(data)
        else:
            self._end_input()

    def _send_input(self, data: bytes) -> None:
        if self.options.read_only or self._input_ended:
            return
        for start in range(0, len(data), MAX_DATA_BYTES):
            self.input.put(stdin_line(self._input_seq, data[start : start + MAX_DATA_BYTES]))
            self._input_seq += 1
        self._brisk()

    def _end_input(self) -> None:
        if not self._input_ended and not self.options.read_only:
            self._input_ended = True
            self.input.put(stdin_eof_line(self._input_seq))

    def _signalled(self, number: int) -> None:
        name = signal_name(number)
        if not self.started and self.may_send and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT):
            code = EXIT_CANCELLED if number == SIGINT else 128 + number
            self._cancel_wanted = Outcome(code, f"pigeon: cancelled by {name} before the command ran")
            return
        if self.options.read_only:
            raise Outcome(128 + number)
        if self.options.pty and number in (SIGTERM, SIGHUP):
            self._hang_up(Outcome(128 + number, abnormal=True))
        else:
            self._say_control("signal", signal=number, seq=self._control_seq)
            self._control_seq += 1
        self.verbose(f"{name} passed on")
        self._brisk()

    def _send_size(self, cols: int, rows: int) -> None:
        self._say_control("resize", cols=cols, rows=rows, seq=self._control_seq)
        self._control_seq += 1
        self._brisk()

    def _suspend(self) -> None:
        self._suspended = True
        self._say_control("client", event="suspended")
        try:
            self.control.flush()
        except OSError:
            pass  # it goes with the next write
        self.guardian.send(link.SUSPENDED)

    def _hang_up(self, outcome: Outcome) -> None:
        if self._hung_up_at is not None:
            return
        self._hung_up_at = clock.monotonic()
        self._hangup_outcome = outcome
        if not self.started and self.may_send:
            self._cancel_wanted = outcome
        self._say_control("client", event="hangup")

    def _last_words(self, event: str) -> None:
        """Tell the runner why this client leaves, if the share takes it now."""
        if self.options.read_only or not self.may_send:
            return
        if not self.started:
            try:
                if submit.withdraw(self.session, self.created_at, "its client left"):
                    return
            except OSError:
                pass
        self._say_control("client", event=event)
        try:
            self.control.flush()
        except OSError:
            pass  # the runner will notice the silence

    def _brisk(self) -> None:
        """Something happened: look again soon."""
        self._active = self._now = clock.monotonic()
        self._next_look = min(self._next_look, self._now + interval(INTERACTIVE, 0.0))

    # Writing to the share

    def _say_control(self, kind: str, **fields: object) -> None:
        if not self.options.read_only:
            self.control.put(control_line(kind, **fields))

    def _write(self) -> None:
        if not self.may_send or self._now < self._next_write:
            return
        if self._resize_back_at is not None and self._now >= self._resize_back_at:
            self._resize_back_at = None
            if self.options.window is not None:
                self._send_size(*self.options.window)
        if self._now >= self._next_heartbeat:
            self._next_heartbeat = self._now + HEARTBEAT_S
            if self.options.heartbeats:
                self._say_control("heartbeat")
            self._acknowledge(1)
        self._acknowledge(ACK_BYTES)
        try:
            self.control.flush()
            self.input.flush()
            self._trouble_over()
        except OSError as error:
            self._next_write = self._now + 0.2
            self._trouble_began(error)

    def _acknowledge(self, at_least: int) -> None:
        if any(sink.is_waiting for sink in self._sinks.values()):
            return
        if self.stream.offset - self._acknowledged >= at_least and self.started:
            self._acknowledged = self.stream.offset
            self._say_control("ack", offset=self.stream.offset)

    # Reading from the share

    def _look(self) -> None:
        began = self._now
        got = 0
        held = any(sink.is_waiting for sink in self._sinks.values())
        if not held and not self._suspended:
            got = self._read_stream()
        self._follow_status()
        if not self.started and self._ended is None:
            self._follow_waiting()
        if (self.started or self.peer.is_claimed) and self._hung_up_at is None:
            notice = self.peer.judge(self._now)
            if notice:
                self.notice(notice)
        after = clock.monotonic()
        if got >= CHUNK_BYTES // 2:
            self._next_look = after
            return
        wait = (
            interval(INTERACTIVE, after - self._active)
            if self.started
            else interval(PENDING, after - self._born)
        )
        self._next_look = after + (max(wait, 0.01) if held else polite(wait, after - began))

    def _read_stream(self) -> int:
        start = self.stream.offset
        try:
            records = self.stream.poll()
        except DamagedSession:
            raise
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self._is_removed():
                raise Outcome(
                    EXIT_PIGEON,
                    f"pigeon: the session's directory has been removed: `{self.session.directory}`",
                    abnormal=True,
                ) from None
            self.peer.failed()
            self._trouble_began(error)
            return 0
        self._trouble_over()
        self.peer.looked(self._now, grew=self.stream.grew)
        if self.stream.grew:
            self._answered = True
        for record in records:
            if self._ended is None:
                self._take(record)
        return self.stream.offset - start

    def _is_removed(self) -> bool:
        try:
            return self.session.session_id not in os.listdir(os.path.dirname(self.session.directory))
        except OSError:
            return False

    def _take(self, record: Record) -> None:
        if record.get("type") == "output":
            try:
                self._print(str(record.get("channel")), data_of(record))
            except ValueError as error:
                raise DamagedSession(self.stream.path, self.stream.offset, str(error)) from None
        elif record.get("type") == "event":
            self._take_event(str(record.get("event")), record)

    def _take_event(self, event: str, record: Record) -> None:
        if event == "started":
            trace.mark("client: started event read")
            self._start(f"started, pid {record.get('pid', 'unknown')}")
        elif event == "exit":
            trace.mark("client: exit event read")
            self._start("ended")
            code = integer(record, "exit_code")
            self._ended = self._hangup_outcome or Outcome(EXIT_PIGEON if code is None else code & 255)
        elif event == "worker_error":
            self._worker_error = str(record.get("message", ""))
            self._next_status = self._now
        elif event == "pty_fallback_to_pipes":
            self.notice("the worker has no terminal left for this session: it runs on pipes")
        elif event == "ack":
            self.peer.input_taken(integer(record, "offset"))
        elif event == "notice":
            (self.verbose if record.get("verbose") is True else self.notice)(str(record.get("message", "")))
        elif event == "attached":
            self.taken_over(integer(record, "n"))
        elif event == "client_lost":
            self.verbose(str(record.get("message", "")))

    def join(self, stream: Tail, control: Appender | None) -> None:
        """Take part in a session that runs already: `stream` stands where reading goes on."""
        self.stream = stream
        self.started = True
        self.may_send = False
        if control is not None:
            self.control = control
        if self.options.raw:
            self.guardian.send(link.RAW, self.options.escape_char.encode())

    def show(self, screen: bytes, modes: Modes) -> None:
        """Put the terminal into the state that the output so far has left."""
        self._modes = modes
        self._modes_told = modes.reset()
        self.guardian.send(link.MODES, self._modes_told)
        try:
            self._sink_of["stdout"].write(modes.apply() + screen)
        except OSError as error:
            self._output_failed(error)

    def _accepted(self) -> None:
        """The runner reads this attacher's files from now on. Makes a full-screen program draw itself again.

        A size that does not change sends no SIGWINCH, so it changes for a moment.
        """
        self.may_send = True
        self.verbose(f"session {self.session.session_id}: attached as number {self.peer.attachment}")
        if self.options.pty and self.options.window is not None:
            cols, rows = self.options.window
            self._send_size(cols, rows - 1 if rows > 1 else rows + 1)
            self._resize_back_at = self._now + 0.2

    def taken_over(self, attachment: int | None) -> None:
        """Another client has attached to the session; a lower one ends."""
        if attachment is not None and attachment == self.peer.attachment:
            self._accepted()
        elif attachment is not None and attachment > self.peer.attachment and not self.options.read_only:
            raise Outcome(0, "pigeon: detached: the session was attached to from elsewhere", abnormal=True)

    def _start(self, how: str) -> None:
        if self.started:
            return
        self.started = True
        self._next_status = self._now + STATUS_S
        self._active = self._now
        self.verbose(f"session {self.session.session_id}: {how}")
        if self.options.raw:
            self.guardian.send(link.RAW, self.options.escape_char.encode())

    def _print(self, channel: str, data: bytes) -> None:
        sink = self._sink_of.get(channel)
        if sink is None:
            return
        self._start("has output")
        self._active = self._now
        if channel == "pty" and (self._modes is not None or b"\x1b" in data):
            self._follow_modes(data)
        try:
            sink.write(data)
        except OSError as error:
            self._output_failed(error)

    def _follow_modes(self, data: bytes) -> None:
        if self._modes is None:
            from pigeon.client.modes import Modes

            self._modes = Modes()
        self._modes.feed(data)
        reset = self._modes.reset()
        if reset != self._modes_told:
            self._modes_told = reset
            self.guardian.send(link.MODES, reset)

    def _flush_sinks(self) -> None:
        for sink in self._sinks.values():
            try:
                sink.flush()
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
        self._next_status = self._now + (STATUS_S if self.started else PENDING_STATUS_S)
        try:
            status = submit.read_status(self.session)
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
            self.notice(verdict.notice)
        if verdict.claimed_now:
            self.verbose(f"session {self.session.session_id}: claimed by {verdict.claimed_now}")
        if verdict.give_up:
            self._withdraw(Outcome(EXIT_PIGEON, verdict.give_up))

    def _withdraw(self, outcome: Outcome) -> None:
        try:
            won = submit.withdraw(self.session, self.created_at, "withdrawn by its client")
        except OSError as error:
            self._trouble_began(error)
            return
        if won:
            raise outcome
        if self._cancel_wanted is not None and self._hung_up_at is None:
            self._hang_up(self._cancel_wanted)
        self._cancel_wanted = None
        self._start("has been claimed")

    def _conclude(self) -> None:
        """Raise the outcome once there is one and all output has been printed."""
        if self._detach_wanted:
            self._detach()
        waiting = any(sink.is_waiting for sink in self._sinks.values())
        if self._ended is not None:
            if not waiting:
                raise self._ended
        elif self._final is not None:
            self._conclude_by_status(self._final, waiting)
        elif self._hung_up_at is not None and self._now - self._hung_up_at > LAST_WORDS_S:
            raise self._hangup_outcome or Outcome(EXIT_PIGEON)
        elif self.peer.verdict is not None:
            self._last_words("hangup")
            raise Outcome(EXIT_PIGEON, self.peer.verdict, abnormal=True)

    def _conclude_by_status(self, status: Status, waiting: bool) -> None:
        """A final status without an exit event: end once everything that was promised has been read."""
        promised = status.fields.get("stream_bytes")
        behind = isinstance(promised, int) and self.stream.offset < promised and not status.text("ended_by")
        drained = self._now - self._active > 0.3 or not self.stream.grew
        if waiting or behind or not drained:
            return
        if self._hangup_outcome is not None:
            raise self._hangup_outcome
        error = status.text("error") or self._worker_error
        code = status.exit_code if status.exit_code is not None else EXIT_PIGEON
        raise Outcome(code & 255, f"pigeon: {error}" if error else "", abnormal=True)

    def _detach(self) -> None:
        if not self.started:
            self._detach_wanted = False
            return
        self._say_control("client", event="detached")
        try:
            self.control.flush()
            self.input.flush()
        except OSError:
            return  # again at the next turn: leaving before this is written would end the session
        raise Outcome(
            0, f"pigeon: detached; `pigeon attach {self.session.session_id}` comes back to it", abnormal=True
        )

    # Saying

    def notice(self, text: str) -> None:
        """A line for the user, if somebody reads stderr."""
        if self.options.speaks or self.options.verbose:
            self._print_line(text)

    def verbose(self, text: str) -> None:
        """A line for `-v`."""
        if self.options.verbose:
            self._print_line(text)

    def _print_line(self, text: str) -> None:
        end = "\r\n" if self.options.raw and self.started else "\n"
        try:
            self._sink_of["stderr"].write(f"pigeon: {text}{end}".encode("utf-8", "backslashreplace"))
        except OSError:
            pass

    def _tell_guardian(self) -> None:
        if self._answered and self._now - self._answered_told >= 0.1:
            self._answered = False
            self._answered_told = self._now
            self.guardian.send(link.ANSWERED)
        if self._now >= self._next_alive:
            self._next_alive = self._now + ALIVE_S
            self.guardian.send(link.ALIVE)

    def _trouble_began(self, error: OSError) -> None:
        if not (files.may_pass(error) or isinstance(error, FileNotFoundError)):
            raise Outcome(
                EXIT_PIGEON,
                f"pigeon: `{error.filename or self.session.directory}`: {error.strerror}",
                abnormal=True,
            ) from error
        if self._trouble_since is None:
            self._trouble_since = self._now
        elif not self._trouble_told and self._now - self._trouble_since > TROUBLE_S:
            self._trouble_told = True
            self.notice(f"the shared directory is having trouble: {error.strerror}; trying on")

    def _trouble_over(self) -> None:
        if self._trouble_told:
            self.notice("the shared directory works again")
        self._trouble_since = None
        self._trouble_told = False


def report(guardian: link.Link, session: Callable[[], Outcome]) -> int:
    """Run `session` and hand its outcome, or its error, to the guardian. Returns the exit code."""
    try:
        outcome = session()
    except PigeonError as error:
        hint = f"\npigeon: hint: {error.hint}" if error.hint else ""
        outcome = Outcome(error.exit_code, f"pigeon: {error.message}{hint}")
    except Exception as error:
        from pigeon.crash import report as crash_report

        outcome = Outcome(EXIT_PIGEON, crash_report(error), abnormal=True)
    if outcome.message:
        guardian.send(link.MESSAGE, (outcome.message.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))
    if outcome.abnormal:
        guardian.send(link.ABNORMAL)
    if outcome.broken_pipe:
        guardian.send(link.BROKEN_PIPE)
    return outcome.code


def _same_file(first: int, second: int) -> bool:
    """Whether two descriptors are one file: what is written to both then stays in order."""
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
