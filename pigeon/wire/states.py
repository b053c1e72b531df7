"""What status.json publishes, and the one mapping between return codes, exit codes and signals. Pure."""

PENDING = "pending"
RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "cancelled"

FINAL = frozenset((SUCCEEDED, FAILED, CANCELLED))

TRANSITIONS: dict[str, frozenset[str]] = {
    PENDING: frozenset((RUNNING, FAILED, CANCELLED)),
    RUNNING: FINAL,
    SUCCEEDED: frozenset(),
    FAILED: frozenset(),
    CANCELLED: frozenset(),
}
"""Published state -> the states that may replace it. A final one is never replaced."""


def exit_code_of(return_code: int) -> int:
    """The shell's exit code for a return code as Python gives it: `-n` (signal n) becomes `128 + n`."""
    return return_code if return_code >= 0 else 128 - return_code


def state_of(return_code: int) -> str:
    """The final state for a command that ended with `return_code`."""
    return SUCCEEDED if return_code == 0 else FAILED
