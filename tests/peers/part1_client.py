"""A client that knows Part 1 of the wire format and nothing else; written from its text, not from pigeon.

It stands in for deployed clients: asks no liveness, sends no heartbeat, acknowledges nothing, ignores what
it does not know. It is strict about what it does know: a breach of Part 1 on the worker's side ends it with
code 99.

usage: part1_client.py [options] -- WORD...
"""

import argparse
import base64
import datetime
import functools
import json
import os
import pathlib
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NoReturn

BREACH = 99
FINAL = {"succeeded", "failed", "cancelled"}
FILES = ("stream.jsonl", "stdin.jsonl", "control.jsonl")


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def line(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def replace(path: pathlib.Path, value: dict[str, object]) -> None:
    temporary = path.with_name(f".tmp-{secrets.token_hex(4)}")
    temporary.write_bytes(line(value))
    os.rename(temporary, path)


def append(path: pathlib.Path, data: bytes) -> None:
    with open(path, "ab", buffering=0) as file:
        file.write(data)


def breach(text: str) -> NoReturn:
    print(f"part1 client: {text}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(BREACH)


class Client:
    """One session, from its files to its exit code."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.id = f"{int(time.time() * 1000)}-{secrets.token_hex(6)}"
        root = pathlib.Path(options.cache, "namespaces", options.namespace)
        self.directory = root / "sessions" / self.id
        self.seqs = {"stdin.jsonl": 0, "control.jsonl": 0}
        self.offset = 0
        self.next_output = 0
        self.code: int | None = None
        self.ended = False

    def send(self, name: str, **fields: object) -> None:
        record = {"seq": self.seqs[name], "ts": stamp(), **fields}
        self.seqs[name] += 1
        append(self.directory / name, line(record))

    def request(self) -> dict[str, object]:
        words = self.options.words
        wrapped = len(words) > 2 and words[0] in ("bash", "sh", "zsh") and words[1] == "-lc"
        return {
            "session_id": self.id,
            "created_at": stamp(),
            "command": words if wrapped else ["bash", "-lc", " ".join(words)],
            "cwd": self.options.cwd or os.getcwd(),
            "env": dict(os.environ),
            "requester": {"host": socket.gethostname(), "pid": os.getpid(), "user": "older"},
            "terminal": {
                "stdin_isatty": os.isatty(0),
                "stdout_isatty": os.isatty(1),
                "size": {"cols": self.options.cols, "rows": self.options.rows},
            },
        }

    def publish(self) -> None:
        """The two orders in which clients write their files; both are in the field."""
        self.directory.mkdir(parents=True)
        now = stamp()
        fields = {"session_id": self.id, "state": "pending", "created_at": now, "updated_at": now}
        steps: list[Callable[[], None]] = [
            lambda: replace(self.directory / "request.json", self.request()),
            lambda: replace(self.directory / "status.json", {**fields, "exit_code": None}),
            *(functools.partial(append, self.directory / name, b"") for name in FILES),
        ]
        if self.options.order == "rest-first":
            steps = steps[2:] + steps[:2]
        for step in steps:
            step()
            time.sleep(self.options.pause)
        print(f"session {self.id}", file=sys.stderr, flush=True)

    def read_stream(self) -> bool:
        """Take the whole lines that are new. True if there were any."""
        try:
            with open(self.directory / "stream.jsonl", "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return False
        end = data.rfind(b"\n") + 1
        if b"\0" in data[:end]:
            return False
        for text in data[:end].splitlines(keepends=True):
            self.take(json.loads(text), self.offset)
            self.offset += len(text)
        return end > 0

    def take(self, record: dict[str, object], offset: int) -> None:
        if self.ended:
            breach(f"a record after the exit event, at {offset}: {record}")
        if record["type"] == "output":
            if record["seq"] != self.next_output:
                breach(f"output {record['seq']} where {self.next_output} should be, at {offset}")
            self.next_output += 1
            fd = 2 if record["channel"] == "stderr" else 1
            data = base64.b64decode(str(record["data_b64"]), validate=True)
            while data:
                data = data[os.write(fd, data) :]
        elif record["type"] == "event" and record["event"] == "exit":
            self.ended = True
            self.code = int(str(record["exit_code"]))
            raw = int(str(record["raw_return_code"]))
            if self.code != (raw if raw >= 0 else 128 - raw):
                breach(f"exit code {self.code} does not belong to return code {raw}")
        elif record["type"] == "event" and record["event"] == "worker_error":
            print(f"part1 client: worker error: {record['message']}", file=sys.stderr, flush=True)

    def status(self) -> dict[str, object]:
        try:
            value = json.loads((self.directory / "status.json").read_bytes())
        except FileNotFoundError:
            breach("status.json is gone")
        if value["session_id"] != self.id or value["state"] not in FINAL | {"pending", "running"}:
            breach(f"status.json is not one: {value}")
        return dict(value)

    def finish(self, status: dict[str, object]) -> int:
        """The status is final: what stands in the stream now is all there is."""
        while self.read_stream():
            pass
        if self.code is None:
            print(f"part1 client: ended without an exit event: {status}", file=sys.stderr)
            return 255
        if status["exit_code"] != self.code or (status["state"] == "succeeded") != (self.code == 0):
            breach(f"the final status {status} does not fit exit code {self.code}")
        return self.code

    def wait(self) -> int:
        """Move bytes both ways until the status is final."""
        keys = selectors.DefaultSelector()
        if self.options.stdin:
            keys.register(0, selectors.EVENT_READ)
        deadline = time.monotonic() + self.options.timeout
        while time.monotonic() < deadline:
            if self.options.stdin and keys.get_map():
                if keys.select(0.01):
                    data = os.read(0, 65536)
                    if data:
                        self.send("stdin.jsonl", type="stdin", data_b64=base64.b64encode(data).decode())
                    else:
                        self.send("stdin.jsonl", type="stdin_eof")
                        keys.unregister(0)
            else:
                time.sleep(0.01)
            status = self.status()
            self.read_stream()
            if status["state"] in FINAL:
                return self.finish(status)
        breach(f"no end within {self.options.timeout} s")


def refuse_without_worker(root: pathlib.Path) -> None:
    """Newer clients of the base format submit only where a worker's file is younger than 3 s."""
    for path in (root / "workers").glob("*.json"):
        if time.time() - json.loads(path.read_bytes())["updated_ts"] < 3:
            return
    breach("no worker file is younger than 3 s")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("cache")
    parser.add_argument("namespace")
    parser.add_argument("--order", choices=("rest-first", "request-first"), default="request-first")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two steps of publishing")
    parser.add_argument("--cwd")
    parser.add_argument("--cols", type=int, default=80)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--stdin", action="store_true", help="send what stdin gives")
    parser.add_argument("--demand-worker", action="store_true")
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("words", nargs="+")
    options = parser.parse_args()
    if options.demand_worker:
        refuse_without_worker(pathlib.Path(options.cache, "namespaces", options.namespace))
    client = Client(options)
    client.publish()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda n, _frame: client.send("control.jsonl", type="signal", signal=int(n)))
    resize = {"type": "resize", "cols": 101, "rows": 33}
    signal.signal(signal.SIGWINCH, lambda _n, _frame: client.send("control.jsonl", **resize))
    return client.wait()


if __name__ == "__main__":
    sys.exit(main())
