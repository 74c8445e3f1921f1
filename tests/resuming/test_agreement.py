"""Two processes agree on the step after which they stop, whichever of them is told, and when."""

import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
import sys, time
from datetime import timedelta
from torch import distributed
from src.resuming import agreement
from src.resuming.agreement import Agreement
from src.resuming.stopping import Stop

rank, store, told, moment, seconds = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5]), float(sys.argv[5])
agreement.SECONDS = seconds
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2,
                               timeout=timedelta(seconds=20))
stop = Stop()
agreed = Agreement(stop)
for step in range(200):
    if step == moment and rank == told:
        stop.ask(15)
    time.sleep(0.001 * (1 + rank))  # one is slower
    if agreed.is_due(False):
        print(step, stop.signal)
        break
stop.signal and stop._say_nothing_more()
distributed.destroy_process_group()
"""


@pytest.mark.parametrize("told", [0, 1])
@pytest.mark.parametrize(("seconds", "moment"), [(0, 30), (0.05, 30), (10, 3)])
def test_both_stop_after_the_same_step(told: int, seconds: float, moment: int, tmp_path: Path) -> None:
    """Asked after each step, or seldom: the one that knows first goes on with the other until then."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", STEPS, str(rank), str(tmp_path / "store"), str(told), str(moment), str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    step, number = map(int, said[0])
    assert number == 15
    assert moment <= step <= moment + 64
