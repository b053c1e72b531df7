"""Interactive programs look the same through pigeon as plainly in a terminal, and leave the terminal alike."""

from __future__ import annotations

import shutil

import pytest

from tests.helpers.pigeon import Pigeon
from tests.terminal.programs import PROGRAMS
from tests.terminal.sameness import Program, compare


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_looks_the_same(warm: Pigeon, program: Program) -> None:
    for need in program.needs:
        if shutil.which(need) is None:
            pytest.skip(f"`{need}` is not installed")
    compare(warm, program)
