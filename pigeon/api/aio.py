"""asyncio's names for commands that run on a worker."""

from __future__ import annotations

import asyncio
import os
import signal as signals
from asyncio import subprocess as of_asyncio
from collections.abc import Mapping
from subprocess import DEVNULL
from typing import IO, Any

from pigeon.api.client import OPTIONS, Client, Word, client_words, is_interactive, request_of, socket_pair
from pigeon.api.popen import END_S, refuse_meaningless

File = int | IO[Any] | None

LIMIT_BYTES = 64 * 1024
"""asyncio's own: how much of an output a StreamReader buffers."""

_MUCH_BYTES = 64 * 1024
"""A longer request may have to wait until the client reads it."""


class Process(of_asyncio.Process):
    """A command on a worker, with the attributes and methods of asyncio.subprocess.Process.

    `session` is its id, `failure` what pigeon failed with (None for a command that ended by itself).
    """

    def __init__(self, inner: of_asyncio.Process, client: Client) -> None:
        super().__init__(inner._transport, inner._protocol, inner._loop)  # type: ignore[attr-defined]
        self._client = client

    @property
    def session(self) -> str | None:
        """The session's id, for `pigeon inspect` and the like."""
        return self._client.session

    @property
    def failure(self) -> Exception | None:
        """After the end: what pigeon failed with."""
        if self.returncode is None:
            return None
        self._client.end()
        return self._client.failure

    def send_signal(self, signal: int) -> None:
        """Send the command's process group a signal. Raises ProcessLookupError once it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError
        if not self._client.order(signal=int(signal)):
            super().send_signal(signal)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signals.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL for whatever the command has started, and before its start an end of the session."""
        if self.returncode is None and not self._client.order(kill=True):
            super().send_signal(signals.SIGKILL)

    async def wait(self) -> int:
        """The return code, as that of asyncio's."""
        code = await super().wait()
        self._client.end()
        return code

    async def communicate(self, input: bytes | bytearray | memoryview | None = None) -> tuple[Any, Any]:
        """As asyncio's. Cancelled (`asyncio.wait_for`), it kills what the command has started."""
        try:
            both = await super().communicate(input)
        except asyncio.CancelledError:
            await self._leave()
            raise
        self._client.end()
        return both

    async def _leave(self) -> None:
        """Kill everything, and be rid of the client within END_S, whatever the share does."""
        self.kill_all()
        try:
            await asyncio.wait_for(self.wait(), END_S)
        except TimeoutError:
            super().kill()

    async def _until_decided(self) -> None:
        loop = asyncio.get_running_loop()
        self._client.listen()
        while not self._client.is_decided:
            heard = asyncio.Event()
            fd = self._client.fileno()
            loop.add_reader(fd, heard.set)
            try:
                await heard.wait()
            finally:
                loop.remove_reader(fd)
            self._client.listen()
        if not self._client.is_started:
            await self.wait()
            if self._client.failure is not None:
                raise self._client.failure


async def create_subprocess_exec(
    program: Word,
    *args: Word,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = LIMIT_BYTES,
    **options: Any,
) -> Process:
    """Start a command on a worker; returns once it runs. `options`: arguments of `pigeon.Popen`.

    Cancelled, it gives the session up.

    Raises:
        SessionFailed: pigeon failed.
        FileNotFoundError, PermissionError, NotADirectoryError: the command cannot be started over there.

    >>> async def main():
    ...     process = await pigeon.create_subprocess_exec("cat", stdin=pigeon.PIPE, stdout=pigeon.PIPE)
    ...     return await process.communicate(b"there and back")
    >>> asyncio.run(main())
    (b'there and back', None)
    """
    return await _start([program, *args], False, stdin, stdout, stderr, limit, options)


async def create_subprocess_shell(
    cmd: str | bytes,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    limit: int = LIMIT_BYTES,
    **options: Any,
) -> Process:
    """Start a shell text (`[client] shell`) on a worker; otherwise as `create_subprocess_exec`.

    >>> async def main():
    ...     process = await pigeon.create_subprocess_shell("exit 7", lock=False)
    ...     return await process.wait()
    >>> asyncio.run(main())
    7
    """
    return await _start(cmd, True, stdin, stdout, stderr, limit, options)


async def _start(
    args: Any,
    shell: bool,
    stdin: File,
    stdout: File,
    stderr: File,
    limit: int,
    options: dict[str, Any],
) -> Process:
    interactive = is_interactive(stdin, stdout, stderr)
    executable = options.pop("executable", None)
    env: Mapping[Any, Any] | None = options.pop("env", None)
    ours = {name: options.pop(name, None) for name in OPTIONS}
    if ours["tty"] is None:
        ours["tty"] = interactive
    request = request_of(args, shell=shell, executable=executable, env=env, **ours)
    refuse_meaningless(options)
    mine, other = socket_pair()
    try:
        with other:
            fd = other.fileno()
            inner = await asyncio.create_subprocess_exec(
                *client_words(),
                "--driven-by",
                str(fd),
                stdin=DEVNULL if stdin is None and not interactive else stdin,
                stdout=stdout,
                stderr=stderr,
                limit=limit,
                pass_fds=(fd,),
                **options,
            )
    except BaseException:
        mine.close()
        raise
    first = args if isinstance(args, str | bytes | os.PathLike) else args[0]
    process = Process(inner, Client(mine, os.fsdecode(executable or first)))
    try:
        if len(request) > _MUCH_BYTES:
            await asyncio.to_thread(process._client.ask, request)
        else:
            process._client.ask(request)
        await process._until_decided()
    except asyncio.CancelledError:
        await process._leave()
        raise
    return process
