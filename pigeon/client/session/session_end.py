"""How a session ends for its client: by the exit event, by a final status, or by the user's leaving; and which of them
is believed (FORMAT.md, "The end").

Whoever stays with a session until its end owns one `SessionEnd`, feeds it what it reads and asks `due` for the outcome.
"""

from __future__ import annotations

from pigeon import clock
from pigeon.client.outcome import Outcome
from pigeon.errors import EXIT_PIGEON
from pigeon.wire import files, states
from pigeon.wire.documents import BadDocument, ForeignDocument, UntrustedDocument
from pigeon.wire.names import TAKEOVER_NAME
from pigeon.wire.pacing import interval

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pigeon.wire.names import SessionFiles
    from pigeon.wire.pacing import Steps
    from pigeon.wire.states import Status

PENDING_STATUS_S = 0.5

STATUS: Steps = ((300.0, 1.0), (float("inf"), 2.0))
"""Between two looks at the status of a running session, by the seconds of silence. Only a look tells of an end that
has no exit event (a killed runner, a takeover), and whoever waits for that should not wait much longer than for any
other end. In the first minutes of an idle session a look each second is two or three of a hundred visits to the share.
After five minutes the stream is looked at four times a second, and a look each two seconds is one visit in ten."""

LAST_WORDS_S = 3.0
"""After a hang-up the session may take this long to end, and its output to be taken; then the client leaves."""

QUIET_S = 0.3
"""A final status without an exit event is believed once the stream has been quiet for this long."""

FRESH_S = 0.5
"""No owner is superseded within so short a silence (`host_timeout` is a second or more)."""

DOUBT_S = 30.0
"""Whoever has made `takeover.claim` publishes the end at once; one who has died in between is not waited for longer."""


class SessionEnd:
    """What is known of one session's end."""

    def __init__(self, session: SessionFiles, now: float) -> None:
        self.worker_error = ""
        self.next_look = now + PENDING_STATUS_S
        self.hung_up_at: float | None = None
        self.hangup_outcome: Outcome | None = None
        self._session = session
        self._exit: Outcome | None = None
        self._doubted_since: float | None = None
        self._status: Status | None = None
        self._heard_after = self._polled_at = clock.boottime()

    @property
    def is_told(self) -> bool:
        """The exit event has been seen: readers ignore what stands after it."""
        return self._exit is not None

    @property
    def is_known(self) -> bool:
        """The session has an end, whether or not all of its output has been printed."""
        return self._exit is not None or self._status is not None

    # What is seen

    def joined(self) -> None:
        """This client comes later than the session's beginning, and does not know how long its owner was silent."""
        self._heard_after = float("-inf")

    def started(self, now: float) -> None:
        """It runs: until now its status was looked at for that."""
        self.next_look = now + STATUS[0][1]

    def polled(self, began: float, *, grew: bool) -> None:
        """The stream has been read, and what was new has been handed on. `began`: boottime before the read."""
        if grew:
            self._heard_after = self._polled_at  # something was written after the look before this one
        self._polled_at = began

    def exited(self, outcome: Outcome, now: float) -> None:
        """The exit event has been read.

        A runner that was paused may have written it behind an end that a takeover has made and that others have seen
        already. That takes a long silence, so that only an end after one costs a listing.
        """
        self._exit = self.hangup_outcome or outcome
        if clock.boottime() - self._heard_after > FRESH_S and is_taken_over(self._session):
            self._doubted_since = self.next_look = now

    def hang_up(self, outcome: Outcome, now: float) -> bool:
        """The user leaves, with this outcome. False if he has done so before."""
        if self.hung_up_at is not None:
            return False
        self.hung_up_at = now
        self.hangup_outcome = outcome
        return True

    def look(self, now: float, *, started: bool, silence_s: float) -> str:
        """Read the status if it is time; what can be told from it: a state, or "".

        Raises:
            Outcome: it cannot be trusted.
        """
        if now < self.next_look or self._status is not None:
            return ""
        doubts = self._doubted_since is not None
        self.next_look = now + (interval(STATUS, silence_s) if started and not doubts else PENDING_STATUS_S)
        from pigeon.wire.reading import read_status  # most sessions end before anybody looks

        try:
            status = read_status(self._session)
        except UntrustedDocument as error:
            text = f"pigeon: `{self._session.status}` cannot be trusted: {error.reason}"
            raise Outcome(EXIT_PIGEON, text, abnormal=True, kind="share") from None
        except ForeignDocument as error:
            text = f"pigeon: the session is damaged: `{self._session.status}`: {error}"
            raise Outcome(EXIT_PIGEON, text, abnormal=True, kind="share") from None
        except (OSError, BadDocument):
            return ""  # the stream, which is read far more often, tells what is wrong with the share
        if status.is_final:
            self._status = status
        return status.state

    # What follows

    def due(self, now: float, *, printing: bool, read_bytes: int, is_quiet: bool) -> Outcome | None:
        """The outcome, once there is one and all output has been printed.

        `printing`: some has not been taken yet. `read_bytes`: of the stream. `is_quiet`: it has said nothing for
        QUIET_S, or nothing that was new at the last look.
        """
        if self.hung_up_at is not None and now - self.hung_up_at > LAST_WORDS_S:
            return self.hangup_outcome
        if self._exit is not None:
            return None if printing or self._is_doubtful(now) else self._end()
        if self._status is not None:
            behind = self._status.promises_more(read_bytes)
            return None if printing or behind or not is_quiet else self.hangup_outcome or self._end()
        return None

    @property
    def is_doubted(self) -> bool:
        """Its exit event may have come behind an end that others have seen, which is waited for."""
        return self._doubted_since is not None

    def _is_doubtful(self, now: float) -> bool:
        since = self._doubted_since
        return since is not None and self._status is None and now - since < DOUBT_S

    def _end(self) -> Outcome:
        status = self._status
        if self._exit is not None and not self._is_overruled(self._exit.code):
            return self._exit
        if status is None:
            return Outcome(EXIT_PIGEON, kind="worker_lost")
        error = status.error or self.worker_error
        code = status.exit_code if status.exit_code is not None else EXIT_PIGEON
        kind, ran = _kind_of(status, error)
        return Outcome(code & 255, f"pigeon: {error}" if error else "", abnormal=True, kind=kind, ran=ran)

    def _is_overruled(self, code: int) -> bool:
        """Whether the end that others have seen is another than the exit event's."""
        status = self._status
        if self._doubted_since is None or status is None or not status.ended_by:
            return False
        return status.exit_code != code


def _kind_of(status: Status, error: str) -> tuple[str, bool]:
    """What an end without an exit event is, and whether the command may have been started (FORMAT.md, "The end")."""
    ended_by = status.ended_by
    if ended_by in (states.BY_RECOVERY, states.BY_TAKEOVER):
        return (
            "worker_lost" if error else ""
        ), True  # without an error it is the result that the journal held
    return ("withdrawn" if status.state == states.CANCELLED else "not_started"), False


def is_taken_over(session: SessionFiles) -> bool:
    """Whether somebody has taken the right to end the session in its owner's place, as a listing shows now."""
    try:
        return TAKEOVER_NAME in files.list_names(session.directory)
    except OSError:
        return False  # nothing speaks against what was read
