"""One QEMU machine: its command line, its process, its control channel.

A machine has no name on the host's disk: disk, wires, ports and console are descriptors, so that nothing is left
whatever ends it, and the kernel ends it with the process that started it. It has no way out of the lab: its cards
are wired to the other machines only.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import LabError
from .initramfs import build_initramfs
from .kernel import Kernel, cache_directory, find_program

ADDRESSES = {"server": ("10.77.1.1", "10.77.2.1"), "a": ("10.77.1.2",), "b": ("10.77.2.2",)}
"""Each client has a wire of its own to the server, so that cutting one leaves the other alone."""
MACHINES = tuple(ADDRESSES)
PR_SET_PDEATHSIG = 1
PROBE_S = 10.0
"""How long a machine under KVM may take to start and stop again; a working one takes about one second."""


def hosts_file(name: str) -> str:
    """`/etc/hosts` for machine `name`: everybody it has a wire to, by the address on that wire."""
    lines = ["127.0.0.1 localhost", f"{ADDRESSES[name][0]} {name}"]
    if name == "server":
        lines += [f"{ADDRESSES[peer][0]} {peer}" for peer in ("a", "b")]
    else:
        lines.append(f"{ADDRESSES['server'][('a', 'b').index(name)]} server")
    return "\n".join(lines) + "\n"


def die_with_parent(parent: int) -> Callable[[], None]:
    """What a QEMU does before it becomes QEMU: ask to be killed with `parent`, and step back behind all others."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        os.nice(15)

    return prepare


