"""GlusterFS as a rig: one brick and two FUSE clients on loopback, as plain processes, without a management daemon.

The graphs are written by hand, after what the management daemon makes for a volume of one brick with default options
(write-behind, flush-behind, quick-read and metadata caching on), with `direct-io` as an option of the mount.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.mounts.launch import RigError, child, kept, mount_table

_START_S = 20.0

_BRICK = [
    ("posix", "storage/posix", {"directory": "{brick}"}),
    ("locks", "features/locks", {}),
    ("upcall", "features/upcall", {}),
    ("brick", "performance/io-threads", {"thread-count": "4"}),
    (
        "server",
        "protocol/server",
        {
            "transport-type": "tcp",
            "transport.socket.bind-address": "127.0.0.1",
            "transport.socket.listen-port": "{port}",
            "auth.addr.brick.allow": "127.0.0.1",
        },
    ),
]
_CLIENT = [
    (
        "client",
        "protocol/client",
        {
            "transport-type": "tcp",
            "remote-host": "127.0.0.1",
            "remote-port": "{port}",
            "remote-subvolume": "brick",
        },
    ),
    ("utime", "features/utime", {}),
    ("write-behind", "performance/write-behind", {"flush-behind": "on"}),
    ("open-behind", "performance/open-behind", {}),
    ("quick-read", "performance/quick-read", {}),
    ("md-cache", "performance/md-cache", {}),
    ("top", "debug/io-stats", {}),
]

Graph = Sequence[tuple[str, str, dict[str, str]]]


def missing() -> str | None:
    """Why no GlusterFS can be started here, or None."""
    for program in ("glusterfsd", "glusterfs"):
        if shutil.which(program) is None:
            return f"`{program}` is not installed (Debian: glusterfs-server)"
    if os.geteuid() != 0:
        return "GlusterFS needs root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "`/dev/fuse` is missing"
    return None


def _graph(parts: Graph, **values: str) -> str:
    """A volume file: each translator stands on the one before it."""
    lines: list[str] = []
    below = None
    for name, kind, options in parts:
        lines += [f"volume {name}", f"  type {kind}"]
        lines += [f"  option {key} {value.format(**values)}" for key, value in options.items()]
        lines += [f"  subvolumes {below}"] if below else []
        lines += ["end-volume", ""]
        below = name
    return "\n".join(lines)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(
    brick: Path, points: Sequence[Path], state: Path, *, direct_io: bool = False
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The brick's process and one client for each mount point; ready for use."""
    port = str(_free_port())
    (state / "brick.vol").write_text(_graph(_BRICK, brick=str(brick), port=port))
    (state / "client.vol").write_text(_graph(_CLIENT, port=port))
    with ExitStack() as stack:

        def start(*words: str, log: str) -> subprocess.Popen[bytes]:
            places = [f"--log-file={state}/{log}.log", f"--pid-file={state}/{log}.pid"]
            command = [*words[:1], "--no-daemon", "--log-level=WARNING", *places, *words[1:]]
            return stack.enter_context(child(command, state / f"{log}.stderr", signal.SIGTERM))

        server = start("glusterfsd", f"--volfile={state}/brick.vol", log="brick")
        _wait_for_port(int(port), server, state)
        switch = ["--direct-io-mode=enable"] if direct_io else []
        clients = [
            start("glusterfs", f"--volfile={state}/client.vol", *switch, str(point), log=point.name)
            for point in points
        ]
        stack.enter_context(kept(points, [server, *clients], state / "keeper.log"))
        for point, client in zip(points, clients, strict=True):
            _wait_for_mount(point, client, state)
        yield clients


def _wait(condition: str, process: subprocess.Popen[bytes], state: Path, deadline_s: float) -> None:
    if process.poll() is not None or time.monotonic() > deadline_s:
        said = "\n".join(path.read_text(errors="replace")[-1500:] for path in state.glob("*.log"))
        raise RigError(f"GlusterFS did not start: {condition}\n{said}")
    time.sleep(0.02)


def _wait_for_port(port: int, process: subprocess.Popen[bytes], state: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            _wait(f"no brick on port {port}", process, state, deadline_s)


def _wait_for_mount(point: Path, process: subprocess.Popen[bytes], state: Path) -> None:
    """Mounted, and the first request is answered (before, the client says ENOTCONN)."""
    deadline_s = time.monotonic() + _START_S
    while True:
        if any(where == str(point) for where, _, _ in mount_table()):
            try:
                os.listdir(point)
                return
            except OSError as error:
                print(f"not yet: {error}", file=sys.stderr)
        _wait(f"nothing mounted at {point}", process, state, deadline_s)
