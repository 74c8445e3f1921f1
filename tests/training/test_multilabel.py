"""Training of several labels an image: loss, masks, thresholds in the checkpoint, and the way from table to run."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from src.analysis.label_scores import best_thresholds
from src.errors import InputError
from src.runs.folder import RunFolder
from src.trained.checkpoint import load_trained
from src.training.multilabel import MultilabelClassifier, masked_loss
from tests.analysis.test_label_scores import by_sklearn
from tests.support.command_line import run_here
from tests.support.composed_labels import compose, patterns

RUN = (
    "data=table", "data.multilabel=true", "data.image_size=20", "data.batch_size=16", "data.num_workers=0",
    "data.augment=null", "model=cifar_resnet20", "optimizer.lr=0.05", "trainer=cpu", "trainer.precision=32-true",
    "cost=false",
)  # fmt: skip


def test_unknown_labels_have_no_say_in_loss_and_gradient() -> None:
    logits = torch.randn(5, 3, requires_grad=True)
    targets = torch.randint(2, (5, 3)).float()
    targets[1, 2] = targets[4] = torch.nan
    known = ~targets.isnan()
    weight = torch.tensor([2.0, 0.5, 1.0])
    loss = masked_loss(logits, targets, weight)
    wanted = F.binary_cross_entropy_with_logits(logits[known], targets[known], pos_weight=weight.expand(5, 3)[known])
    assert loss.item() == pytest.approx(wanted.item())
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[~known] == 0).all()
    assert (logits.grad[known] != 0).all()
    assert masked_loss(logits, torch.full((5, 3), torch.nan)).item() == 0


def module(**settings) -> MultilabelClassifier:
    return MultilabelClassifier(
        architecture={"name": "simple_cnn", "num_classes": 3, "in_channels": 3, "image_size": 16, "width": 4},
        class_names=["a", "b", "c"],
        preprocessing={
            "image_size": 16, "in_channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear",
            "decode": "fast",
        },
        optimizer={"name": "sgd", "lr": 0.1}, scheduler={"name": "constant"}, **settings,
    )  # fmt: skip


def test_smoothing_moves_targets_towards_a_half() -> None:
    logits, targets = torch.randn(4, 3), torch.tensor([[1.0, 0, torch.nan]] * 4)
    soft = torch.tensor([[0.9, 0.1, torch.nan]] * 4)
    own = module(label_smoothing=0.2)
    assert own.training_loss(logits, targets).item() == pytest.approx(masked_loss(logits, soft).item())
    assert own.loss(logits, targets).item() == pytest.approx(masked_loss(logits, targets).item())
    assert own.hparams["task"] == "multilabel"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on composed pictures of three classes."""
    folder = tmp_path_factory.mktemp("multilabel")
    compose(folder / "pictures", patterns(), 160)
    table = f"data.table={folder}/pictures/labels.csv"
    words = (*RUN, table, "trainer.max_epochs=3", "probabilities=true", "hydra.run.dir=run")
    result = run_here(*words, "callbacks.gradcam.target='true'", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_figures_are_scikit_learns_on_our_own_logits(run: Path) -> None:
    folder = RunFolder(run)
    said, trained = folder.probabilities(), load_trained(run, multilabel=True)
    assert trained.multilabel
    thresholds = trained.module.thresholds.double().numpy()
    wanted = by_sklearn(said.logits, said.targets, thresholds)
    metrics = folder.metrics()
    assert {name: metrics[f"test/{name}"] for name in wanted} == pytest.approx(wanted, abs=1e-6)
    assert metrics["test/map"] > metrics["baseline/map"]
    assert np.isnan(said.targets).any()


def test_thresholds_are_the_best_on_the_validation_images(run: Path) -> None:
    from src.trained.examples import find_examples
    from src.trained.logits import predict

    trained = load_trained(run, multilabel=True)
    val = find_examples(trained, {}, "val", 1)
    logits = predict(trained, [images for images, _ in val.loader()])
    said = 1 / (1 + np.exp(-logits.astype(np.float64)))
    wanted = best_thresholds(said, val.data.targets("val"))
    assert trained.module.thresholds.numpy() == pytest.approx(wanted, abs=1e-4)


def test_the_run_has_all_files(run: Path) -> None:
    folder = RunFolder(run)
    assert folder.history().columns[:4].tolist() == ["epoch", "step", "train/loss", "train/map"]
    predictions = folder.predictions()
    assert predictions.columns.tolist() == [
        "path", "target", "predicted", "unknown", "probability_blue", "probability_green", "probability_red"
    ]  # fmt: skip
    assert (predictions["target"] == "").any() or predictions["target"].str.contains("|", regex=False).any()
    with np.load(run / "gradcam" / "epoch_003.npz") as maps:
        assert (maps["explained"] == maps["targets"]).all()
        assert len(maps["explained"]) > 8  # more maps than pictures: one for each label
    assert (run / "gradcam" / "epoch_003.png").is_file()
    assert (run / "figures" / "curves.png").is_file()


def test_it_resumes_with_the_same_bits(run: Path) -> None:
    """With an average of the weights and mixed images, of which some labels are unknown."""
    folder = run.parent
    words = (*RUN, "data.table=pictures/labels.csv", "checkpoint_every=2", "callbacks.gradcam=null")
    words += ("ema=0.9", "mixup=0.3", "cutmix=1.0", "test_flip=true")
    for name, steps in (("whole", -1), ("part", 12)):  # an epoch has 8
        length = ("scheduler=constant", "trainer.max_epochs=2", f"trainer.max_steps={steps}", f"hydra.run.dir={name}")
        result = run_here(*words, *length, cwd=folder)
        assert result.returncode == 0, result.stderr
    result = run_here("resume=part", "trainer.max_steps=-1", cwd=folder)
    assert result.returncode == 0, result.stderr
    whole, part = (
        RunFolder(folder / name).history().drop(columns=["seconds", "images_per_second"]) for name in ("whole", "part")
    )
    assert len(whole) == 2
    assert whole.equals(part)
    last = torch.load(folder / "whole" / "checkpoints" / "last.ckpt", weights_only=True)
    found, own = (last[state]["thresholds"] for state in ("state_dict", "current_model_state"))
    assert torch.equal(found, own)
    assert not torch.equal(found, torch.full_like(found, 0.5))


def test_a_monitor_of_the_other_task_is_refused_in_one_line(run: Path) -> None:
    result = run_here(*RUN, "data.table=pictures/labels.csv", "monitor=val/accuracy", cwd=run.parent)
    assert result.returncode == 2
    assert "take one of val/map" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("what", ["unknown", "thresholds"])
def test_a_damaged_checkpoint_is_refused(run: Path, tmp_path: Path, what: str) -> None:
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    if what == "unknown":
        content["hyper_parameters"]["task"] = "detection"
    else:
        content["state_dict"]["thresholds"] = torch.zeros(7)
    torch.save(content, tmp_path / "it.ckpt")
    with pytest.raises(InputError, match="damaged or of another version"):
        load_trained(tmp_path / "it.ckpt", multilabel=True)