def memory_file(name: str, content: bytes = b"") -> int:
    """A descriptor of an anonymous file in memory."""
    fd = os.memfd_create(name)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def base_arguments(accel: str, kernel: Kernel, memory_mb: int, initrd: int) -> list[str]:
    """What every machine of the lab is started with."""
    if accel == "kvm":
        processor = ["-accel", "kvm", "-cpu", "host"]
    else:
        # Plain: emulated vector units are slower than none. A small translation buffer: the default grows to 1 GB.
        processor = ["-accel", "tcg,tb-size=96", "-cpu", "qemu64,+rdrand"]
    return [
        find_program("qemu-system-x86_64"),
        *processor,
        *("-M", "q35,hpet=off", "-smp", "1", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-serial", "stdio"),
        *("-m", str(memory_mb), "-kernel", str(kernel.image), "-initrd", f"/dev/fd/{initrd}"),
        # panic=-1: a machine that fails goes at once, and is seen to.
        *("-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on"),
    ]


def choose_accelerator(wanted: str, kernel: Kernel) -> str:
    """`kvm` where a machine really runs under it, else `tcg`. A failed try is remembered until the host reboots."""
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cache_directory() / f"kvm-{boot_id}"
    try:
        return verdict.read_text()
    except OSError:
        accel = "kvm" if try_kvm(kernel) else "tcg"
        verdict.write_text(accel)
        return accel


def try_kvm(kernel: Kernel) -> bool:
    """Whether a machine under KVM gets as far as our own first program."""
    content = build_initramfs(kernel._replace(modules=[]), find_program("busybox"), "probe", "", (), "")
    initrd = memory_file("initrd", content)
    try:
        done = subprocess.run(
            base_arguments("kvm", kernel, 128, initrd),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[initrd],
            timeout=PROBE_S,
            preexec_fn=die_with_parent(os.getpid()),
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        os.close(initrd)
    return b"lab: probe done" in done.stdout


class Plan(NamedTuple):
    """What a machine is made of, for as long as the lab lasts."""

    kernel: Kernel
    accel: str
    memory_mb: int
    wires: Sequence[socket.socket]
    """The machine's ends, in the order of its cards."""
    disk: int | None
    """Descriptor of the image, or none."""


class Machine:
    """A machine that can be started, frozen, cut off and killed, any number of times."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.name = name
        self.plan = plan
        self.process: subprocess.Popen[bytes] | None = None
        self.port: socket.socket | None = None
        """Our end of the agent's port, from `start` on; the keeper reads and writes it."""
        self.ready = asyncio.Event()
        self.about: dict[str, str] = {}
        self.frozen = False
        self.started_at = 0.0
        self.boot_s: float | None = None
        self._console = -1
        self._control: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Switch on. The agent's greeting, which makes it ready, comes later."""
        if self.is_on():
            raise LabError(f"machine `{self.name}` is on already")
        port, port_end = socket.socketpair()
        control, control_end = socket.socketpair()
        initrd = self._make_initrd()
        if self._console >= 0:
            os.close(self._console)
        self._console = memory_file("console")
        passed = [
            initrd,
            port_end.fileno(),
            control_end.fileno(),
            *(wire.fileno() for wire in self.plan.wires),
        ]
        if self.plan.disk is not None:
            passed.append(self.plan.disk)
        self.ready.clear()
        self.frozen, self.boot_s, self.started_at = False, None, time.monotonic()
        self.process = subprocess.Popen(
            self._arguments(initrd, port_end.fileno(), control_end.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
            pass_fds=passed,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
        os.close(initrd)
        port_end.close()
        control_end.close()
        self.port = port
        control.setblocking(False)
        self._control = await asyncio.open_unix_connection(sock=control)

    def _make_initrd(self) -> int:
        content = build_initramfs(
            self.plan.kernel,
            find_program("busybox"),
            self.name,
            os.path.realpath(sys.executable),
            ADDRESSES[self.name],
            hosts_file(self.name),
        )
        return memory_file("initrd", content)

    def _arguments(self, initrd: int, port: int, control: int) -> list[str]:
        words = base_arguments(self.plan.accel, self.plan.kernel, self.plan.memory_mb, initrd)
        words += ["-name", f"nfs-lab-{self.name}", "-chardev", f"socket,id=control,fd={control}"]
        words += ["-mon", "chardev=control,mode=control", "-chardev", f"socket,id=agent,fd={port}"]
        words += ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=lab,nr=1"]
        words += ["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]
        words += ["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]
        for n, wire in enumerate(self.plan.wires):
            words += ["-netdev", f"dgram,id=wire{n},local.type=fd,local.str={wire.fileno()}"]
            mac = f"52:54:00:77:{MACHINES.index(self.name):02x}:{n:02x}"
            words += ["-device", f"virtio-net-pci,netdev=wire{n},mac={mac},host_mtu=9000,romfile=,addr=1{n}"]
        if self.plan.disk is not None:
            # The host's page cache outlives the machine, so a power cut of the machine loses only what the guest
            # had not written: what a disk with a safe cache does.
            words += ["-drive", f"file=/dev/fd/{self.plan.disk},format=raw,if=virtio,cache=writeback"]
        return words

    def is_on(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def greeted(self, about: dict[str, str]) -> None:
        """The agent is up."""
        self.about = about
        self.boot_s = time.monotonic() - self.started_at
        self.ready.set()

    async def command(self, name: str, arguments: dict[str, Any]) -> None:
        """One command to QEMU itself (QMP). Raises `LabError` with QEMU's own words."""
        if self._control is None or not self.is_on():
            raise LabError(f"machine `{self.name}` is off")
        async with self._turn:
            reader, writer = self._control
            for request in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                writer.write(json.dumps(request).encode() + b"\n")
                answer = await self._answer(reader)
        if "error" in answer:
            raise LabError(f"qemu refused `{name}`: {answer['error'].get('desc')}")

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> dict[str, Any]:
        """The next answer, past greeting and events. Capabilities may be asked for once; later it is an error."""
        while True:
            line = await asyncio.wait_for(reader.readline(), 30)
            if not line:
                raise LabError("qemu closed its control channel")
            answer: dict[str, Any] = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer

    async def set_wire(self, number: int, connected: bool) -> None:
        """Plug or unplug one card's wire."""
        await self.command("set_link", {"name": f"wire{number}", "up": connected})

    async def freeze(self, frozen: bool) -> None:
        """Stop the machine's clock and processor, or let them go on."""
        await self.command("stop" if frozen else "cont", {})
        self.frozen = frozen

    def kill(self) -> None:
        """Pull the plug."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def console_text(self) -> str:
        """What the machine, and QEMU about it, printed since it was switched on."""
        if self._console < 0:
            return ""
        size = os.fstat(self._console).st_size
        start = max(0, size - 65536)
        return os.pread(self._console, size - start, start).decode(errors="replace")

    def describe(self) -> dict[str, Any]:
        """For `nfs-lab status`."""
        state = "off"
        if self.is_on():
            state = "frozen" if self.frozen else "ready" if self.ready.is_set() else "booting"
        pid = self.process.pid if self.process and self.is_on() else None
        return {
            "state": state,
            "accel": self.plan.accel,
            "pid": pid,
            "boot_s": self.boot_s,
            "resident_mb": resident_mb(pid),
            **self.about,
        }


def resident_mb(pid: int | None) -> int | None:
    """Memory that process `pid` has now."""
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) // 1024
    except OSError:
        pass
    return None
