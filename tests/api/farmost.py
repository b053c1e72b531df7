"""Functions for Executors: both sides import this module, so it must be fit for every Python from 3.8 on."""

from __future__ import annotations

import os
import sys
import time


def add(a: int, b: int) -> int:
    return a + b


def python_of() -> tuple[int, ...]:
    return tuple(sys.version_info[:2])


def pid() -> int:
    return os.getpid()


def boom(text: str) -> None:
    raise ValueError(text)


class OddError(Exception):
    """It can be taken apart and not be made again."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__("odd")


def odd() -> None:
    raise OddError(1, 2)


def talk() -> str:
    print("printed")
    print("to stderr", file=sys.stderr)
    os.system("echo from a child")
    return sys.stdin.read()


def die(code: int = 9) -> None:
    os._exit(code)


def nap(seconds: float, path: str | None = None) -> float:
    if path is not None:
        with open(path, "a") as file:
            print(os.getpid(), file=file)
    time.sleep(seconds)
    return seconds


def local() -> object:
    return lambda: 1


READY: list[str] = []


def get_ready(value: str) -> None:
    READY.append(value)


def is_ready() -> list[str]:
    return READY
