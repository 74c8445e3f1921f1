"""A run of ten seconds that is killed, stopped and damaged in these tests, and what it leaves behind."""

import hashlib
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.runs.folder import RunFolder
from tests.support.command_line import run_here

RUN = (
    "data=folder", "data.image_size=16", "data.batch_size=8", "data.num_workers=2", "data.augment.shift=1",
    "model=cifar_resnet20", "trainer=cpu", "trainer.max_epochs=3", "cost=false", "callbacks.gradcam.images=2",
    "checkpoint_every=2", "optimizer.lr=0.05", "hydra.run.dir=run",
)  # fmt: skip
"""Augmentation, batch norm, two workers; six batches an epoch, a checkpoint after every second one."""

STEPS_AN_EPOCH, EPOCHS = 6, 3

TIMED = ("seconds", "images_per_second", "train_seconds")


def digest(run: Path) -> str:
    """SHA-256 of all that a finished run has come to: weights, optimizer, schedule, figures, maps, predictions."""
    folder, sha = RunFolder(run), hashlib.sha256()
    for file in (folder.last_checkpoint, folder.best_checkpoint):
        checkpoint = torch.load(file, weights_only=True)
        for name, value in sorted(checkpoint["state_dict"].items()):
            sha.update(name.encode() + value.numpy().tobytes())
        for state in checkpoint["optimizer_states"][0]["state"].values():
            sha.update(b"".join(value.numpy().tobytes() for value in state.values() if isinstance(value, torch.Tensor)))
        sha.update(str(checkpoint["lr_schedulers"]).encode())
    sha.update(folder.history().drop(columns=list(TIMED), errors="ignore").to_csv().encode())
    sha.update(str({key: value for key, value in folder.metrics().items() if key not in TIMED}).encode())
    for file in (folder.predictions_file, *sorted(folder.gradcam.iterdir())):
        sha.update(file.name.encode() + file.read_bytes())
    return sha.hexdigest()


def epochs(run: Path) -> list[int]:
    """Those that metrics.csv tells of."""
    file = RunFolder(run).history_file
    return RunFolder(run).history()["epoch"].tolist() if file.exists() else []


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Each tag's points, (step, value), as TensorBoard reads them; of pictures the step alone, of text nothing.

    Lightning writes some points twice, with the same value: those count once.
    """
    reader = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    tags = reader.Tags()
    found = {
        tag: list(dict.fromkeys((event.step, event.value) for event in reader.Scalars(tag)))
        for tag in tags["scalars"]
        if not tag.endswith(TIMED)
    }
    return found | {tag: [(event.step, 0.0) for event in reader.Images(tag)] for tag in tags["images"]}


def finish(folder: Path, photos: Path) -> None:
    """Go on with the run in `folder`, or begin it where nothing is there yet, and see that it is whole at the end."""
    words = ["resume=run"] if (folder / "run").exists() else [*RUN, f"data.root={photos}"]
    result = run_here(*words, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert epochs(folder / "run") == list(range(1, EPOCHS + 1))
    assert RunFolder(folder / "run").status == "finished"
    assert not [path for path in (folder / "run").rglob("*") if ".partial" in path.name]
