"""subprocess's `Popen` for a command on a worker: the client as a child, and a socket to it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from subprocess import DEVNULL, TimeoutExpired
from typing import IO, Any

from pigeon import clock
from pigeon.api.client import Client, Word, Words, client_words, is_interactive, request_of, socket_pair

File = int | IO[Any] | None

LAST_OUTPUT_S = 0.25
"""What a killed command has written takes no longer, unless it is so much that nobody wants to wait for it."""

READ_BYTES = 1 << 16

END_S = 1.75
"""A client that has not left after this cannot: the share does not answer."""

_MEANINGLESS = {
    "preexec_fn": None,
    "pass_fds": (),
    "user": None,
    "group": None,
    "extra_groups": None,
    "startupinfo": None,
    "creationflags": 0,
}
"""Argument of subprocess.Popen -> its default: what it asks for cannot be had on another machine."""


class Popen(subprocess.Popen[Any]):
    """A command on a worker, with the arguments, attributes and methods of subprocess.Popen.

    Beside those:

    - `lock`: False runs beside whatever runs in this directory; True waits for it, and holds the directory, so two
      commands of one pipeline want False.
    - `keep`: the command goes on when this process dies (`pigeon attach`). Without it the command is hung up then.
    - `tty`: True gives the command a terminal, False pipes; None a terminal if nothing is redirected and stdin and
      stdout are one.
    - `route`, `namespace`, `cache`, `config`, `claim_timeout`: as the options of these names; seconds.

    What is different: words are exact, `shell=True` is `[client] shell` (bash -lc) over there, `env` is laid over the
    worker's variables instead of replacing them, and `stdin=None` is /dev/null unless the user's terminal is shared.
    The constructor waits for nothing: what subprocess raises for a command that cannot be started comes from
    `wait_started`, or is in `failure`. `start_new_session` and `process_group` concern the local client, and so
    who hears of Ctrl-C.

    `returncode` is the command's, negative after a signal; if pigeon failed it is 255 (127 or 126 for a program that
    is not there or cannot be executed), and `failure` is the exception that `pigeon.run` raises.

    Raises:
        ValueError: an argument means nothing on another machine, or is no word.
        OSError: the client cannot be started, or `cwd` is not here.

    >>> with pigeon.Popen(["cat"], stdin=pigeon.PIPE, stdout=pigeon.PIPE, lock=False) as process:
    ...     process.communicate(b"there and back")
    (b'there and back', None)
    >>> process.returncode
    0
    """

    def __init__(
        self,
        args: Words,
        bufsize: int = -1,
        executable: Word | None = None,
        stdin: File = None,
        stdout: File = None,
        stderr: File = None,
        preexec_fn: Callable[[], Any] | None = None,
        close_fds: bool = True,
        shell: bool = False,
        cwd: Word | None = None,
        env: Mapping[Any, Any] | None = None,
        universal_newlines: bool | None = None,
        startupinfo: Any = None,
        creationflags: int = 0,
        restore_signals: bool = True,
        start_new_session: bool = False,
        pass_fds: Iterable[int] = (),
        *,
        user: str | int | None = None,
        group: str | int | None = None,
        extra_groups: Iterable[str | int] | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        text: bool | None = None,
        umask: int = -1,
        pipesize: int = -1,
        process_group: int | None = None,
        lock: bool = True,
        keep: bool = False,
        tty: bool | None = None,
        route: str | None = None,
        namespace: str | None = None,
        cache: Word | None = None,
        config: Word | None = None,
        claim_timeout: float | None = None,
    ) -> None:
        refuse_meaningless(
            {
                "preexec_fn": preexec_fn,
                "pass_fds": tuple(pass_fds),
                "user": user,
                "group": group,
                "extra_groups": extra_groups,
                "startupinfo": startupinfo,
                "creationflags": creationflags,
            }
        )
        interactive = is_interactive(stdin, stdout, stderr)
        request = request_of(
            args,
            shell=shell,
            executable=executable,
            env=env,
            lock=lock,
            keep=keep,
            tty=interactive if tty is None else tty,
            route=route,
            namespace=namespace,
            cache=cache,
            config=config,
            claim_timeout=claim_timeout,
        )
        mine, other = socket_pair()
        try:
            with other:
                fd = other.fileno()
                super().__init__(
                    [*client_words(), "--driven-by", str(fd)],
                    bufsize,
                    stdin=DEVNULL if stdin is None and not interactive else stdin,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=cwd,
                    universal_newlines=universal_newlines,
                    restore_signals=restore_signals,
                    start_new_session=start_new_session,
                    pass_fds=(fd,),
                    encoding=encoding,
                    errors=errors,
                    text=text,
                    umask=umask,  # the client's own travels
                    pipesize=pipesize,
                    process_group=process_group,
                )
        except BaseException:
            mine.close()
            raise
        self.args = args
        first = args if isinstance(args, str | bytes | os.PathLike) else next(iter(args))
        self._client = Client(mine, os.fsdecode(executable or first))
        self._client.ask(request)

    # What is beside subprocess

    @property
    def session(self) -> str | None:
        """The session's id, for `pigeon inspect` and the like; None until it has been published."""
        self._client.listen()
        return self._client.session

    @property
    def waits_for(self) -> str | None:
        """Why the command has not been started yet, in words; None while there is nothing to say."""
        self._client.listen()
        return None if self._client.is_started else self._client.waits_for

    @property
    def failure(self) -> Exception | None:
        """After the end: what pigeon failed with (SessionFailed, or an OSError for what could not be started)."""
        return self._client.failure if self.poll() is not None else None

    def wait_started(self, timeout: float | None = None) -> None:
        """Wait until the command runs, or has run.

        Raises:
            TimeoutExpired: not within `timeout` seconds; it goes on waiting.
            FileNotFoundError, PermissionError, NotADirectoryError: as subprocess.Popen does at once.
            SessionFailed: pigeon failed.
        """
        if not self._client.wait_decided(timeout):
            raise TimeoutExpired(self.args, timeout or 0.0)
        if not self._client.is_started:
            self.wait()
            if self._client.failure is not None:
                raise self._client.failure

    def kill_all(self) -> None:
        """SIGKILL for whatever the command has started, and before its start an end of the session."""
        if self.poll() is None and not self._client.order(kill=True):
            super().send_signal(signal.SIGKILL)

    def hang_up(self) -> None:
        """End the command as a lost terminal does: SIGHUP, after 5 s SIGTERM, after 10 s SIGKILL."""
        if self.poll() is None and not self._client.order(hangup=True):
            super().send_signal(signal.SIGHUP)

    # What is otherwise than in subprocess

    def send_signal(self, sig: int) -> None:
        """Send the command's process group a signal; one that ends the command withdraws it before its start."""
        if self.poll() is None and not self._client.order(signal=int(sig)):
            super().send_signal(sig)

    def poll(self) -> int | None:
        """As subprocess.Popen.poll."""
        super().poll()
        return self._settle()

    def wait(self, timeout: float | None = None) -> int:
        """As subprocess.Popen.wait."""
        super().wait(timeout)
        code = self._settle()
        assert code is not None
        return code

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """As subprocess.Popen.communicate."""
        both = super().communicate(input, timeout)
        self._settle()
        return both

    def _settle(self) -> int | None:
        if self.returncode is not None:
            self._client.end()
        return self.returncode

    def _leave(self) -> None:
        """Kill everything, and be rid of the client within END_S, whatever the share does."""
        self.kill_all()
        self._throw_away(LAST_OUTPUT_S)
        try:
            self.wait(END_S)
        except TimeoutExpired:
            super().send_signal(signal.SIGKILL)

    def _throw_away(self, timeout_s: float) -> None:
        """Read what still comes, and close. `communicate` would join all output once more, gigabytes after a flood."""
        deadline = clock.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            for file in (self.stdout, self.stderr):
                if file is not None and not file.closed:
                    selector.register(file, selectors.EVENT_READ)
            while selector.get_map() and (left := deadline - clock.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if not os.read(key.fd, READ_BYTES):
                        selector.unregister(key.fileobj)
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with suppress(OSError):  # input that the command never took
                    file.close()

    def _raise_failure(self) -> None:
        failure = self.failure
        if failure is not None:
            raise failure


def refuse_meaningless(given: Mapping[str, object]) -> None:
    """Raises ValueError for an argument that asks for what cannot be had on another machine."""
    for name, default in _MEANINGLESS.items():
        if given.get(name, default) != default:
            raise ValueError(f"{name} has no meaning for a command on another machine")
