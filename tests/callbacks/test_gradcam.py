"""The Grad-CAM callback in small real trainings: what it leaves behind, and that it changes nothing."""

import copy
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from scipy.stats import spearmanr
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from src.attribution.archive import load_attribution, save_attribution
from src.attribution.cam import Attribution, gradcam
from src.callbacks.gradcam import GradCAMCallback
from src.callbacks.map_steps import arrays_file, step_to, steps
from src.errors import InputError
from src.runs.folder import RunFolder
from src.training.results import draw_epochs, draw_movement

CLASSES = ["dark", "bright", "mixed"]


class Shades(lightning.LightningDataModule):
    """24 random 12×12 images of 3 classes, shuffled by torch's global generator; 9 of them validate."""

    class_names = CLASSES

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.targets = torch.arange(33) % 3
        noise = torch.randint(0, 120, (33, 1, 12, 12), generator=generator)
        self.images = (noise + 60 * self.targets[:, None, None, None]).to(torch.uint8)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.images[9:], self.targets[9:]), batch_size=8, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(self.images[:9], self.targets[:9]), batch_size=9)

    def sample(self, split: str, count: int) -> tuple[Tensor, Tensor, list[str]]:
        assert split == "val"
        return self.images[:count], self.targets[:count], [f"shades/{i}.png" for i in range(min(count, 9))]


