"""How this very pigeon is started again, whatever is on PATH."""

from __future__ import annotations

import os
import sys


def own_command() -> tuple[str, ...]:
    """The words before a verb: this interpreter, and this package wherever it lies (a zipapp, too)."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    starter = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pigeon.cli import main; sys.exit(main())"
    return (sys.executable, "-c", starter, package)
