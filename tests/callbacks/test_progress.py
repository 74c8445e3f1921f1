"""What a person sees: durations, the line an epoch, the bar on a terminal."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from src.callbacks.history import epoch_line
from src.callbacks.progress import TrainingBar, progress_callbacks
from src.callbacks.throughput import Throughput
from src.tables import duration

ROOT = Path(__file__).parent.parent.parent


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


def test_a_terminal_shows_the_bar_with_loss_accuracy_and_speed(tmp_path: Path) -> None:
    """The real command on a pseudo-terminal: a bar that moves, and the epoch's lines above it."""
    parent, child = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "src.train", "model=simple_cnn", "trainer=cpu", "trainer.max_epochs=2", "logger=none",
         "callbacks=none", "model.width=128", "data.batch_size=16"],
        cwd=tmp_path, env=environment, stdout=child, stderr=child, stdin=child, close_fds=True,
    )  # fmt: skip
    os.close(child)
    output = b""
    try:
        while chunk := os.read(parent, 65536):
            output += chunk
    except OSError:  # Linux's way to say that the other end is closed
        output += b""
    finally:
        os.close(parent)
    assert process.wait(timeout=120) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode())
    assert re.search(r"Epoch 1/2 +\S+ +\d+/91 .*loss: \d\.\d+ accuracy: \d\.\d+ images/s: [\d,]+", text)
    assert re.search(r"epoch 1/2  train loss \d", text)
    assert "Traceback" not in text
