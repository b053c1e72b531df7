"""The framing that the keeper, the machines' agents and `nfs-lab run` speak.

A frame is one kind byte, a channel, a length and so many bytes. A channel is one command in a machine. Neither end of
a channel sends more than `WINDOW_BYTES` that the other has not yet passed on, so a slow reader holds its command up as
a pipe would, and no buffer between them grows past that. Pure; used inside the machines too.
"""

import struct

HEADER = struct.Struct(">cII")
WINDOW_BYTES = 256 * 1024
CHUNK_BYTES = 32 * 1024
"""Longest data frame: short enough that a signal does not wait long behind one."""

# Towards the machine.
SPAWN = b"S"  # JSON: argv, env, cwd, uid, pty
INPUT = b"I"
INPUT_END = b"E"
SIGNAL = b"K"  # the number, as text
RESIZE = b"R"  # JSON: [columns, rows]
GRANT_OUTPUT = b"W"  # so many bytes of output were passed on, as text
HANG_UP = b"X"  # nobody listens any more

# From the machine.
HELLO = b"H"  # JSON: what the agent says of its machine; channel 0
OUTPUT = b"O"
ERRORS = b"e"
GRANT_INPUT = b"w"
ENDED = b"x"  # the return code as Python gives it, as text
NOT_STARTED = b"F"  # JSON: [exit code, why]

# Between the keeper and its callers only.
REQUEST = b"?"  # JSON, the first frame of a connection
REPLY = b"!"  # JSON
LOST = b"L"  # the machine is gone: why, as text


def pack(kind: bytes, channel: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(kind, channel, len(payload)) + payload


class Splitter:
    """Cuts a byte stream back into frames, however the bytes arrive."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]]:
        """The frames that are whole now: kind, channel, payload."""
        self._rest += data
        frames: list[tuple[bytes, int, bytes]] = []
        start = 0
        while len(self._rest) - start >= HEADER.size:
            kind, channel, length = HEADER.unpack_from(self._rest, start)
            end = start + HEADER.size + length
            if end > len(self._rest):
                break
            frames.append((kind, channel, bytes(self._rest[start + HEADER.size : end])))
            start = end
        del self._rest[:start]
        return frames
