"""What the user wants, as the guardian tells it: keys, signals, sizes, and leaving for a while or for good."""

from __future__ import annotations

from pigeon import clock
from pigeon.client import frames
from pigeon.client.outcome import Outcome
from pigeon.client.session import submit
from pigeon.client.signals import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, signal_name
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.outcome import Options
    from pigeon.client.session.output import Output
    from pigeon.client.session.session_end import SessionEnd
    from pigeon.client.session.upstream import Upstream
    from pigeon.wire.names import SessionFiles

TAKEN_BYTES = 1024 * 1024
"""The guardian, who holds up to 16 MiB of keys, hears of so many at once that they have been passed on."""


class GuardianInbox:
    """Turns frames into what is written to the share, and keeps the wishes that have to wait."""

    def __init__(
        self,
        guardian: frames.FramePipe,
        session: SessionFiles,
        options: Options,
        screen: Output,
        upstream: Upstream,
        ending: SessionEnd,
        created_at: str,
    ) -> None:
        self.is_suspended = False
        """Nothing is printed: the terminal is the shell's."""
        self.cancel_wanted: Outcome | None = None
        """The session is to be withdrawn, if nobody has started it yet."""
        self._early_signals: list[int] = []
        self._early_orders: list[bytes] = []
        self._asked_to_leave = False
        self._detach_wanted = False
        self._guardian = guardian
        self._session = session
        self._options = options
        self._screen = screen
        self._upstream = upstream
        self._ending = ending
        self._created_at = created_at

    def hear(self) -> bool:
        """Act on the frames that have come. True if the session will have to answer soon. Raises Outcome."""
        received = self._guardian.receive()
        if received is None:  # the guardian was killed: nobody is there any more
            self._gone(Outcome(EXIT_PIGEON))
            raise Outcome(EXIT_PIGEON)
        awaits_answer = False
        for kind, payload in received:
            awaits_answer |= self._act(kind, payload)
        return awaits_answer

    def _act(self, kind: bytes, payload: bytes) -> bool:
        if kind == frames.KEYS:
            self._upstream.type(payload)
        elif kind == frames.KEYS_END:
            self._upstream.type(b"")
        elif kind == frames.SIGNAL:
            return self._signalled(int(payload))
        elif kind == frames.SIZE:
            return self._resized(*map(int, payload.split()))
        elif kind == frames.IS_RAW:
            self._screen.release()
        elif kind == frames.HANG_UP:
            self.hang_up(Outcome(EXIT_PIGEON, abnormal=True, kind="hung_up"))
        elif kind == frames.GONE:
            self._gone(Outcome(EXIT_PIGEON, abnormal=True, kind="hung_up"))
        elif kind == frames.ORDER:
            return self._ordered(payload)
        elif kind == frames.DETACH:
            self._detach_wanted = True
        elif kind == frames.SUSPEND:
            self._suspend()
        elif kind == frames.RESUME:
            self.is_suspended = False
            self._upstream.say("resumed")
        return kind == frames.KEYS

    def _signalled(self, number: int) -> bool:
        name = signal_name(number)
        keeps = number == SIGHUP and self._options.keeps
        if not self._upstream.is_started and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT) and not keeps:
            code = EXIT_CANCELLED if number == SIGINT else 128 + number
            text = f"pigeon: cancelled by {name} before the command ran"
            self.cancel_wanted = Outcome(code, text, ran=False, signal=number)
            self._early_signals.append(number)
            return False
        is_over = self._ending.is_known and self._screen.is_waiting  # only the printing is left to be ended
        if self._options.read_only or (is_over and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT)):
            raise Outcome(128 + number, signal=number)
        if self._is_order_to_leave(number):
            self._gone(Outcome(128 + number, abnormal=True, signal=number))
        else:
            self._upstream.signal(number)
        self._screen.verbose(f"{name} passed on")
        return True

    def _ordered(self, line: bytes) -> bool:
        """What the program that drives this client wants of the session, which this client follows to its end."""
        from pigeon.client.driven import order_of

        number, event = order_of(line)
        if not self._upstream.is_started and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL):
            self.cancel_wanted = Outcome(128 + number, ran=False, signal=number)
            self._early_orders.append(line)
            return False
        if number:
            self._upstream.signal(number)
        if event:
            self._upstream.say(event)
        return True

    def started(self) -> None:
        """It is too late to withdraw the session: what was to do so goes to the command. Raises Outcome."""
        self.cancel_wanted = None
        early, self._early_signals = self._early_signals, []
        orders, self._early_orders = self._early_orders, []
        for number in early:
            if not self._ending.is_known:
                self._signalled(number)
        for line in orders:
            self._ordered(line)

    def _is_order_to_leave(self, number: int) -> bool:
        """Not only the command is meant. On a full share its end could not be told anyway."""
        if number not in (SIGTERM, SIGHUP):
            return False
        if self._options.pty or self._upstream.is_stuck or (number == SIGHUP and self._options.keeps):
            return True
        # Asked twice while nobody takes the output: the end, which comes after that, is not to be waited for.
        asked_before, self._asked_to_leave = self._asked_to_leave, self._screen.is_waiting
        return asked_before and self._screen.is_waiting

    def _resized(self, cols: int, rows: int) -> bool:
        self._options.window = (cols, rows)
        if self._options.pty:
            self._upstream.size(cols, rows)
        return self._options.pty

    def _suspend(self) -> None:
        self.is_suspended = True
        self._upstream.say("suspended")
        try:
            self._upstream.flush()
        except OSError:
            pass  # it goes with the next write
        self._guardian.send(frames.SUSPENDED)

    def tell_taken(self) -> None:
        """Let the guardian know how many keys have been passed on, now and then."""
        if self._upstream.passed_bytes >= TAKEN_BYTES:
            self._guardian.send(frames.TAKEN, b"%d" % self._upstream.passed_bytes)
            self._upstream.passed_bytes = 0

    # Leaving

    def hang_up(self, outcome: Outcome) -> None:
        """End the session, or withdraw it; then this client ends with `outcome`."""
        if not self._ending.hang_up(outcome, clock.monotonic()):
            return
        if not self._upstream.is_started:
            self.cancel_wanted = outcome
        self._upstream.say("hangup")
        if not self._upstream.is_open:
            # An attacher that the runner has not noticed, and who may be gone when it does.
            try:
                self._upstream.control.flush()
            except OSError:
                pass  # the runner will notice the silence

    def _gone(self, outcome: Outcome) -> None:
        """The user's terminal has gone. A session that is to be kept goes on, or is started, without a client."""
        if self._options.keeps:
            self.last_words("detached")
            raise outcome
        self.hang_up(outcome)
        self.last_words("hangup")

    def last_words(self, event: str) -> None:
        """Tell the runner why this client leaves, if the share takes it now."""
        if self._options.read_only or not self._upstream.is_open:
            return
        try:
            if event == "hangup" and not self._upstream.is_started and self._withdraw():
                return
            self._upstream.say(event)
            self._upstream.flush()
        except OSError:
            pass  # the runner will notice the silence

    def _withdraw(self) -> bool:
        return submit.withdraw(self._session, self._created_at, "its client left")

    def detach(self) -> None:
        """Leave the session to itself, if that is wanted and can be. Raises Outcome."""
        if not self._detach_wanted:
            return
        self._detach_wanted = False
        if not self._upstream.is_started or self._ending.is_known:
            return  # there is nothing to come back to
        self._upstream.say("detached")
        try:
            self._upstream.flush()
        except OSError:
            self._detach_wanted = True  # leaving before this is written would end the session
            return
        text = f"pigeon: detached; `pigeon attach {self._session.session_id}` comes back to it"
        raise Outcome(0, text, abnormal=True)
