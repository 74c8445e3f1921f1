"""TensorBoard's files of a run that goes on from a checkpoint before their end."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from src.errors import InputError
from src.resuming.event_files import cut_events


def write(run: Path, steps: range, epochs: range, number: int) -> None:
    with SummaryWriter(str(run), filename_suffix=f".{number}") as writer:
        writer.add_scalar("whole_run/baseline_accuracy", 0.5, 0)
        for step in steps:
            writer.add_scalar("train/loss", step / 2, step)
        for epoch in epochs:
            for tag in ("val/gradcam", "gradcam/validation"):
                writer.add_image(tag, np.zeros((3, 4, 4), np.uint8), epoch)


def steps_of(run: Path) -> dict[str, list[int]]:
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    scalars = {tag: [event.step for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    return scalars | {tag: [event.step for event in reader.Images(tag)] for tag in reader.Tags()["images"]}


def test_what_lies_behind_the_checkpoint_is_written_once(tmp_path: Path) -> None:
    write(tmp_path, range(10), range(4), number=0)
    cut_events(tmp_path, steps=6, epochs=2)
    write(tmp_path, range(6, 12), range(3, 5), number=1)
    assert steps_of(tmp_path) == {
        "whole_run/baseline_accuracy": [0], "train/loss": list(range(12)),
        "val/gradcam": list(range(5)), "gradcam/validation": list(range(5)),
    }  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 2


def test_a_file_that_a_kill_has_cut_in_half_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write(tmp_path, range(10), range(0), number=0)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    cut_events(tmp_path, steps=6, epochs=0)
    assert steps_of(tmp_path) == {"train/loss": list(range(6))}


def test_a_file_that_has_nothing_to_lose_stays_as_it_is(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("train/loss", 1.0, 3)
    (file,) = tmp_path.iterdir()
    before = file.stat()
    cut_events(tmp_path, steps=6, epochs=1)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_record_that_claims_more_than_the_file_has_is_refused(tmp_path: Path) -> None:
    """Its reader would make room for it first."""
    (tmp_path / "events.out.tfevents.1.host").write_bytes((2**40).to_bytes(8, "little") + bytes(100))
    with pytest.raises(InputError, match="events.out.tfevents.1.host is damaged"):
        cut_events(tmp_path, steps=1, epochs=1)
