"""A run that was stopped anywhere and resumed ends in the same bits as one that never stopped."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from src.runs.folder import RunFolder
from src.train import train
from src.training import classifier, configured
from tests.support.command_line import run_here
from tests.support.photographs import make_photos

Config = Callable[..., DictConfig]
TIMED = ["seconds", "images_per_second", "train_seconds"]


class PowerFailedError(Exception):
    """Stands for a power cut: nothing is saved on the way out."""


class PowerCut(L.Callback):
    """Ends the run before it trains on batch `batch` of epoch `epoch` (from 0)."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.moment = (epoch, batch)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == self.moment:
            raise PowerFailedError


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


def settings(photos: Path, *more: str) -> list[str]:
    return [
        "data=folder", f"data.root='{photos}'", "data.image_size=16", "data.batch_size=8", "data.augment.shift=1",
        "model=cifar_resnet20", "trainer=cpu", "trainer.max_epochs=3", "baseline=false", "cost=false",
        "callbacks.gradcam.images=2", "checkpoint_every=2", "optimizer.lr=0.05", *more,
    ]  # fmt: skip


def content(run: Path) -> dict[str, Any]:
    """All that a run leaves behind, but for what time has to do with."""
    folder = RunFolder(run)
    last, best = (torch.load(path, weights_only=True) for path in (folder.last_checkpoint, folder.best_checkpoint))
    return {
        **{f"last {key}": last[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")},
        **{f"last {key}": last.get(key) for key in ("current_model_state", "averaging_state")},  # of an average
        **{f"best {key}": best[key] for key in ("state_dict", "epoch", "global_step")},
        "history": folder.history().drop(columns=TIMED, errors="ignore").to_dict("list"),
        "metrics": {key: value for key, value in folder.metrics().items() if key not in TIMED},
        "predictions": folder.predictions_file.read_bytes(),
        "gradcam": {path.name: path.read_bytes() for path in sorted(folder.gradcam.iterdir())},
    }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """The places where two contents are not the same to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [place for key in one for place in differences(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [place for number, (a, b) in pairs for place in differences(a, b, f"{where}/{number}")]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    return [] if one == other or (one != one and other != other) else [f"{where}: {str(one)[:60]} {str(other)[:60]}"]


def run_until(moment: tuple[int, int], cfg: DictConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        made = configured.checkpoint_callbacks
        patch.setattr(configured, "checkpoint_callbacks", lambda *a, **k: [PowerCut(*moment), *made(*a, **k)])
        with pytest.raises(PowerFailedError):
            train(cfg, folder)


RESIDENT = ("data.cache=memory", "data.augment={flip:alternate,shift:2,padding:reflect,scale:1}")
"""What can live on the device, and with `data.on_device=true` does."""

NEW_WORKERS = "new workers"
WORKERS = {
    "no workers": ["data.num_workers=0"],
    "persistent workers": ["data.num_workers=2"],
    NEW_WORKERS: ["data.num_workers=2"],
}
PRECISIONS = {"fp32": ["trainer.precision=32-true"], "bf16": ["trainer.precision=bf16-mixed"]}
OPTIMIZERS = {"sgd": [], "adamw": ["optimizer=adamw", "optimizer.lr=0.002"]}
KINDS = {
    **{
        ", ".join(names): [*WORKERS[names[0]], *PRECISIONS[names[1]], *OPTIMIZERS[names[2]]]
        for names in itertools.product(WORKERS, PRECISIONS, OPTIMIZERS)
    },
    "accumulation": ["trainer.accumulate_grad_batches=2", "checkpoint_every=1"],
    "limited": ["trainer.limit_train_batches=5"],
    "validation in mid-epoch": ["trainer.val_check_interval=3", "checkpoint_every=1"],
    "validation whatever the epoch": [
        "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=5", "checkpoint_every=1",
    ],
    "thawed in mid-training": ["freeze=1", "data.augment=null"],
    "balanced": ["data.balance=sampler"],
    "crops of pictures on the disk": ["data.cache=disk", "data.augment.scale=0.35"],
    "crops of pictures in memory": ["data.cache=memory", "data.augment.scale=0.35"],
    "whitened stem": ["model=airbench", "model.width=8", "scheduler=triangle", "optimizer.norm_bias_lr=8"],
    "on the device": ["data.on_device=true", *RESIDENT, "data.balance=sampler", "trainer.accumulate_grad_batches=2"],
    "levers": [
        "ema=0.9", "mixup=0.2", "cutmix=1.0", "progressive_size=0.5", "test_flip=true", "label_smoothing=0.1",
        "data.augment.policy=trivialaugment", "data.augment.erase=0.5", "data.balance=loss",
    ],
}  # fmt: skip
QUICK = ("persistent workers, bf16, sgd", "accumulation", "levers", "on the device")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_resumed_run_ends_in_the_same_bits(
    kind: str, config: Config, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle of an epoch, and where one begins. Ours are persistent; new ones come every epoch."""
    if kind.startswith(NEW_WORKERS):
        made = DataLoader.__init__
        monkeypatch.setattr(
            DataLoader, "__init__", lambda *args, **settings: made(*args, **settings | {"persistent_workers": False})
        )
    cfg = config(*settings(photos, *KINDS[kind]))
    train(cfg, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    for moment in ((1, 4), (2, 0)):
        cut = tmp_path / f"cut {moment}"
        run_until(moment, cfg, cut, monkeypatch)
        train(cfg, cut, resume=True)
        assert differences(whole, content(cut)) == []
        assert list(pd.read_csv(cut / "metrics.csv")["epoch"]) == [1, 2, 3]


def test_the_comparison_can_fail(config: Config, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what `src.resuming.unfinished` puts back, other images follow."""
    cfg = config(*settings(photos))
    train(cfg, tmp_path / "whole")
    run_until((1, 4), cfg, tmp_path / "cut", monkeypatch)
    monkeypatch.setattr(classifier, "put_back", lambda *_: None)
    train(cfg, tmp_path / "cut", resume=True)
    found = differences(content(tmp_path / "whole"), content(tmp_path / "cut"))
    assert any("state_dict" in place for place in found)
    assert any("train/loss" in place for place in found)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("data", ["folder", pytest.param("digits", marks=pytest.mark.slow)])
def test_images_on_the_device_give_the_same_bits(data: str, processes: int, photos: Path, tmp_path: Path) -> None:
    """As those of the host; of several processes each has its own copy of all."""
    words = [*settings(photos, *RESIDENT, "data.balance=sampler"), "data.num_workers=0", "trainer.max_epochs=2"]
    if data == "digits":
        words = [
            word for word in words if not word.startswith(("data=", "data.root", "data.augment", "data.image_size"))
        ]
        words += ["data.augment={flip:alternate,shift:1}", "data.image_size=8", "data.batch_size=128"]
    ddp = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"] if processes > 1 else []
    for wanted in ("false", "true"):
        command = [sys.executable, "-m", "src.train", *words, *ddp, f"data.on_device={wanted}"]
        if processes > 1:
            subprocess.run([*command, f"hydra.run.dir={tmp_path}/on_device_{wanted}"], check=True, capture_output=True)
        else:
            result = run_here(*command[3:], f"hydra.run.dir=on_device_{wanted}", cwd=tmp_path)
            assert result.returncode == 0, result.stderr
    assert differences(content(tmp_path / "on_device_false"), content(tmp_path / "on_device_true")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("trainer.accumulate_grad_batches=2",),
        ("ema=0.9", "cutmix=1.0", "progressive_size=0.5"),
        ("data.on_device=true", *RESIDENT),
    ],
    ids=["", "accumulation", "levers", "on the device"],
)
def test_two_processes_go_on_in_the_middle_of_an_epoch(more: tuple[str, ...], photos: Path, tmp_path: Path) -> None:
    """Gradients that two processes have accumulated are averaged once more: rounding may differ there."""
    words = [
        "-m", "src.train", *settings(photos, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", *more),
        "data.batch_size=4", "checkpoint_every=1",
    ]  # fmt: skip
    subprocess.run([sys.executable, *words, f"hydra.run.dir={tmp_path / 'whole'}"], check=True, capture_output=True)
    cut = RunFolder(tmp_path / "cut")
    command = [sys.executable, *words, f"hydra.run.dir={cut.path}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while not _is_in_the_middle(cut):
            assert run.poll() is None, "it had no middle"
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
    assert _is_in_the_middle(cut)
    subprocess.run([sys.executable, "-m", "src.train", f"resume={cut.path}"], check=True, capture_output=True)
    whole, resumed = content(tmp_path / "whole"), content(cut.path)
    if "trainer.accumulate_grad_batches=2" not in more:
        assert differences(whole, resumed) == []
    assert whole["history"]["train/accuracy"] == pytest.approx(resumed["history"]["train/accuracy"])
    for one, other in zip(whole["last state_dict"].values(), resumed["last state_dict"].values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def _is_in_the_middle(run: RunFolder) -> bool:
    """Whether the newest checkpoint was written within the second epoch."""
    if not run.history_file.exists():
        return False
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    return checkpoint["epoch"] == 1 and checkpoint["unfinished"] is not None
