"""A command for tests: says `ready`, then every new window size, and ends with code 9 at the first other signal.

It waits for signals instead of handling them, so none is missed or comes in between, which a shell's trap and a loop
of short commands do not promise. Runs alone: imports nothing of the tests.
"""

import os
import signal
import sys

HEARD = {
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
}


def main() -> int:
    """Listen until a signal other than SIGWINCH comes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    print("ready", flush=True)
    while True:
        number = signal.sigwait(HEARD)
        if number != signal.SIGWINCH:
            print(f"got {signal.Signals(number).name}", flush=True)
            return 9
        cols, rows = os.get_terminal_size(0)
        print(f"size {cols} {rows}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
