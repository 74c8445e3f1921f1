"""metrics.csv of a run that was killed, and whose file somebody has removed, cut or edited before it goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from src.errors import RunError
from src.runs.folder import RunFolder
from src.train import train
from src.training import session
from tests.conftest import ROOT
from tests.resuming.test_exactness import run_until

TIMED = ["seconds", "images_per_second"]


@pytest.fixture(autouse=True, scope="module")
def without_figures() -> Iterator[None]:
    """Drawing them takes longer than the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "draw_epochs", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def cfg() -> DictConfig:
    """Three epochs of simple_cnn on digits, validated in the second one alone."""
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose(
            "train",
            [
                "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=3", "data.batch_size=128",
                "callbacks=none", "logger=none", "baseline=false", "cost=false", "test=false", "checkpoint_every=3",
                "trainer.check_val_every_n_epoch=2", "data.num_workers=0", "trainer.limit_train_batches=4",
            ],
        )  # fmt: skip


@pytest.fixture(scope="module")
def whole(cfg: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("whole")
    train(cfg, folder)
    return RunFolder(folder).history()


@pytest.fixture(scope="module")
def killed(cfg: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It has two epochs behind it and three batches of the third. Don't write."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        run_until((2, 3), cfg, folder, patch)
    return folder


@pytest.fixture
def run(killed: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(killed, tmp_path / "run"))


def damage(file: Path, way: str) -> None:
    content = file.read_text()
    if way == "removed":
        file.unlink()
    elif way == "edited":
        file.write_text(content.replace("\n1,", "\n7,"))
    elif way == "words":
        file.write_text(content.replace("\n2,", "\nlook here,"))
    elif way == "cut":
        file.write_text(content[: len(content) // 2])
    else:
        file.write_bytes(b"\xff\x00" * 50)


WAYS = ["removed", "edited", "words", "cut", "no text"]
ONE_IS_QUICK = [WAYS[0], *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS[1:])]


def check(run: RunFolder, whole: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(run.history().drop(columns=TIMED), whole.drop(columns=TIMED))
    assert run.history()[TIMED].notna().all(axis=None)


@pytest.mark.parametrize("way", WAYS)
def test_what_became_of_the_file_does_not_matter(
    way: str, cfg: DictConfig, run: RunFolder, whole: pd.DataFrame
) -> None:
    """Figures that an epoch does not have, NaN, stay missing; the times are those that were measured."""
    assert whole["val/loss"].notna().tolist() == [False, True, False]
    before = run.history()
    damage(run.history_file, way)
    metrics = train(cfg, run.path, resume=True)
    check(run, whole)
    pd.testing.assert_frame_equal(run.history()[:2], before)
    assert (metrics["epochs"], metrics["best_epoch"]) == (3, 2)


def test_a_run_that_has_nothing_left_to_train_writes_it_too(
    cfg: DictConfig, run: RunFolder, whole: pd.DataFrame
) -> None:
    train(cfg, run.path, resume=True)
    run.history_file.unlink()
    train(cfg, run.path, resume=True)
    check(run, whole)


def test_an_epoch_that_did_not_know_a_metric_has_none(cfg: DictConfig, run: RunFolder, whole: pd.DataFrame) -> None:
    """A run that was begun before the metric was in the table."""
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    for row in checkpoint["callbacks"]["History"]["rows"]:
        del row["train/mcc"], row["val/mcc"]
    del checkpoint["unfinished"]["figures"]["1.mcc"]
    torch.save(checkpoint, run.last_checkpoint)
    train(cfg, run.path, resume=True)
    found, new = run.history(), ["train/mcc", "val/mcc"]
    assert found.columns.tolist() == whole.columns.tolist()
    assert found.loc[:1, new].isna().all(axis=None)
    assert found.loc[2, "train/mcc"] == pytest.approx(whole.loc[2, "train/mcc"], abs=0.2)  # of the rest of the epoch
    pd.testing.assert_frame_equal(found.drop(columns=[*TIMED, *new]), whole.drop(columns=[*TIMED, *new]))


@pytest.fixture
def earlier(run: RunFolder) -> RunFolder:
    """As a version has left it whose checkpoints have no rows."""
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    del checkpoint["callbacks"]["History"]
    torch.save(checkpoint, run.last_checkpoint)
    return run


def test_a_checkpoint_without_rows_takes_those_of_the_file(
    cfg: DictConfig, earlier: RunFolder, whole: pd.DataFrame
) -> None:
    train(cfg, earlier.path, resume=True)
    check(earlier, whole)


def test_the_file_of_an_earlier_version_will_do(cfg: DictConfig, earlier: RunFolder, whole: pd.DataFrame) -> None:
    earlier.history().drop(columns=["train/mcc", "val/mcc"]).to_csv(earlier.history_file, index=False)
    train(cfg, earlier.path, resume=True)
    assert earlier.history()["train/mcc"].isna().tolist() == [True, True, False]
    assert earlier.history()["val/f1"].equals(whole["val/f1"])


@pytest.mark.parametrize("way", WAYS)
def test_a_checkpoint_without_rows_needs_the_file(way: str, cfg: DictConfig, earlier: RunFolder) -> None:
    damage(earlier.history_file, way)
    left = earlier.history_file.read_bytes() if earlier.history_file.exists() else None
    with pytest.raises(RunError, match="metrics.csv is damaged .*put the file back") as error:
        train(cfg, earlier.path, resume=True)
    assert "\n" not in str(error.value)
    assert (earlier.history_file.read_bytes() if earlier.history_file.exists() else None) == left
