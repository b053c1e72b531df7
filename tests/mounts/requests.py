"""What happens to every request before and after it is carried out: counting, faults, the server's latency."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from tests.mounts.binding import Binding
from tests.mounts.counters import Counters
from tests.mounts.faults import LATE, Rule, RuleBook
from tests.mounts.options import Options
from tests.mounts.space import Space

Method = TypeVar("Method", bound=Callable[..., Any])

_TWO_PATHS = ("link", "rename")
_WITH_HANDLE = ("open", "create")
_SENDING = ("flush", "fsync")


class FileInfo(Protocol):
    """What the binding passes with each request on an open file."""

    fh: int
    flags: int


class Requests:
    """The way into a mount; the operations themselves stand in the subclasses."""

    def __init__(
        self, options: Options, binding: Binding, counters: Counters, book: RuleBook, space: Space
    ) -> None:
        self.options = options
        self.binding = binding
        self.counters = counters
        self.book = book
        self.space = space
        self._shaping = threading.local()

    def ask_server(self, kind: str) -> None:
        """The caches could not answer: count it, and wait as long as the network would take."""
        self.counters.server(kind)
        latency_s = self.book.latency_s
        if latency_s > 0:
            time.sleep(latency_s)

    @property
    def shape(self) -> Rule | None:
        """The `short` or `tear` rule for the request that this thread carries out, if any."""
        return getattr(self._shaping, "rule", None)

    def under(self, rule: Rule, kind: str, method: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        """Carry out a request that a fault was made for."""
        if rule.act == "error":
            if kind in _SENDING:
                self.drop_unsent(arguments[-1])
            raise rule.failure()
        if rule.act == "delay":
            time.sleep(rule.seconds or 0.0)
        elif rule.act == "stall":
            self._hold(rule, kind, method)
        self._shaping.rule = rule if rule.act in ("short", "tear") else None
        try:
            answer = method()
        finally:
            self._shaping.rule = None
        if rule.act == "lost_reply":
            if kind in _WITH_HANDLE:  # the caller never learns of the handle, so nobody would release it
                self.drop_handle(arguments[-1])
            raise rule.failure()
        return answer

    def _hold(self, rule: Rule, kind: str, method: Callable[[], Any]) -> None:
        try:
            self.book.hold(rule, self.binding.killed)
        except InterruptedError:
            if rule.late and kind in LATE:
                threading.Thread(target=self._do_late, args=(rule, method), daemon=True).start()
            raise

    def _do_late(self, rule: Rule, method: Callable[[], Any]) -> None:
        self.book.hold(rule, lambda: False)
        with contextlib.suppress(OSError):
            method()

    def drop_unsent(self, fi: FileInfo) -> None:
        """Sending failed: what waited is lost, as it is for a real client."""
        raise NotImplementedError

    def drop_handle(self, fi: FileInfo) -> None:
        """Nobody got the handle that was just made."""
        raise NotImplementedError

    def need_space(self) -> None:
        """Raises the configured error when the files may not grow any more."""
        if self.free_bytes() == 0:
            raise self.no_space()

    def no_space(self) -> OSError:
        """What a full filesystem says."""
        return Rule(id=0, act="error", error=self.book.settings.space_error).failure()

    def free_bytes(self) -> int | None:
        """What is left of the limit; None without one."""
        limit = self.book.settings.space_bytes
        return None if limit is None else max(0, limit - self.space.used())

    def give_space(self, freed_bytes: int) -> None:
        """Files were removed or cut."""
        self.space.give(freed_bytes, self.book.settings.space_bytes)


def request(kind: str) -> Callable[[Method], Method]:
    """Mark a method as the answer to one kind of request; its first argument is the path."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def run(self: Requests, path: str, *arguments: Any) -> Any:
            self.counters.request(kind)
            paths = (path, arguments[0]) if kind in _TWO_PATHS else (path,)
            rule = self.book.match(kind, *paths)
            if rule is None:
                return method(self, path, *arguments)
            return self.under(rule, kind, lambda: method(self, path, *arguments), arguments)

        return run  # type: ignore[return-value]  # the same signature, which a decorator cannot say of `run`

    return decorate
