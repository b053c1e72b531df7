"""How far a session's output may run ahead of what its client says to have printed. Pure."""

from __future__ import annotations

WINDOW_BYTES = 64 * 1024 * 1024
"""How far the stream may run ahead of a client that acknowledges."""

BULK_WINDOW_BYTES = 24 * 1024 * 1024
"""The same for one that reads segments: three of its acknowledgements. What is under way when a command is killed has
still to be read, which takes a tenth of a second for so much."""

EYES_BYTES = 512 * 1024
"""The same on a terminal, for a client that acknowledges as often as this needs: what has been sent is shown, however
long that takes, so behind a flood an interrupting key would give the prompt back only after a window."""


def window_bytes(*, takes_bulk: bool, is_watched: bool) -> int:
    """The window. `takes_bulk`: its reader knows segments. `is_watched`: a terminal shows it, and says so often."""
    if is_watched:
        return EYES_BYTES
    return BULK_WINDOW_BYTES if takes_bulk else WINDOW_BYTES
