"""The process of one mount: `python -m tests.mounts.serve OPTIONS`, started by `launch`, never by hand.

Says `ready` on stdout as soon as the kernel talks to it, serves until it is unmounted or killed, and cleans nothing
up: its keeper does (`keeper`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.mounts.binding import Binding
from tests.mounts.counters import Counters
from tests.mounts.faults import RuleBook
from tests.mounts.locks import LockingClient
from tests.mounts.oneclient import OneClient
from tests.mounts.options import SOURCE, Options
from tests.mounts.space import Space
from tests.mounts.tally import Tally


def main() -> None:
    """Serve one mount."""
    options = Options.decode(sys.argv[1])
    state = Path(options.state)
    os.umask(0)  # the kernel has applied the caller's
    counters = Counters(state / f"{options.label}.counts")
    book = RuleBook(state / "control.json", options.label, Tally(state / "tally"))
    binding = Binding()
    kind = OneClient if options.locks == "local" else LockingClient
    binding.mount(
        kind(options, binding, counters, book, Space(state / "space")),
        options.mountpoint,
        fsname=f"{SOURCE}:{os.getpid()}:{options.label}",
        subtype=options.subtype,
        entry_timeout=options.kernel_names_s,
        default_permissions=options.checks_permissions,
    )


if __name__ == "__main__":
    main()
