"""The commands one after another with networks that torchvision has and the other tests leave out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torchvision.models import get_model

from src.networks import NETWORKS
from src.runs.folder import RunFolder
from tests.support.command_line import run_here

LAYERS = {
    "convnext_tiny": "features.5",
    "densenet121": "features.denseblock3",
    "resnext50_32x4d": "layer3",
    "wide_resnet50_2": "layer3",
}
"""Whose map at 64 px is the deepest of 4×4."""


def backbone(file: Path, head: str) -> dict[str, Tensor]:
    """The weights of a checkpoint but those of the head."""
    state = torch.load(file, weights_only=True)["state_dict"]
    names = {name.removeprefix("network."): value for name, value in state.items()}
    return {name: value for name, value in names.items() if not name.startswith(f"{head}.")}


def succeed(verb: str, *words: str, cwd: Path) -> str:
    result = run_here(*words, cwd=cwd, verb=verb)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_fine_tuned_resumed_asked_explained_and_exported(name: str, photos: Path, tmp_path: Path) -> None:
    head, first = NETWORKS[name].head, f"{NETWORKS[name].first}.weight"
    torch.manual_seed(0)
    given = get_model(name)
    torch.save(given.state_dict(), tmp_path / "weights.pth")
    said = succeed(
        "train", f"model={name}", "weights=weights.pth", "freeze=1", "data=folder", f"data.root={photos}",
        "data.image_size=64", "data.in_channels=1", "data.mean=[0.5]", "data.std=[0.25]", "data.batch_size=8",
        "data.max_images=24", "data.num_workers=0", "trainer=cpu", "trainer.max_epochs=1", "optimizer=adamw",
        "callbacks.gradcam.images=2", "logger=none", "baseline=false", "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    assert f"adapted to the channels: {first}; made anew: {head}.weight (1000×" in said  # and model.stem=imagenet
    run = RunFolder(tmp_path / "run")
    frozen = backbone(run.last_checkpoint, head)
    assert torch.equal(frozen[first], given.get_parameter(first).sum(dim=1, keepdim=True))
    assert all(torch.equal(value, given.state_dict()[key]) for key, value in frozen.items() if key != first)
    with np.load(run.gradcam / "epoch_001.npz") as arrays:
        assert arrays["maps"].shape == (2, 4, 4)
        assert np.isfinite(arrays["maps"]).all()
    cost = json.loads(run.cost_file.read_text())
    assert cost["parameters"] == run.metrics()["parameters"] > 5e6

    succeed("train", "resume=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert run.history()["epoch"].tolist() == [1, 2]
    thawed = backbone(run.last_checkpoint, head)
    assert not any(torch.equal(value, thawed[key]) for key, value in frozen.items() if key.endswith("weight"))

    succeed("predict", "checkpoint=run", f"images={photos / 'low'}", "output=predicted", cwd=tmp_path)
    assert len(pd.read_csv(tmp_path / "predicted" / "predictions.csv")) == 30
    for words, layer in (((), LAYERS[name]), (("method=layercam", f"layer={first.split('.')[0]}"), None)):
        output = f"explained{len(words)}"
        succeed("explain", "checkpoint=run", "max_images=2", f"output={output}", *words, cwd=tmp_path)
        record = json.loads((tmp_path / output / "explain.json").read_text())
        assert record["layer"] == (layer or first.split(".")[0])
    succeed("export", "checkpoint=run", f"images={photos / 'low'}", "output=exported", cwd=tmp_path)
    proof = json.loads((tmp_path / "exported" / "export.json").read_text())["proof"]
    assert proof["same_class"] == proof["images"] == 30
    assert proof["largest_difference"] < 1e-3
