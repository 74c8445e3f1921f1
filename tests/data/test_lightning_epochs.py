"""The data module inside Lightning's own loop."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from src.data import ImageDataModule


@pytest.fixture
def folder(make_folder) -> Path:
    return make_folder({"ant": 20, "bee": 30})


class Watcher(LightningModule):
    """Remembers the targets that it was shown, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[int]] = {}

    def training_step(self, batch):
        self.seen.setdefault(self.current_epoch, []).extend(batch[1].tolist())
        return (self.weight**2).sum()

    def validation_step(self, batch):
        assert batch[0].dtype == torch.uint8

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(data: ImageDataModule, folder: Path, epochs: int, checkpoint: Path | None = None, **options) -> Watcher:
    module = Watcher()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        use_distributed_sampler=False,
        **{"enable_checkpointing": False, **quiet, **options},
    )
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    if checkpoint is None:
        trainer.save_checkpoint(folder / "end.ckpt")
    return module


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec")
@pytest.mark.parametrize(("workers", "balance"), [(0, "none"), (2, "none"), (0, "sampler")])
def test_lightning_moves_the_epoch_on_and_takes_it_up_again(make_module, folder, tmp_path, workers, balance):
    def data() -> ImageDataModule:
        return make_module(root=folder, num_workers=workers, balance=balance)

    whole = fit(data(), tmp_path, 3).seen
    assert len({tuple(targets) for targets in whole.values()}) == 3
    expected = make_module(root=folder, balance=balance)
    expected.setup()
    loader = expected.train_dataloader()
    loader.batch_sampler.set_epoch(1)
    assert whole[1] == torch.cat([targets for _, targets in loader]).tolist()
    fit(data(), tmp_path, 1)
    resumed = fit(data(), tmp_path, 3, checkpoint=tmp_path / "end.ckpt").seen
    assert resumed == {1: whole[1], 2: whole[2]}


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*LeafSpec")
@pytest.mark.parametrize("balance", ["none", "sampler"])
def test_overfitting_on_purpose_sees_the_same_batch(make_module, folder, tmp_path, balance):
    data = make_module(root=folder, augment={"flip": True, "scale": 0.5}, balance=balance)
    seen = fit(data, tmp_path, 3, overfit_batches=1).seen
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 4
