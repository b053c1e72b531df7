"""The programs that measured sessions run: `python -I -S inside.py VERB …`. Small, so that they cost little.

`echo`               raw terminal; prints `ready`, then gives every byte back; ends at Ctrl-D
`query FILE STEP…`   raw terminal; asks for the cursor (CSI 6n) and writes the milliseconds until the answer into FILE
`chatty S RATE SIZE` SIZE bytes, RATE times a second, for S seconds
`codec SIZE COUNT`   MB/s that base64 takes and gives back on this processor, in pieces of SIZE bytes, COUNT of them
"""

from __future__ import annotations

import binascii
import os
import sys
import time
import tty


def echo() -> None:
    """Give back what is typed."""
    tty.setraw(0)
    os.write(1, b"ready\r\n")
    while True:
        got = os.read(0, 1024)
        if not got or b"\x04" in got:
            return
        os.write(1, got)


def query(path: str, steps: list[str]) -> None:
    """One question per step: `3` after 3 s, `k8` 8 s after a key (it prints `press` when it waits for it)."""
    tty.setraw(0)
    os.write(1, b"ready\r\n")
    with open(path, "w", encoding="ascii") as out:
        for step in steps:
            if step.startswith("k"):
                os.write(1, b"press\r\n")
                os.read(0, 1)
            time.sleep(float(step.lstrip("k")))
            asked = time.monotonic()
            os.write(1, b"\x1b[6n")
            answer = b""
            while not answer.endswith(b"R"):
                answer += os.read(0, 64)
            out.write(f"{step} {(time.monotonic() - asked) * 1000:.3f}\n")
            out.flush()


def chatty(duration_s: float, rate: float, size_bytes: int) -> None:
    """Many small writes at an even pace."""
    piece = (b"x" * (size_bytes - 1)) + b"\n"
    start = time.monotonic()
    for n in range(int(duration_s * rate)):
        pause = start + n / rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        os.write(1, piece)


def codec(size_bytes: int, count: int) -> None:
    """Print the MB/s of payload of encoding and of decoding, as the streams do it."""
    data = os.urandom(size_bytes)
    text = binascii.b2a_base64(data, newline=False)
    for function, argument in ((binascii.b2a_base64, data), (binascii.a2b_base64, text)):
        start = time.monotonic()
        for _ in range(count):
            function(argument)
        print(f"{size_bytes * count / 1e6 / (time.monotonic() - start):.1f}")


def main(argv: list[str]) -> None:
    """Run the verb."""
    verb, rest = argv[0], argv[1:]
    if verb == "echo":
        echo()
    elif verb == "query":
        query(rest[0], rest[1:])
    elif verb == "chatty":
        chatty(float(rest[0]), float(rest[1]), int(rest[2]))
    elif verb == "codec":
        codec(int(rest[0]), int(rest[1]))
    else:
        sys.exit(f"inside.py: unknown verb {verb!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
