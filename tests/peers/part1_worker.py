"""A worker that knows Part 1 of the wire format and nothing else; written from its text, not from pigeon.

It stands in for deployed workers: always a PTY, exclusive create as the claim, then the lock of the
directory, then the command; no heartbeat, no acknowledgement, no attaching. One loop, many sessions. It
ends on SIGTERM when idle.

usage: part1_worker.py CACHE NAMESPACE [--max-jobs N] [--old]
"""

import argparse
import base64
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

SESSION = re.compile(r"[0-9]{10,}-[0-9a-f]{8,32}")
EXPECTED = {"session_id", "created_at", "command", "cwd", "env", "requester", "terminal"}


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def replace(path: pathlib.Path, value: dict[str, object]) -> None:
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}")
    temporary.write_bytes(line(value))
    os.rename(temporary, path)


class Tail:
    """Whole lines of one file, opened anew each time."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.offset = 0

    def read(self) -> list[dict[str, object]]:
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:  # a client may write this one last
            return []
        data = data[: data.rfind(b"\n") + 1]
        if b"\0" in data:
            return []
        self.offset += len(data)
        return [json.loads(text) for text in data.splitlines()]


class Session:
    """One claimed session; `step` is called again and again until it returns True."""

    def __init__(self, directory: pathlib.Path, locks: pathlib.Path) -> None:
        self.directory = directory
        self.request = json.loads((directory / "request.json").read_bytes())
        missing = EXPECTED - set(self.request)
        if missing:
            raise ValueError(f"request.json lacks {missing}")
        digest = hashlib.sha256(self.request["cwd"].encode("utf-8", "surrogateescape")).hexdigest()
        locks.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(locks / f"{digest}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        self.status = json.loads((directory / "status.json").read_bytes())
        self.stdin = Tail(directory / "stdin.jsonl")
        self.control = Tail(directory / "control.jsonl")
        self.seq = 0
        self.master = -1
        self.process: subprocess.Popen[bytes] | None = None
        self.typed = b""

    def write(self, **record: object) -> None:
        with open(self.directory / "stream.jsonl", "ab", buffering=0) as file:
            file.write(line({"ts": stamp(), **record}))

    def publish(self, state: str, **fields: object) -> None:
        self.status.update(state=state, updated_at=stamp(), **fields)
        self.status["worker"] = {"host": socket.gethostname(), "pid": os.getpid()}
        replace(self.directory / "status.json", self.status)

    def start(self) -> None:
        env = {**os.environ, **self.request["env"]}
        for name in self.request.get("unset_env", []):
            if name not in self.request["env"]:
                env.pop(name, None)
        self.master, slave = pty.openpty()
        size = self.request["terminal"]["size"]
        if size:
            self.resize(size["cols"], size["rows"])
        try:
            self.process = subprocess.Popen(
                self.request["command"],
                cwd=self.request["cwd"],
                env=env,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(slave)
        os.set_blocking(self.master, False)
        self.publish("running", started_at=stamp())
        self.write(type="event", event="started")

    def resize(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def step(self) -> bool:
        """Do what can be done without waiting."""
        if self.process is None:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            try:
                self.start()
            except OSError as error:
                self.write(type="event", event="worker_error", message=str(error))
                self.publish("failed", finished_at=stamp(), exit_code=255, error=str(error))
                self.close()
                return True
        self.take_input()
        ended = self.process is not None and self.process.poll() is not None
        while self.read_output():
            pass
        if ended:
            self.end()
        return ended

    def take_input(self) -> None:
        for record in self.control.read():
            if record["type"] == "signal":
                os.killpg(os.tcgetpgrp(self.master), int(str(record["signal"])))
            elif record["type"] == "resize":
                self.resize(int(str(record["cols"])), int(str(record["rows"])))
        for record in self.stdin.read():
            if record["type"] == "stdin":
                self.typed += base64.b64decode(str(record["data_b64"]))
            elif record["type"] == "stdin_eof":
                self.typed += b"\4"
        try:
            self.typed = self.typed[os.write(self.master, self.typed) :] if self.typed else b""
        except (BlockingIOError, OSError):
            pass

    def read_output(self) -> bool:
        try:
            data = os.read(self.master, 65536)
        except (BlockingIOError, OSError):
            return False
        if data:
            encoded = base64.b64encode(data).decode()
            self.write(type="output", seq=self.seq, channel="pty", data_b64=encoded)
            self.seq += 1
        return bool(data)

    def end(self) -> None:
        assert self.process is not None
        raw = self.process.returncode
        code = raw if raw >= 0 else 128 - raw
        self.write(type="event", event="exit", exit_code=code, raw_return_code=raw)
        state = "succeeded" if code == 0 else "failed"
        self.publish(state, finished_at=stamp(), exit_code=code)
        self.close()

    def close(self) -> None:
        os.close(self.lock)
        if self.master >= 0:
            os.close(self.master)


class Worker:
    """Lists, claims, steps."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.root = pathlib.Path(options.cache, "namespaces", options.namespace)
        self.max_jobs = options.max_jobs
        self.heartbeat = not options.old
        self.running: list[Session] = []
        self.stopping = False
        self.started_at = stamp()
        self.id = f"{socket.gethostname()}-{os.getpid()}"
        self.beat_at = 0.0
        (self.root / "sessions").mkdir(parents=True, exist_ok=True)
        (self.root / "workers").mkdir(parents=True, exist_ok=True)

    def beat(self) -> None:
        if not self.heartbeat or time.monotonic() < self.beat_at:
            return
        self.beat_at = time.monotonic() + 1
        fields = {"worker_id": self.id, "host": socket.gethostname(), "pid": os.getpid(), "route": None}
        stamps = {"started_at": self.started_at, "updated_at": stamp(), "updated_ts": time.time()}
        replace(self.root / "workers" / f"{self.id}.json", {**fields, **stamps})

    def scan(self) -> None:
        for name in sorted(os.listdir(self.root / "sessions")):
            if len(self.running) >= self.max_jobs:
                return
            directory = self.root / "sessions" / name
            if not SESSION.fullmatch(name) or not self.is_open(directory):
                continue
            try:
                fd = os.open(directory / "worker.claim", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            os.write(fd, f"worker_host={socket.gethostname()}\nworker_pid={os.getpid()}\n".encode())
            os.close(fd)
            self.running.append(Session(directory, self.root / "locks"))

    def is_open(self, directory: pathlib.Path) -> bool:
        if (directory / "worker.claim").exists():
            return False
        try:
            json.loads((directory / "request.json").read_bytes())
            return bool(json.loads((directory / "status.json").read_bytes())["state"] == "pending")
        except FileNotFoundError:
            return False

    def run(self) -> None:
        while not (self.stopping and not self.running):
            self.beat()
            if not self.stopping:
                self.scan()
            self.running = [session for session in self.running if not session.step()]
            time.sleep(0.01)
        (self.root / "workers" / f"{self.id}.json").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cache")
    parser.add_argument("namespace")
    parser.add_argument("--max-jobs", type=int, default=4)
    parser.add_argument("--old", action="store_true", help="as the first workers: no worker file")
    worker = Worker(parser.parse_args())

    def stop(_number: int, _frame: object) -> None:
        worker.stopping = True

    signal.signal(signal.SIGTERM, stop)
    worker.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
