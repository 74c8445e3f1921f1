"""How a command's process ends: what Python's own end does before it takes modules apart is done, in its order."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.command.ending import end, is_own

ROOT = Path(__file__).parents[2]

LAST_WORDS = """
import atexit, sys, threading, time
from importlib.machinery import ModuleSpec
from src.command.ending import end

class Late:
    def __del__(self): print("taken apart")

def slow():
    time.sleep(0.3)
    print("thread")

late = Late()
atexit.register(print, "registered first")
atexit.register(print, "registered last")
threading.Thread(target=slow).start()
sys.modules["__main__"].__spec__ = ModuleSpec(NAME, None)
print("said")
end(3)
"""


@pytest.mark.parametrize(("name", "left"), [("src.train", []), ("somebody.elses", ["taken apart"])])
def test_threads_and_what_was_registered_come_before_the_end_and_nothing_printed_is_lost(
    name: str, left: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LAST_WORDS.replace("NAME", repr(name))], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["said", "thread", "registered last", "registered first", *left]
    assert (done.returncode, done.stderr) == (3, "")


def test_a_process_that_goes_on_is_not_ended() -> None:
    assert not is_own()
    with pytest.raises(SystemExit) as left:
        end(3)
    assert left.value.code == 3
