"""Several processes divide the images that they measure, and come to what one process comes to.

The processes are real, and so is their group (gloo); they are forked, and have imported everything.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from sklearn.metrics import f1_score, matthews_corrcoef, precision_score, recall_score

from src.data.processes import quiet_fork
from src.runs.folder import RunFolder
from src.training import session
from src.training.assemble import Parts, assemble

Config = Callable[..., DictConfig]

SETTINGS = (
    "model=simple_cnn", "model.width=16", "data.image_size=16", "data.batch_size=4", "data.num_workers=0",
    "trainer.accelerator=cpu", "trainer.precision=32-true", "callbacks=none", "logger=none",
)  # fmt: skip
"""The network of `digits_run`. Batches of 8 images are measured: 101 of them are 13 batches, or 4 in each of 4."""


class Measured(NamedTuple):
    """What one process knows at the end; `targets` and `probabilities` are the first's alone."""

    figures: dict[str, float]
    targets: NDArray[np.int64] | None
    probabilities: NDArray[np.float32] | None


def mistaken(parts: Parts, checkpoint: Path) -> None:
    """Give the network what it has learned, and so much noise that a third of its answers are wrong."""
    parts.module.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    weight = parts.module.network.get_submodule(parts.module.head).weight
    with torch.no_grad():
        weight += weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))


def measure(cfg: DictConfig, folder: Path, sizes: Iterable[int], rank: int, port: int) -> list[Measured]:
    """Measure the first images of the test set, as one process of a distributed run, and a choice of half of them."""
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    parts = assemble(cfg, RunFolder(folder / "new"))
    mistaken(parts, RunFolder(folder).best_checkpoint)
    whole, found = parts.data.indices("test"), []
    for size in sizes:
        parts.data.splits["test"] = whole[:size]
        figures = session._measure_baseline(parts)
        half = {"best_train": parts.data.evaluation_dataloader("test", limit=(size + 1) // 2)}
        figures |= session._measure(parts, half | {"test": parts.data.evaluation_dataloader("test")})
        answers = parts.predictions
        found.append(Measured(figures, *((answers.targets, answers.probabilities) if rank == 0 else (None, None))))
    return found


def measured(cfg: DictConfig, folder: Path, sizes: Iterable[int]) -> Iterator[list[Measured]]:
    """Yield, for each size, what each process knows."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("fork")
    with quiet_fork(), ProcessPoolExecutor(cfg.trainer.devices, context) as pool:
        shares = [pool.submit(measure, cfg, folder, sizes, rank, port) for rank in range(cfg.trainer.devices)]
        for share in as_completed(shares):
            if share.exception() is not None:  # the others wait for it
                for process in multiprocessing.active_children():
                    process.kill()
            share.result()
        return zip(*(share.result() for share in shares), strict=True)


def compare(config: Config, run: Path, processes: int, sizes: list[int], *more: str) -> None:
    cfg = config(*SETTINGS, "trainer=ddp", f"trainer.devices={processes}", *more)
    alone = measured(config(*SETTINGS, "trainer=cpu", *more), run, sizes)
    for size, (one,), several in zip(sizes, alone, measured(cfg, run, sizes), strict=True):
        first = several[0]
        np.testing.assert_array_equal(first.targets, one.targets)
        np.testing.assert_array_equal(first.probabilities.argmax(1), one.probabilities.argmax(1))
        np.testing.assert_allclose(first.probabilities, one.probabilities, rtol=0, atol=1e-6)
        assert all(other.figures == first.figures for other in several), size
        assert one.figures.keys() == first.figures.keys()
        for name, value in one.figures.items():
            exact = not name.endswith("/loss")
            assert first.figures[name] == (value if exact else pytest.approx(value, rel=0, abs=1e-6)), (size, name)


@pytest.mark.parametrize("processes", [2, 3])
def test_figures_and_answers_are_those_of_one_process(processes: int, config: Config, digits_run: Path) -> None:
    compare(config, digits_run, processes, [1, 2, 3, 17, 35])


def test_a_limit_measures_the_first_images(config: Config, digits_run: Path) -> None:
    """Two batches of one process are one of two."""
    cfg = config(*SETTINGS, "trainer=ddp", "trainer.devices=2", "trainer.limit_test_batches=1")
    alone = config(*SETTINGS, "trainer=cpu", "trainer.limit_test_batches=2")
    ((first, _),), ((one,),) = measured(cfg, digits_run, [50]), measured(alone, digits_run, [50])
    np.testing.assert_array_equal(first.targets, one.targets)
    assert len(one.targets) == 16
    assert first.figures["test/f1"] == one.figures["test/f1"]


def test_figures_are_those_of_scikit_learn(config: Config, digits_run: Path) -> None:
    cfg = config(*SETTINGS, "trainer=ddp", "trainer.devices=2")
    ((first, _),) = measured(cfg, digits_run, [101])
    predicted, figures = first.probabilities.argmax(1), first.figures
    assert figures["test/accuracy"] == pytest.approx((predicted == first.targets).mean())
    assert 0.4 < figures["test/accuracy"] < 0.99  # nothing is as it is by chance, or with any network
    for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        expected = score(first.targets, predicted, average="macro", zero_division=0)
        assert figures[f"test/{name}"] == pytest.approx(expected)
    assert figures["test/mcc"] == pytest.approx(matthews_corrcoef(first.targets, predicted))
    losses = -np.log(first.probabilities[np.arange(101), first.targets])
    assert figures["test/loss"] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_every_size_up_to_101(processes: int, config: Config, digits_run: Path) -> None:
    compare(config, digits_run, processes, list(range(1, 102)))
