"""Configurations and run folders of a stranger's imagination (`tests/support/fuzzing.py`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_outside_of_a_run_changes_whatever_a_stranger_writes(tmp_path: Path) -> None:
    """Ten minutes; `FUZZ_SECONDS` chooses another time."""
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzzing", seconds],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
