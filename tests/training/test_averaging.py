"""What is validated, kept and tested is the average; training goes on with its own weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from src.errors import InputError
from src.networks.saved import SavedFileError
from src.resuming.checkpoint_schema import check_content
from src.resuming.starting_point import last_whole
from src.runs.folder import RunFolder
from src.train import train
from src.trained.checkpoint import load_trained
from src.training.averaging import RunningAverage

Config = Callable[..., DictConfig]

SETTINGS = (
    "data=digits", "data.max_images=60", "data.batch_size=8", "model=cifar_resnet20", "trainer=cpu",
    "baseline=false", "cost=false", "callbacks.gradcam=null", "trainer.max_epochs=2", "trainer.precision=32-true",
)  # fmt: skip


@pytest.fixture
def run(config: Config, tmp_path: Path) -> RunFolder:
    train(config(*SETTINGS, "ema=0.5"), tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_the_average_is_validated_and_kept_where_every_verb_looks(run: RunFolder) -> None:
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    average, own = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert average.keys() == own.keys()
    assert any(not torch.equal(average[name], own[name]) for name in own if name.endswith("running_var"))
    assert any(not torch.equal(average[name], own[name]) for name in own if name.endswith("fc.weight"))
    counters = [name for name in own if name.endswith("num_batches_tracked")]
    assert all(torch.equal(average[name], own[name]) for name in counters)
    assert int(checkpoint["averaging_state"]["n_averaged"]) == checkpoint["global_step"] == 16
    trained = load_trained(run.path).module.network.state_dict()
    best = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, best[f"network.{name}"]) for name, value in trained.items())
    # the best epoch's validation, in training and from its checkpoint alone
    row = run.history().iloc[torch.load(run.best_checkpoint, weights_only=True)["epoch"]]
    assert run.metrics()["val/loss"] == pytest.approx(row["val/loss"], rel=1e-5)
    assert run.metrics()["val/accuracy"] == pytest.approx(row["val/accuracy"])


def test_the_decay_is_less_in_the_first_steps() -> None:
    average = RunningAverage(0.9)
    for steps, kept in ((0, 0.1), (1, 2 / 11), (10, 11 / 20), (1000, 0.9)):
        average._latest_update_step = steps
        values = [torch.zeros(2)]
        average._average(values, [torch.ones(2)], None)
        torch.testing.assert_close(values[0], torch.full((2,), 1 - kept))


def test_a_checkpoint_has_an_average_where_the_run_has_one(run: RunFolder, config: Config, tmp_path: Path) -> None:
    """And one that was tampered with is refused."""
    content = torch.load(run.last_checkpoint, weights_only=True)
    for odd in (torch.tensor(-1), torch.tensor(0.5), torch.ones(2)):
        with pytest.raises(SavedFileError, match="averaging_state"):
            check_content(content | {"averaging_state": {"n_averaged": odd}})
    plain = tmp_path / "plain"
    train(config(*SETTINGS), plain)
    assert last_whole(RunFolder(plain)) is not None
    with pytest.raises(InputError, match="current_model_state is missing"):
        train(config(*SETTINGS, "ema=0.5", "trainer.max_epochs=3"), plain, resume=True)
