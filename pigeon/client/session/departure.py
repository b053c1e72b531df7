"""How the user leaves a session, for a while or for good: signals, hanging up, detaching, withdrawing, last words.

Turns what the front tells into what is written to the share, and keeps the wishes that have to wait. Whether the
session has an end is `SessionEnd`'s to say.
"""

from __future__ import annotations

from pigeon import clock
from pigeon.client.outcome import Outcome
from pigeon.client.session.front import (
    CLOSED,
    DETACH,
    GONE,
    HANG_UP,
    RESUME,
    SUSPEND,
    Order,
    Resize,
    Signal,
    Wish,
)
from pigeon.client.signals import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, signal_name
from pigeon.errors import EXIT_CANCELLED, EXIT_PIGEON
from pigeon.wire.records import DETACHED, HANGUP, RESUMED, SUSPENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.client.session.front import Event, Front
    from pigeon.client.session.options import Options
    from pigeon.client.session.session_end import SessionEnd
    from pigeon.client.session.submit import Submission
    from pigeon.client.session.upstream import Upstream

TAKEN_BYTES = 1024 * 1024
"""The guardian, who holds up to 16 MiB of keys, hears of so many at once that they have been passed on."""


class Departure:
    """One client's."""

    def __init__(
        self,
        submission: Submission,
        options: Options,
        front: Front,
        upstream: Upstream,
        end: SessionEnd,
    ) -> None:
        self.cancel_wanted: Outcome | None = None
        """The session is to be withdrawn, if nobody has started it yet."""
        self._early_signals: list[int] = []
        self._early_orders: list[Order] = []
        self._asked_to_leave = False
        self._detach_wanted = False
        self._submission = submission
        self._options = options
        self._front = front
        self._upstream = upstream
        self._end = end

    def act(self, event: Event) -> bool:
        """True if the session will have to answer soon. Raises Outcome."""
        if isinstance(event, Signal):
            return self._signalled(event.number)
        if isinstance(event, Resize):
            return self._resized(event.cols, event.rows)
        if isinstance(event, Order):
            return self._ordered(event)
        if isinstance(event, Wish):
            self._wished(event.kind)
        return False

    def _wished(self, kind: str) -> None:
        if kind == HANG_UP:
            self.hang_up(Outcome(EXIT_PIGEON, abnormal=True, kind="hung_up"))
        elif kind == GONE:
            self._gone(Outcome(EXIT_PIGEON, abnormal=True, kind="hung_up"))
        elif kind == CLOSED:
            self._gone(Outcome(EXIT_PIGEON))
            raise Outcome(EXIT_PIGEON)
        elif kind == DETACH:
            self._detach_wanted = True
        elif kind == SUSPEND:
            self._suspend()
        elif kind == RESUME:
            self._upstream.say(RESUMED)
            self._front.resumed()

    def _signalled(self, number: int) -> bool:
        name = signal_name(number)
        keeps = number == SIGHUP and self._options.keeps
        if not self._upstream.is_started and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT) and not keeps:
            code = EXIT_CANCELLED if number == SIGINT else 128 + number
            text = f"pigeon: cancelled by {name} before the command ran"
            self.cancel_wanted = Outcome(code, text, ran=False, signal=number)
            self._early_signals.append(number)
            return False
        # Only the printing is left to be ended, or the waiting for what others have made of a late end.
        is_over = self._end.is_known and (self._front.is_printing or self._end.is_doubted)
        if self._options.read_only or (is_over and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT)):
            raise Outcome(128 + number, signal=number)
        if self._is_order_to_leave(number):
            self._gone(Outcome(128 + number, abnormal=True, signal=number))
        else:
            self._upstream.signal(number)
        self._front.verbose(f"{name} passed on")
        return True

    def _ordered(self, order: Order) -> bool:
        number = order.number
        if not self._upstream.is_started and number in (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL):
            self.cancel_wanted = Outcome(128 + number, ran=False, signal=number)
            self._early_orders.append(order)
            return False
        if number:
            self._upstream.signal(number)
        if order.event:
            self._upstream.say(order.event)
        return True

    def started(self) -> None:
        """It is too late to withdraw the session: what was to do so goes to the command. Raises Outcome."""
        self.cancel_wanted = None
        early, self._early_signals = self._early_signals, []
        orders, self._early_orders = self._early_orders, []
        for number in early:
            if not self._end.is_known:
                self._signalled(number)
        for order in orders:
            self._ordered(order)

    def _is_order_to_leave(self, number: int) -> bool:
        """Not only the command is meant. On a full share its end could not be told anyway."""
        if number not in (SIGTERM, SIGHUP):
            return False
        if self._options.pty or self._upstream.is_stuck or (number == SIGHUP and self._options.keeps):
            return True
        # Asked twice while nobody takes the output: the end, which comes after that, is not to be waited for.
        asked_before, self._asked_to_leave = self._asked_to_leave, self._front.is_printing
        return asked_before and self._front.is_printing

    def _resized(self, cols: int, rows: int) -> bool:
        self._options.window = (cols, rows)
        if not self._options.pty and self._options.on_terminal is None:
            return False
        self._upstream.size(cols, rows)
        return True

    def _suspend(self) -> None:
        self._upstream.say(SUSPENDED)
        try:
            self._upstream.flush()
        except OSError:
            pass  # it goes with the next write
        self._front.suspended()

    def tell_taken(self) -> None:
        """Let the front know how much of what was typed has been passed on, now and then."""
        if self._upstream.passed_bytes >= TAKEN_BYTES:
            self._front.typed_taken(self._upstream.passed_bytes)
            self._upstream.passed_bytes = 0

    # Leaving

    def give_up(self) -> None:
        """Leave for an interrupt that a full share keeps from being answered: what is held up would wait with it."""
        number = self._upstream.given_up
        if not number or self._options.pty or self._end.is_known or self._end.hung_up_at is not None:
            return
        text = f"pigeon: {signal_name(number)} has no answer, for want of room on the share: the session is hung up"
        self._gone(Outcome(128 + number, text, abnormal=True, signal=number))

    def hang_up(self, outcome: Outcome) -> None:
        """End the session, or withdraw it; then this client ends with `outcome`."""
        if not self._end.hang_up(outcome, clock.monotonic()):
            return
        if not self._upstream.is_started:
            self.cancel_wanted = outcome
        self._upstream.say(HANGUP)
        if not self._upstream.is_open:
            # An attacher that the runner has not noticed, and who may be gone when it does.
            try:
                self._upstream.control.flush()
            except OSError:
                pass  # the runner will notice the silence

    def _gone(self, outcome: Outcome) -> None:
        """The user's terminal has gone. A session that is to be kept goes on, or is started, without a client."""
        if self._options.keeps:
            self.last_words(DETACHED)
            raise outcome
        self.hang_up(outcome)
        self.last_words(HANGUP)

    def last_words(self, event: str) -> None:
        """Tell the runner why this client leaves, if the share takes it now."""
        if self._options.read_only or not self._upstream.is_open:
            return
        try:
            if event == HANGUP and not self._upstream.is_started and self.withdraw("its client left"):
                self._front.told()
                return
            self._upstream.say(event)
            self._upstream.flush()
            self._front.told()
        except OSError:
            pass  # the runner will notice the silence

    def withdraw(self, reason: str, exit_code: int = EXIT_CANCELLED) -> bool:
        """As Submission.withdraw."""
        return self._submission.withdraw(reason, exit_code)

    @property
    def wants_to_detach(self) -> bool:
        """The user wants to leave the session to itself."""
        return self._detach_wanted

    def detach(self) -> None:
        """Leave the session to itself, if that is wanted and can be. Raises Outcome."""
        if not self._detach_wanted:
            return
        self._detach_wanted = False
        if not self._upstream.is_started or self._end.is_known:
            return  # there is nothing to come back to
        self._upstream.say(DETACHED)
        try:
            self._upstream.flush()
        except OSError:
            self._detach_wanted = True  # leaving before this is written would end the session
            return
        session_id = self._submission.session.session_id
        text = f"pigeon: detached; `pigeon attach {session_id}` comes back to it"
        raise Outcome(0, text, abnormal=True)
