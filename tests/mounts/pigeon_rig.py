"""A pigeon whose client sits behind one mount of a rig and whose worker behind the other."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tests.helpers.pigeon import Pigeon, pigeon_in
from tests.helpers.share import Share
from tests.helpers.waiting import wait_until
from tests.mounts.control import Control
from tests.mounts.rigs import gluster_mounts, plain_dir, require, two_mounts

PLACES = tuple(f"share/namespaces/test/{name}" for name in ("sessions", "locks", "workers"))


class Rig:
    """A pigeon over two mounts, and what controls them."""

    def __init__(self, pigeon: Pigeon, control: Control, other: Path) -> None:
        self.pigeon = pigeon
        self.control = control
        self.other = other
        """The share as the client's host sees it."""


def make_rig(stack: ExitStack, name: str, base: Path) -> Rig:
    """The rig `plain`, `twocache` or `gluster`, and a pigeon on it without a worker; both end with `stack`."""
    if name == "plain":
        a, b, control = stack.enter_context(plain_dir())
    elif name == "twocache":
        require("twocache")
        a, b, control = stack.enter_context(two_mounts(ttl_s=3, negative_ttl_s=30))
    else:
        require("gluster")
        a, b, control = stack.enter_context(gluster_mounts())
    # The tests look for files by name on the client's side; a miss would hide them for the time of its cache.
    for place in ("share", "share/namespaces", "share/namespaces/test", *PLACES):
        (a / place).mkdir(mode=0o700)
    wait_until(lambda: "share" in os.listdir(b), 60, "the share on the worker's mount")
    share = Share(a / "share", b / "share")
    return Rig(stack.enter_context(pigeon_in(base, lambda: False, share)), control, a / "share")
