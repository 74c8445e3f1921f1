"""Memory that runs out, in earnest: processes that are limited, and allocations that no machine can grant."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.data.batches import Batch, EpochBatchSampler
from src.data.datasets import ImageDataset, ImageLoader
from src.data.processes import quiet_fork
from src.data.transforms import Geometry
from src.errors import RunError, ran_out
from src.networks.saved import load_saved
from src.resuming.checkpoint_files import load_whole
from src.runs.folder import RunFolder
from src.training.classifier import ImageClassifier
from tests.support.command_line import run_here
from tests.support.launched import Launched, limit_memory

TOO_MUCH = 10**15

RUN = (
    "data=folder", "data.image_size=16", "data.batch_size=32", "data.max_images=32", "data.num_workers=2",
    "model=simple_cnn", "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1", "scheduler=constant",
    "baseline=false", "test=false", "cost=false", "callbacks=none", "logger=none", "hydra.run.dir=run",
)  # fmt: skip


def numpy_array() -> Any:
    return np.ones(TOO_MUCH, dtype=np.uint8)


def tensor() -> Any:
    return torch.ones(TOO_MUCH, dtype=torch.uint8)


def fork_that_fails() -> Any:
    raise OSError(12, os.strerror(12))


@pytest.mark.parametrize("take", [numpy_array, tensor, fork_that_fails, lambda: bytearray(TOO_MUCH)])
def test_what_says_that_memory_has_run_out_is_understood(take: Callable[[], Any]) -> None:
    with pytest.raises((MemoryError, RuntimeError, OSError)) as error:
        take()
    assert ran_out(error.value) == "memory"
    later = RuntimeError("while cleaning up")
    later.__context__ = error.value
    assert ran_out(later) == "memory"


def test_other_errors_are_left_alone() -> None:
    assert ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert ran_out(OSError(28, os.strerror(28))) is None
    assert ran_out(RunError("the memory is too small to read a.png")) is None
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")) == "GPU memory"


class Odd(ImageDataset):
    """A data set whose batches a worker can't make, or can't hand over."""

    def __init__(self, take: Callable[[], Any]) -> None:
        super().__init__(np.zeros(8, dtype=np.int64), Geometry(8, 3, "bilinear"), None, 0)
        self.take = take

    def images(self, batch: Batch) -> torch.Tensor:
        return self.take()


class Stuck:
    def __reduce__(self) -> Any:
        raise MemoryError


def in_a_child(work: Callable[[], None], limit: int | None = None) -> int | None:
    """The exit code of `work`, in a process that may take `limit` more bytes; None where it hangs."""

    def run() -> None:
        if limit is not None:
            limit_memory(limit)
        work()

    with quiet_fork():
        process = multiprocessing.get_context("fork").Process(target=run)
        process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
        return None
    return process.exitcode


@pytest.mark.parametrize("take", [numpy_array, tensor])
def test_a_worker_without_memory_says_so(take: Callable[[], Any]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as error:
        list(ImageLoader(Odd(take), EpochBatchSampler(8, 4, shuffle=False), 1))
    assert ran_out(error.value) == "memory"


def test_a_batch_that_is_lost_on_its_way_ends_the_waiting() -> None:
    def wait() -> None:
        with pytest.raises(RunError, match="killed by SIGKILL, perhaps for want of memory"):
            list(ImageLoader(Odd(Stuck), EpochBatchSampler(8, 4, shuffle=False), 1))
        os._exit(0)  # a child of a test has no interpreter to end

    assert in_a_child(wait) == 0


def test_a_checkpoint_is_not_called_broken_for_want_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"epoch": 0, "weights": torch.ones(2**25)}, path)

    def load() -> None:
        with pytest.raises(RunError, match="out of memory while loading"):
            load_saved(path)

    assert in_a_child(load, limit=60 * 2**20) == 0
    assert load_saved(path)["epoch"] == 0


HUNGER = 4 * 2**30
"""Bytes: far more than the heap of a process that has run all other tests may have free, which no limit takes away."""

training_step = ImageClassifier.training_step


def hungry(module: ImageClassifier, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> Any:
    """A step that wants `HUNGER` besides. Nothing is written into it: it is addresses alone, which are limited."""
    torch.empty(HUNGER, dtype=torch.uint8)
    return training_step(module, batch, number)


def test_a_training_that_runs_out_of_memory_goes_on_when_there_is_more(photos: Path, tmp_path: Path) -> None:
    first = run_here(*RUN, f"data.root={photos}", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    run = RunFolder(tmp_path / "run")
    began = run.last_checkpoint.read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageClassifier, "training_step", hungry)
        launched = Launched("resume=run", "trainer.max_epochs=2", cwd=tmp_path, memory=HUNGER // 2)
    with launched:
        code = launched.code(120)
        said = [line for line in launched.said.splitlines() if line.startswith("error: ")]
        assert (code, len(said)) == (1, 1), launched.said
        assert "Traceback" not in launched.said
        assert not launched.processes()
    assert said[0].startswith("error: out of memory at data.batch_size=32: ")
    assert said[0].endswith(", or free some memory and go on with resume=run")
    assert run.status == "failed"
    assert said[0] == f"error: {run.record()['error']}"
    load_whole(run.last_checkpoint)
    assert run.last_checkpoint.read_bytes() == began

    again = run_here("resume=run", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert run.history()["epoch"].tolist() == [1, 2]
    assert run.status == "finished"
