"""What a person sees: durations, the line an epoch, the bar on a terminal."""

import io
import itertools
import re
from pathlib import Path

import pytest
from rich.console import Console

from src.callbacks.history import epoch_line
from src.callbacks.progress import TrainingBar, progress_callbacks
from src.callbacks.throughput import Throughput
from src.tables import duration
from tests.support.screen import Screen


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_epoch_fits_into_a_line_and_marks_the_best() -> None:
    row = {"epoch": 3, "train/loss": 0.1234, "train/accuracy": 0.95, "val/loss": 0.2, "val/accuracy": 0.9,
           "val/f1": 0.89, "images_per_second": 1234.5, "seconds": 61.0}  # fmt: skip
    line = epoch_line(row, 10, best=True)
    assert line == (
        "epoch  3/10  train loss 0.123 accuracy 0.950  val loss 0.200 accuracy 0.900 f1 0.890"
        "  1,234 images/s  1 min 01 s ★"
    )
    assert epoch_line(row, 10, best=False) == line.removesuffix(" ★")


def test_there_is_a_bar_on_a_terminal_only() -> None:
    terminal, pipe = Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())
    kinds = [type(callback) for callback in progress_callbacks(terminal, Throughput())]
    assert TrainingBar in kinds
    assert TrainingBar not in [type(callback) for callback in progress_callbacks(pipe, Throughput())]
    assert TrainingBar not in [type(callback) for callback in progress_callbacks(terminal, Throughput(), bar=False)]


TRAINING = ("src.train", "model=simple_cnn", "trainer=cpu", "trainer.max_epochs=2", "logger=none", "data.num_workers=0")


def test_a_terminal_shows_the_bar_with_loss_accuracy_and_speed(tmp_path: Path) -> None:
    """The real command on a pseudo-terminal: a bar that moves, and the epoch's lines above it."""
    wide = ("callbacks=none", "model.width=128", "data.batch_size=16", "cost=false")
    screen = Screen(*TRAINING, *wide, cwd=tmp_path, columns=160)
    assert re.search(r"Epoch 1/2 +\S+ +\d+/91 .*loss: \d\.\d+ accuracy: \d\.\d+ images/s: [\d,]+", screen.text)
    assert re.search(r"epoch 1/2  train loss \d", screen.text)
    assert "Traceback" not in screen.text


def test_a_terminal_of_80_columns_is_never_silent_and_keeps_no_bar(tmp_path: Path) -> None:
    """From the first moment to the last: loading, measuring, training, measuring again, cost."""
    screen = Screen(*TRAINING, "model.width=64", "data.batch_size=32", cwd=tmp_path, columns=80)
    assert screen.times[0] < 5, "a third of a second on a quiet machine"
    silences = [after - before for before, after in itertools.pairwise(screen.times)]
    assert max(silences) < 5, "it is below a second on a quiet machine"
    assert len(screen.times) > 2 * screen.times[-1], "the line moves"
    for said in ("loading", "Before training", "Epoch 2/2", "Measuring: test", "measuring cost"):
        assert said in screen.text
        assert not any(said in line for line in screen.left), said
    bar = r"Epoch 1/2 +\S+ +\d+/\d+ [\d:-]+ loss: \d\.\d+ accuracy: \d\.\d+ images/s: [\d,]+"
    assert re.search(bar, screen.text)
    assert max(len(line) for line in screen.left if not line.startswith(("next", "  "))) <= 80
    assert any(re.fullmatch(r"test( +\d\.\d{4}){6}", line.strip()) for line in screen.left)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["data.image_size=2"], "error: data.image_size=2 is not possible"),
        (["data=folder", "data.root=nowhere"], "error: "),  # the images are looked for with all that is imported
    ],
)
def test_an_error_stands_in_a_line_of_its_own(tmp_path: Path, words: list[str], error: str) -> None:
    screen = Screen(*TRAINING, *words, cwd=tmp_path, columns=80, code=2)
    assert "loading" in screen.text
    (first, *others) = [line for line in screen.left if line.strip()]
    assert first.startswith(error)
    assert not others