class Classifier(lightning.LightningModule):
    """Batch norm, dropout and Python's and NumPy's random numbers: whatever the callback disturbed would show."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.network = nn.Sequential()
        self.network.add_module("conv1", nn.Conv2d(1, 8, 3, padding=1))
        self.network.add_module("bn1", nn.BatchNorm2d(8))
        self.network.add_module("relu", nn.ReLU(inplace=True))
        self.network.add_module("drop", nn.Dropout(0.2))
        self.network.add_module("conv2", nn.Conv2d(8, 8, 3, stride=2, padding=1))
        self.network.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.network.add_module("flatten", nn.Flatten())
        self.network.add_module("fc", nn.Linear(8, 3))
        self.losses: list[Tensor] = []

    def answering(self) -> nn.Module:
        return self.network

    def normalise(self, images: Tensor) -> Tensor:
        return images.to(self.device).float() / 255 - 0.5

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, targets = batch
        jitter = random.random() + np.random.rand()
        loss = nn.functional.cross_entropy(self.network(self.normalise(images) + 0.01 * jitter), targets)
        self.losses.append(loss.detach())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", nn.functional.cross_entropy(self.network(self.normalise(batch[0])), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def fit(folder: Path, *callbacks: lightning.Callback, epochs: int = 2, **arguments: Any) -> Classifier:
    lightning.seed_everything(3, verbose=False)
    module = arguments.pop("module", None) or Classifier()
    resume = arguments.pop("resume", None)
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=arguments.pop("logger", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
        **arguments,
    )
    trainer.fit(module, datamodule=Shades(), ckpt_path=resume)
    return module


pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),  # Lightning 2.6
]


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="")
    callback = GradCAMCallback(images=5)
    module = fit(tmp_path, callback, logger=logger)
    logger.finalize("success")

    folder = tmp_path / "gradcam"
    epochs = [f"epoch_{epoch:03d}" for epoch in range(3)]
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([*(f"{e}.png" for e in epochs), *(f"{e}.npz" for e in epochs), "images.npz"])

    data = Shades()
    with np.load(folder / "images.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], data.images[:5])
        assert arrays["targets"].tolist() == [0, 1, 2, 0, 1]
        assert arrays["paths"].tolist() == [f"shades/{i}.png" for i in range(5)]
        assert arrays["class_names"].tolist() == CLASSES

    expected = gradcam(module.network, module.normalise(data.images[:5]))
    last = load_attribution(folder / "epoch_002.npz")
    np.testing.assert_allclose(last.maps, expected.maps, rtol=0, atol=1e-6)
    assert (last.layer, last.targets.tolist()) == ("conv2", expected.predicted.tolist())
    with np.load(folder / "epoch_002.npz") as arrays:
        assert arrays["targets"].tolist() == [0, 1, 2, 0, 1]
        assert (arrays["paths"][4], int(arrays["epoch"])) == ("shades/4.png", 2)
    untrained = gradcam(Classifier().network, module.normalise(data.images[:5]))
    np.testing.assert_allclose(load_attribution(folder / "epoch_000.npz").maps, untrained.maps, rtol=0, atol=1e-6)

    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    assert events.Tags()["images"] == ["val/gradcam"]
    shown = events.Images("val/gradcam")
    assert [image.step for image in shown] == [0, 1, 2]
    with Image.open(folder / "epoch_000.png") as picture:
        assert (shown[0].width, shown[0].height) == picture.size
    assert callback.seconds > 0

    # Spearman's correlation of consecutive epochs' raw maps, by scipy itself, the mean over the images.
    maps = [load_attribution(folder / f"{epoch}.npz").maps.reshape(5, -1) for epoch in epochs]
    by_hand = [np.mean([spearmanr(*pair).statistic for pair in zip(*two, strict=True)]) for two in pairwise(maps)]
    assert events.Tags()["scalars"].count("val/gradcam_rank_correlation") == 1
    shown = events.Scalars("val/gradcam_rank_correlation")
    assert [scalar.step for scalar in shown] == [1, 2]
    np.testing.assert_allclose([scalar.value for scalar in shown], by_hand, atol=1e-6)


def test_training_is_bit_equal_with_and_without_it(tmp_path: Path) -> None:
    """Weights, losses, gradients, modes and the three random states after two epochs."""

    def state(module: Classifier) -> dict[str, Any]:
        return {
            "weights": copy.deepcopy(module.state_dict()),
            "gradients": [p.grad for p in module.parameters()],
            "losses": torch.stack(module.losses),
            "modes": [child.training for child in module.modules()],
            "torch": torch.get_rng_state(),
            "numpy": torch.tensor(np.random.get_state()[1].astype(np.int64)),
            "python": random.getstate(),
        }

    without = state(fit(tmp_path / "without"))
    logger = TensorBoardLogger(tmp_path, name="", version="")
    with_it = state(fit(tmp_path / "with", GradCAMCallback(images=4), logger=logger))
    assert (tmp_path / "with" / "gradcam" / "epoch_002.npz").exists()
    torch.testing.assert_close(with_it, without, rtol=0, atol=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_bf16_training_is_explained_in_fp32(tmp_path: Path, precision: Any) -> None:
    module = fit(tmp_path, GradCAMCallback(images=3), epochs=1, precision=precision)
    expected = gradcam(module.network, module.normalise(Shades().images[:3]))
    np.testing.assert_allclose(
        load_attribution(tmp_path / "gradcam" / "epoch_001.npz").maps, expected.maps, rtol=0, atol=1e-6
    )


def test_the_true_class_can_be_explained(tmp_path: Path) -> None:
    fit(tmp_path, GradCAMCallback(images=6, target="true", untrained=False), epochs=1)
    assert not (tmp_path / "gradcam" / "epoch_000.npz").exists()
    found = load_attribution(tmp_path / "gradcam" / "epoch_001.npz")
    assert found.targets.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_resumed_run_is_not_taken_for_an_untrained_one(tmp_path: Path) -> None:
    keep = LambdaCallback(on_fit_end=lambda trainer, _: trainer.save_checkpoint(tmp_path / "last.ckpt"))
    fit(tmp_path, keep, epochs=1)
    fit(tmp_path, GradCAMCallback(images=2), epochs=2, resume=tmp_path / "last.ckpt")
    assert sorted(path.name for path in (tmp_path / "gradcam").glob("*.png")) == ["epoch_002.png"]


def test_the_movement_of_a_resumed_run_is_that_of_one_which_never_stopped(tmp_path: Path) -> None:
    """The maps of the epoch before the stop come from its file; figure and TensorBoard have no hole."""
    keep = LambdaCallback(on_train_epoch_end=lambda trainer, _: trainer.save_checkpoint(tmp_path / "last.ckpt"))
    for epochs, resume in ((2, None), (4, tmp_path / "last.ckpt")):
        logger = TensorBoardLogger(tmp_path, name="", version="")
        fit(tmp_path, GradCAMCallback(images=4), keep, epochs=epochs, resume=resume, logger=logger)
        logger.finalize("success")
    found = steps(tmp_path / "gradcam")
    assert [step.epoch for step in found] == [1, 2, 3, 4]
    values = [(scalar.step, scalar.value) for scalar in read(tmp_path).Scalars("val/gradcam_rank_correlation")]
    assert values == [(step.epoch, pytest.approx(step.mean, abs=1e-6)) for step in found]
    draw_movement(RunFolder(tmp_path))
    with Image.open(tmp_path / "figures" / "gradcam_movement.png") as picture:
        assert picture.width >= 800


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return events


def attribution(maps: Any, explained: list[int], layer: str = "conv2") -> Attribution:
    maps = np.asarray(maps, dtype=np.float32)
    return Attribution(maps, np.zeros((len(maps), 3), np.float32), np.array(explained), layer)


def test_movement_worked_out_by_hand(tmp_path: Path) -> None:
    up, down, swapped = [[1, 2], [3, 4]], [[9, 7], [5, -1]], [[2, 1], [3, 40]]
    for epoch, maps, explained in (
        (0, [up, up, up], [0, 0, 0]),
        (1, [up, down, swapped], [0, 1, 2]),
        (2, [up, down, np.ones((2, 2))], [0, 1, 2]),
        (4, [up, down, up], [0, 1, 2]),  # of epoch 3 there is nothing
    ):
        save_attribution(arrays_file(tmp_path, epoch), attribution(maps, explained))
    first, second = steps(tmp_path)
    assert (first.epoch, second.epoch) == (1, 2)
    # Spearman's 1 - 6 Σd² / n(n² - 1): two neighbours swapped, 1 - 6·2 / 60
    np.testing.assert_allclose(first.correlations, [1, -1, 0.8])
    assert first.mean == pytest.approx(0.8 / 3)
    assert first.changed.tolist() == [False, True, True]
    np.testing.assert_allclose(second.correlations, [1, 1, np.nan])
    assert (second.mean, second.changed.any()) == (1, False)


def test_maps_of_another_layer_or_of_other_images_did_not_move(tmp_path: Path) -> None:
    maps = np.arange(8.0).reshape(2, 2, 2)
    save_attribution(arrays_file(tmp_path, 1), attribution(maps, [0, 0]))
    assert step_to(tmp_path, 1) is None
    for other in (attribution(maps, [0, 0], layer="conv1"), attribution(maps[:1], [0])):
        save_attribution(arrays_file(tmp_path, 2), other)
        assert step_to(tmp_path, 2) is None


def test_without_maps_there_is_no_figure_and_a_broken_one_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_history([{"epoch": 1, "train/loss": 1.0, "val/loss": 1.0}])
    draw_epochs(folder, best_epoch=1)
    assert [path.name for path in folder.figures.iterdir()] == ["curves.png"]
    assert not caplog.records
    for epoch in (0, 1):
        arrays_file(folder.gradcam, epoch).parent.mkdir(exist_ok=True)
        arrays_file(folder.gradcam, epoch).write_bytes(b"PK half a file")
    draw_epochs(folder, best_epoch=1)
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == ["no gradcam_movement.png", "no gradcam_by_epoch.webp"]


def test_a_frozen_and_compiled_network(tmp_path: Path) -> None:
    module = Classifier()
    module.network.conv1.requires_grad_(False)
    module.network.compile(backend="eager")
    fit(tmp_path, GradCAMCallback(images=2), epochs=1, module=module)
    assert len(list((tmp_path / "gradcam").glob("*.png"))) == 2


def test_maps_of_1x1_are_one_warning_and_never_stop_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = fit(tmp_path, GradCAMCallback(images=2, layer="pool"), epochs=3)
    assert len(module.losses) == 9
    assert [record.getMessage() for record in caplog.records if record.name == "src.callbacks.gradcam"] == [
        "no Grad-CAM after epoch 0, the training goes on: Grad-CAM: layer 'pool' gives 1×1 maps; name an earlier layer,"
        " or take larger images"
    ]


def test_a_folder_that_cannot_be_written_does_not_stop_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gradcam").write_text("in the way")
    assert len(fit(tmp_path, GradCAMCallback(images=2)).losses) == 6
    assert "no Grad-CAM after epoch 0" in caplog.text


def test_a_misspelt_layer_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no layer 'conv3' in Sequential; near: conv"):
        fit(tmp_path, GradCAMCallback(layer="conv3"))
    assert not (tmp_path / "gradcam").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 0}, "callbacks.gradcam.images=0 is no number of images"),
        ({"target": "best"}, "callbacks.gradcam.target=best is unknown; take predicted or true"),
    ],
)
def test_absurd_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        GradCAMCallback(**arguments)
