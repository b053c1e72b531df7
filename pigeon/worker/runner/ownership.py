"""Whether a runner still owns its session, and carrying steps on the share out for as long as it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pigeon import clock
from pigeon.backoff import Backoff
from pigeon.wire import claim, files
from pigeon.wire.names import CLAIM_NAME, TAKEOVER_NAME, SessionFiles
from pigeon.wire.reading import known_status
from pigeon.worker.debug import Debug

FRESH_S = 1.0
"""A session claimed so short a time ago cannot have been taken over: `host_timeout` is at least as long, and begins
with somebody's first look at the claim."""

PATIENCE_S = 600.0
"""How long an end is tried that the share does not allow: an export that is read-only for a while, a ticket that has
run out. Nobody else can give the session an end while its worker lives."""

Result = TypeVar("Result")


class Superseded(Exception):
    """The session is in other hands; write nothing more."""


class Ownership:
    """One runner's hold on one session. `is_old`: the claim was made before this runner was there."""

    def __init__(self, session: SessionFiles, debug: Debug, *, is_old: bool) -> None:
        self._session = session
        self._debug = debug
        self._is_old = is_old
        self._born = clock.boottime()

    def until_it_works(self, step: Callable[[], Result], *, patience_s: float = 0.0) -> Result:
        """Repeat a step on the share until it works, however long its bad moment lasts.

        After a failure the directory is listed before the next attempt: a session that was taken over meanwhile is
        left alone, and one whose directory is gone can have no end. `patience_s`: see files.is_hopeless.

        Raises:
            Superseded: another has ended it, or it can have no end.
            Refused: what lies there is not safe.
        """
        backoff = Backoff()
        began = clock.monotonic()
        while True:
            try:
                return step()
            except files.Refused:
                raise
            except OSError as error:
                self._debug.say("failure", f"{self._session.session_id}: {error}")
                failing_s = clock.monotonic() - began
                if files.is_hopeless(error, failing_s, patience_s):
                    raise Superseded(f"the session's files cannot be written: {error}") from error
                clock.sleep(backoff.failed())
            self._check_ownership(failing_s)

    def check_takeover(self) -> None:
        """An old claim of ours: its session may have been given an end since, and is then never started.

        Raises Superseded.
        """
        if TAKEOVER_NAME in self.until_it_works(lambda: files.list_names(self._session.directory)):
            raise Superseded("another worker has taken the session over")

    def look_before_step(self) -> None:
        """Before the start and the exit event: nobody has taken the session over. See FRESH_S. Raises Superseded."""
        if self._is_old or clock.boottime() - self._born > FRESH_S:
            self.check_takeover()

    def holds_claim(self, token: str) -> bool:
        """Whether the session is still that of the claim, and has no end. For who has nothing else to go by.

        Waits for the share as an end does. Raises Superseded.
        """

        def look() -> bool:
            names = files.list_names(self._session.directory)
            if TAKEOVER_NAME in names or CLAIM_NAME not in names:
                return False
            status = known_status(self._session)
            if status is not None and status.is_final:
                return False
            return claim.read_claim(self._session).token == token

        try:
            return self.until_it_works(look, patience_s=PATIENCE_S)
        except files.Refused:
            return False

    def _check_ownership(self, failing_s: float) -> None:
        try:
            names = files.list_names(self._session.directory)
        except FileNotFoundError:
            if files.is_removed(self._session, failing_s):
                raise Superseded("the session's directory has been removed") from None
            return
        except OSError:
            return
        if TAKEOVER_NAME in names:
            raise Superseded("another worker has taken the session over")
