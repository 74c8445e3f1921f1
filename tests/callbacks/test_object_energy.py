"""How much of the Grad-CAMs lies on objects whose places are known: measured, logged, kept, and without any effect."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from src.attribution.cam import gradcam
from src.callbacks.gradcam import GradCAMCallback
from src.callbacks.history import History
from src.callbacks.steps_table import StepsLogger
from src.data import ImageDataModule
from src.data.located import sample_located
from src.runs.folder import RunFolder
from src.runs.kept_energy import read_energy
from tests.callbacks.test_gradcam import Classifier
from tests.support.command_line import run_here
from tests.support.photographs import make_photos

pytestmark = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")

ROOT = Path(__file__).parent.parent.parent
BOX = {"high": "0,0,20,10", "low": "0,10,20,20"}


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, the brighter half of each, but of number 0, in `boxes.csv`. Don't write."""
    root = make_photos(tmp_path_factory.mktemp("placed"), each=12)
    files = [f"{name}/{number}.png" for name in BOX for number in range(1, 12)]
    (root / "boxes.csv").write_text(
        "\n".join(["file,left,top,right,bottom", *(f"{file},{BOX[file.split('/')[0]]}" for file in files)])
    )
    return root


class InColour(Classifier):
    """That of the other tests, of three channels, with the figures that a history has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.network.conv1 = nn.Conv2d(3, 8, 3, padding=1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log_dict({"train/loss": loss, "train/accuracy": 0.5}, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log_dict(dict.fromkeys(("val/accuracy", "val/f1", "images_per_second"), 0.5))


def module_of(root: Path, **options: Any) -> ImageDataModule:
    settings = {"image_size": 16, "in_channels": 3, "batch_size": 4, "num_workers": 0, "resize": "squash"}
    return ImageDataModule(name="folder", root=str(root), mean=(0.5,), std=(0.5,), **settings | options)


def fit(folder: Path, root: Path, epochs: int = 2, **gradcam: Any) -> InColour:
    folder.mkdir(exist_ok=True)
    lightning.seed_everything(3, verbose=False)
    module, table = InColour(), StepsLogger(str(folder))
    callbacks: Sequence[lightning.Callback] = (
        History(RunFolder(folder), "val/accuracy", "max"),
        GradCAMCallback(images=2, **gradcam),
    )
    lightning.Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator="cpu", callbacks=list(callbacks), logger=table,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, log_every_n_steps=100,
    ).fit(module, datamodule=module_of(root))  # fmt: skip
    table.save()
    return module


@pytest.fixture(scope="module")
def measured(placed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, InColour]:
    folder = tmp_path_factory.mktemp("measured")
    return folder, fit(folder, placed, epochs=3, objects=64)


def test_those_with_a_known_place_are_chosen_the_same_every_time(placed: Path) -> None:
    data = module_of(placed, val_fraction=0.5)
    data.setup()
    located = sample_located(data, "val", 4)
    assert located is not None
    assert located.paths == sample_located(data, "val", 4).paths
    assert sorted(located.targets) == [0, 0, 1, 1]
    assert not [path for path in sample_located(data, "val", 99).paths if path.endswith("/0.png")]
    for path, target, mask in zip(located.paths, located.targets, located.masks, strict=True):
        assert path.startswith(data.class_names[target])
        rows = slice(0, 8) if path.startswith("high") else slice(8, 16)
        assert mask[rows].all()
        assert mask.sum() == 8 * 16


def test_what_it_measures_keeps_and_logs(measured: tuple[Path, InColour], placed: Path) -> None:
    """The last epoch's, computed again with torch's own interpolation."""
    folder, module = measured
    kept = read_energy(folder)
    assert kept is not None
    assert kept.epochs == [0, 1, 2, 3]
    np.testing.assert_allclose(kept.covered, 0.5)
    np.testing.assert_allclose(kept.blob, 0.5, atol=1e-6)
    data = module_of(placed)
    data.setup()
    located = sample_located(data, "val", 64)
    assert kept.paths == located.paths
    raw = torch.from_numpy(gradcam(module.network, module.normalise(located.images)).maps).double()
    heat = nn.functional.interpolate(raw.clamp(min=0)[:, None], size=(16, 16), mode="bilinear")[:, 0]
    inside = (heat * torch.from_numpy(located.masks)).sum(dim=(1, 2)) / heat.sum(dim=(1, 2))
    np.testing.assert_allclose(kept.energy[3], inside.numpy(), atol=1e-5)

    history = RunFolder(folder).history()
    assert [*history][-1] == "val/object_energy"
    np.testing.assert_allclose(history["val/object_energy"], kept.means[1:], atol=1e-12)
    rows = [row.split(",") for row in (folder / "steps.csv").read_text().splitlines()]
    column = rows[0].index("val/object_energy")
    logged = [float(row[column]) for row in rows[1:] if row[column]]
    np.testing.assert_allclose(logged, kept.means[1:], atol=1e-6)


def test_training_is_bit_equal_with_and_without_it(
    placed: Path, tmp_path: Path, measured: tuple[Path, InColour]
) -> None:
    folder, with_it = measured
    without = fit(tmp_path, placed, epochs=3, objects=0)
    torch.testing.assert_close(with_it.state_dict(), without.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(torch.stack(with_it.losses), torch.stack(without.losses), rtol=0, atol=0)
    assert not (tmp_path / "gradcam/objects.npz").exists()
    assert "val/object_energy" not in RunFolder(tmp_path).history()
    ours, theirs = ((where / "gradcam/epoch_003.png").read_bytes() for where in (folder, tmp_path))
    assert ours == theirs


def test_a_resumed_run_goes_on_with_the_same_figures(placed: Path, tmp_path: Path) -> None:
    words = (
        "data=folder", f"data.root={placed}", "data.image_size=16", "data.batch_size=4", "data.num_workers=0",
        "model=simple_cnn", "model.width=8", "trainer=cpu", "cost=false", "baseline=false", "test=false",
        "scheduler=constant", "callbacks.gradcam.untrained=true",
    )  # fmt: skip
    for name, epochs in (("whole", 3), ("resumed", 2)):
        result = run_here(*words, f"trainer.max_epochs={epochs}", f"hydra.run.dir={name}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    result = run_here("resume=resumed", "trainer.max_epochs=3", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    whole, resumed = (RunFolder(tmp_path / name) for name in ("whole", "resumed"))
    for name in (*(f"epoch_00{epoch}.npz" for epoch in range(4)), "objects.npz"):
        assert (resumed.gradcam / name).read_bytes() == (whole.gradcam / name).read_bytes()
    ours, theirs = (run.history()["val/object_energy"].tolist() for run in (resumed, whole))
    assert ours == theirs
    assert len(ours) == 3
    assert {"object_energy.png", "gradcam_by_epoch.webp"} <= {path.name for path in resumed.figures.iterdir()}


def test_without_known_places_nothing_is_kept(placed: Path, tmp_path: Path) -> None:
    shutil.copytree(placed, tmp_path / "photos", ignore=shutil.ignore_patterns("boxes.csv"))
    fit(tmp_path / "run", tmp_path / "photos", epochs=1, objects=64)
    assert read_energy(tmp_path / "run") is None
    assert "val/object_energy" not in RunFolder(tmp_path / "run").history()


def test_boxes_of_something_else_are_one_warning(
    placed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(placed, tmp_path / "photos")
    (tmp_path / "photos/boxes.csv").write_text("parcel,weight\n")
    fit(tmp_path / "run", tmp_path / "photos", epochs=2, objects=64)
    assert caplog.text.count("how much of the maps lies on objects isn't measured") == 1
    assert (tmp_path / "run/gradcam/epoch_002.npz").exists()


@pytest.mark.slow
def test_a_run_of_two_processes_measures_it_in_the_first(placed: Path, tmp_path: Path) -> None:
    words = (
        "data=folder", f"data.root={placed}", "data.image_size=16", "data.batch_size=4", "model=simple_cnn",
        "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=2", "cost=false",
    )  # fmt: skip
    weights = []
    for name, objects in (("with", 64), ("without", "null")):
        subprocess.run(
            [sys.executable, "-m", "src.train", *words, f"callbacks.gradcam.objects={objects}",
             f"hydra.run.dir={name}"],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=300, check=True,
        )  # fmt: skip
        weights.append(torch.load(RunFolder(tmp_path / name).last_checkpoint, weights_only=True)["state_dict"])
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    run = RunFolder(tmp_path / "with")
    np.testing.assert_allclose(run.history()["val/object_energy"], read_energy(run.path).means[1:], atol=1e-12)
    assert (run.figures / "object_energy.png").exists()
