"""What is said of a run before its network answers."""

import json
import shutil
from pathlib import Path

import pytest

from src.analysis.intervals import beside_guessing
from src.runs.folder import RunFolder
from src.trained.standing import standing

OLD = Path(__file__).parents[1] / "support" / "old_runs"


def test_fifteen_of_thirty_is_guessing_and_twenty_five_is_not() -> None:
    """Wilson's interval of 15 of 30 begins at 0.33, that of 25 of 30 at 0.66."""
    assert beside_guessing(15 / 30, [15, 15]).endswith("would be right 15 times of 30")
    assert beside_guessing(25 / 30, [15, 15]) == ""
    assert beside_guessing(25 / 30, [24, 6]).endswith("24 times of 30")  # 0.66 is below 24 of 30
    assert beside_guessing(1.0, []) == ""


def test_of_a_finished_run_that_knows_its_classes_nothing_is_said() -> None:
    assert standing(RunFolder(OLD / "finished")) == ""


def test_an_interrupted_run_is_said_to_be_one() -> None:
    assert "was interrupted: train resume=" in standing(RunFolder(OLD / "interrupted"))


@pytest.mark.parametrize(("status", "said"), [("running", "is still training, or was killed"), ("failed", "failed")])
def test_a_run_that_has_not_ended_is_said_to_have_epochs_so_far(tmp_path: Path, status: str, said: str) -> None:
    run = RunFolder(shutil.copytree(OLD / "finished", tmp_path / "run"))
    run.record_file.write_text(json.dumps(run.record() | {"status": status}))
    epochs = len(run.history())
    assert standing(run).endswith(f"run {said}; its best of {epochs} epoch{'s' * (epochs > 1)} answers")


def test_a_tested_network_that_only_guesses_is_said_to_do_so(tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(OLD / "finished", tmp_path / "run"))
    images = run.images_of_classes()
    run.metrics_file.write_text(json.dumps(run.metrics() | {"test/accuracy": max(images) / sum(images)}))
    assert "no better than guessing shown" in standing(run)
    assert standing(run, tested=False) == ""
