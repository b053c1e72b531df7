"""The process that holds the machines: starts them, carries commands to them, and takes them with it when it ends.

It listens on a socket without a file (abstract, same uid only) named after the lab, so that nothing is left behind
however it ends; the machines are killed by the kernel with it. It ends when told to, when its owner's end of the
lifeline (its stdin) closes, or when its time is up. It knows nothing of NFS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from . import frames
from .errors import LabError
from .kernel import find_program, prepare_kernel, run
from .machine import MACHINES, Machine, Plan, choose_accelerator


def address_of(lab: str) -> str:
    """Where the keeper of `lab` listens."""
    return f"\0pigeon-nfs-lab-{os.getuid()}-{lab}"


def make_disk(size_mb: int) -> int:
    """A descriptor of an ext4 image that has no name, on the host's disk because it may get big."""
    with tempfile.TemporaryFile(dir="/var/tmp") as image:
        image.truncate(size_mb << 20)
        fd = os.dup(image.fileno())
    path = f"/proc/{os.getpid()}/fd/{fd}"
    run(
        [find_program("mke2fs"), "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", path],
        Path("/"),
    )
    return fd


class Keeper:
    """All machines of one lab, and the commands that run in them."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        self.machines = machines
        self.note: dict[str, Any] = {}
        """What the lab's owner wants others to know, such as what it mounted."""
        self.done = asyncio.Event()
        self._callers: dict[tuple[str, int], asyncio.StreamWriter] = {}
        self._ports: dict[str, asyncio.StreamWriter] = {}
        self._last_channel = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def switch_on(self, name: str) -> None:
        """Start a machine and serve its port for as long as it is on."""
        machine = self.machines[name]
        await machine.start()
        assert machine.port is not None
        machine.port.setblocking(False)
        reader, self._ports[name] = await asyncio.open_unix_connection(sock=machine.port)
        task = asyncio.create_task(self._serve_machine(name, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_machine(self, name: str, reader: asyncio.StreamReader) -> None:
        splitter = frames.Splitter()
        while data := await reader.read(65536):
            for kind, channel, payload in splitter.feed(data):
                if kind == frames.HELLO:
                    self.machines[name].greeted(json.loads(payload))
                elif caller := self._callers.get((name, channel)):
                    # Never waits: what is on its way to one caller is bounded by the window.
                    caller.write(frames.pack(kind, 0, payload))
        self._ports.pop(name).close()
        for (where, _), caller in self._callers.items():
            if where == name:
                caller.write(frames.pack(frames.LOST, 0, f"machine `{name}` is gone".encode()))

    async def serve_caller(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one command in a machine, or one question about the lab."""
        try:
            if caller_uid(writer) == os.getuid():
                await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the caller has gone
        except asyncio.CancelledError:
            pass  # the keeper ends; passed on, this would be printed as a failure
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, _, length = frames.HEADER.unpack(await reader.readexactly(frames.HEADER.size))
        request = json.loads(await reader.readexactly(length))
        if request["do"] == "run":
            await self._carry(request["machine"], reader, writer)
            return
        try:
            reply = await self._answer(request)
        except LabError as error:
            reply = {"error": error.message, "hint": error.hint}
        except Exception as error:  # a question must never end the keeper and everybody's machines with it
            traceback.print_exc()
            reply = {"error": f"the keeper failed: {error!r}", "hint": None}
        writer.write(frames.pack(frames.REPLY, 0, json.dumps(reply).encode()))
        await writer.drain()

    async def _carry(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = self._ports.get(name)
        if port is None or not self.machines[name].ready.is_set():
            writer.write(frames.pack(frames.LOST, 0, f"machine `{name}` is not up".encode()))
            return
        self._last_channel += 1
        key = (name, self._last_channel)
        self._callers[key] = writer
        splitter = frames.Splitter()
        try:
            while data := await reader.read(65536):
                for kind, _, payload in splitter.feed(data):
                    port.write(frames.pack(kind, key[1], payload))
                await port.drain()
        finally:
            del self._callers[key]
            if not port.is_closing():
                port.write(frames.pack(frames.HANG_UP, key[1]))

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"do": "status"}:
                machines = {name: machine.describe() for name, machine in self.machines.items()}
                return {"machines": machines, "note": self.note, "pid": os.getpid()}
            case {"do": "note", **note}:
                self.note |= note
            case {"do": "stop"}:
                self.done.set()
            case {"do": "await", "machine": name, "timeout_s": timeout_s}:
                await self._await_ready(self.machines[name], timeout_s)
            case {"do": "switch-on", "machine": name}:
                await self.switch_on(name)
            case {"do": "kill", "machine": name}:
                self.machines[name].kill()
            case {"do": "freeze", "machine": name, "frozen": frozen}:
                await self.machines[name].freeze(frozen)
            case {"do": "wire", "machine": name, "number": number, "connected": connected}:
                await self.machines[name].set_wire(number, connected)
            case {"do": "console", "machine": name}:
                return {"text": self.machines[name].console_text()}
            case _:
                raise LabError(f"the keeper does not understand {request}")
        return {}

    @staticmethod
    async def _await_ready(machine: Machine, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not machine.ready.is_set():
            if not machine.is_on() or loop.time() > deadline:
                what = (
                    f"did not start within {timeout_s:g} s" if machine.is_on() else "stopped while starting"
                )
                tail = machine.console_text()[-3000:]
                raise LabError(f"machine `{machine.name}` {what}; its console ends:\n{tail}")
            try:
                await asyncio.wait_for(machine.ready.wait(), 0.5)
            except TimeoutError:
                pass


def caller_uid(writer: asyncio.StreamWriter) -> int:
    """The user at the other end: an abstract socket has no file whose mode would keep others out."""
    end: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


async def keep(options: argparse.Namespace) -> None:
    """Start everything, say so on stdout, serve until the end."""
    machines = build_machines(options)
    keeper = Keeper(machines)
    try:
        listener = await asyncio.start_unix_server(keeper.serve_caller, address_of(options.lab))
    except OSError as error:
        raise LabError(
            f"a lab named `{options.lab}` is running already", "stop it, or choose another --lab"
        ) from error
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, keeper.done.set)
    if options.lifeline:
        loop.add_reader(0, keeper.done.set)  # nothing is ever sent: readable means closed
    try:
        for name in machines:
            await keeper.switch_on(name)
        print(json.dumps({"pid": os.getpid()}), flush=True)
        try:
            await asyncio.wait_for(keeper.done.wait(), options.hours * 3600)
        except TimeoutError:
            print(f"nfs-lab: {options.hours:g} h are over", file=sys.stderr)
    finally:
        listener.close()
        for machine in machines.values():
            machine.kill()


def build_machines(options: argparse.Namespace) -> dict[str, Machine]:
    kernel = prepare_kernel()
    accel = choose_accelerator(options.accel, kernel)
    wires = {name: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for name in ("a", "b")}
    ends = {"server": [wires["a"][0], wires["b"][0]], "a": [wires["a"][1]], "b": [wires["b"][1]]}
    disk = make_disk(options.disk_mb)
    machines = {}
    for name in MACHINES:
        memory_mb = min(options.memory_mb, 256) if name == "server" else options.memory_mb
        plan = Plan(kernel, accel, memory_mb, ends[name], disk if name == "server" else None)
        machines[name] = Machine(name, plan)
    return machines


def main() -> int:
    """Run as `python -m tools.nfs_lab.keeper`; only `Lab.start` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lab", required=True)
    parser.add_argument("--accel", required=True)
    parser.add_argument("--memory-mb", type=int, required=True)
    parser.add_argument("--disk-mb", type=int, required=True)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--lifeline", action="store_true")
    try:
        asyncio.run(keep(parser.parse_args()))
    except LabError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
