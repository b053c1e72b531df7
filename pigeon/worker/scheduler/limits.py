"""What a worker needs of this host's limits (getrlimit(2)), checked once before it takes anything.

Refuses to start with less: a worker that finds sessions and cannot run them would keep their clients waiting.
"""

from __future__ import annotations

import resource

from pigeon.errors import PigeonError

DESCRIPTORS = 64
"""For each process, however many commands run: a runner has its locks, a journal of up to six files, a command's pipes
or terminal and one file of the share open, 25 or so; the scheduler fewer, and none that lasts for each runner."""


def check() -> None:
    """Raises PigeonError: too few descriptors.

    The soft limit is not raised for the operator: commands inherit it, and would run with another than here.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        raise PigeonError(
            f"this worker may have no more than {soft} files open, and needs {DESCRIPTORS}",
            hint="raise the limit where it is started, as with `ulimit -n 1024`",
        )
