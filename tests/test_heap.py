"""The heap is kept in processes that verbs own, where there is glibc and nobody has chosen otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.heap import is_chosen

ROOT = Path(__file__).parent.parent
TRAIN = (
    "data=digits", "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=1",
    "trainer.limit_train_batches=3", "callbacks=none", "logger=none", "baseline=false", "cost=false", "test=false",
)  # fmt: skip

FAULTS = """
import resource
import torch
def faults(times=20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(4 << 20)  # 16 MiB, 4,096 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""


def run(code: str, *argv: str, **environment: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    result = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        env=inherited | {"OMP_NUM_THREADS": "1"} | environment,
    )  # fmt: skip
    return result.stdout.split()


@pytest.mark.slow  # on a busy machine it once found pages as new as before
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_what_is_freed_is_there_for_the_next_batch() -> None:
    """Without it, each of 20 tensors is made of new pages."""
    code = (
        FAULTS + "faults(1); before = faults(); from src.heap import *; keep_heap(); faults(1); print(before, faults())"
    )
    before, after = map(int, run(FAULTS + code))
    if os.confstr("CS_GNU_LIBC_VERSION"):
        assert after < 0.1 * before


@pytest.mark.slow
def test_a_verbs_process_keeps_it_and_a_notebooks_does_not(tmp_path: Path) -> None:
    verb = (
        "import runpy, sys\n"
        "try: runpy.run_module('src.train', run_name='__main__', alter_sys=True)\n"
        "except SystemExit: pass\n"
        "from src.heap import is_kept; print('kept', is_kept())"
    )
    folder = f"hydra.run.dir={tmp_path / 'run'}"
    assert run(verb, *TRAIN, folder)[-1] == str(sys.platform == "linux")
    notebook = f"""
import sys
from src import train
train(*sys.argv[1:], **{{"hydra.run.dir": {str(tmp_path / "second")!r}}})
from src.heap import is_kept
from src.lean import _Finder
print('kept', is_kept(), any(isinstance(finder, _Finder) for finder in sys.meta_path))
"""
    assert run(notebook, *TRAIN)[-2:] == ["False", "False"]
    kept, given_back = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for name in ("run", "second")
    )
    assert all(torch.equal(kept[name], given_back[name]) for name in kept)  # the same bits


def test_what_somebody_has_chosen_stays() -> None:
    assert not is_chosen({"PATH": "/bin", "GLIBC_TUNABLES": "glibc.pthread.rseq=0", "LD_PRELOAD": "libtime.so"})
    for name, value in {
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_CONF": "dirty_decay_ms:0",
        "GLIBC_TUNABLES": "glibc.pthread.rseq=0:glibc.malloc.trim_threshold=100",
        "LD_PRELOAD": "/usr/lib/libjemalloc.so.2",
    }.items():
        assert is_chosen({name: value})
    code = "from src.heap import *; keep_heap(); print(is_kept())"
    assert run(code, MALLOC_ARENA_MAX="2") == ["False"]
