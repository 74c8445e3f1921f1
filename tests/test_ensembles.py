"""Several runs that answer together: `checkpoint=[A,B]` of predict and evaluate, and `load([A, B])`."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from src import load
from src.errors import InputError
from src.evaluate import evaluate
from src.predict import predict
from src.settings.composing import quote_paths
from src.trained.checkpoint import load_trained
from src.trained.ensemble import load_ensemble, name_members
from src.trained.logits import predict as logits_of
from src.trained.logits import probabilities
from src.trained.pictures import open_split
from src.trained.temperature import Calibration, digest, write_calibration
from tests.support.photographs import make_photos

ROOT = Path(__file__).parent.parent


def composed(verb: str, overrides: Sequence[str]) -> Any:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose(verb, overrides=quote_paths(overrides))


@pytest.fixture
def runs(digits_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of one division: the second has other weights, and its classes in another order."""
    first, second = tmp_path / "first", tmp_path / "second, too"
    for folder in (first, second):
        shutil.copytree(digits_run, folder)
    file = second / "checkpoints/best.ckpt"
    content = torch.load(file, weights_only=True)
    random = torch.Generator().manual_seed(0)
    state = content["state_dict"]
    for name in ("network.fc.weight", "network.fc.bias"):
        state[name] = state[name] + 0.4 * torch.randn(state[name].shape, generator=random)
    torch.save(content, file)
    return first, second


def shares_of(run: Path, split: str = "test") -> np.ndarray:
    trained = load_trained(run)
    assert trained.run is not None
    images = open_split(trained.run, split, trained.geometry, trained.class_names)
    return probabilities(logits_of(trained, images.batches(64)))


def test_predict_answers_with_the_mean_of_probabilities(runs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = runs
    file = second / "checkpoints/best.ckpt"
    write_calibration(file, Calibration(2.0, "val", 160, 0.4, 0.3, digest(file)))
    out = tmp_path / "out"
    told = predict(composed("predict", [f"checkpoint=[{first},{second}]", "images=test", f"output={out}", "top_k=10"]))
    assert [member["temperature"] for member in told["members"]] == [1.0, 2.0]
    trained = load_trained(second)
    assert trained.run is not None
    images = open_split(trained.run, "test", trained.geometry, trained.class_names)
    softer = probabilities(logits_of(trained, images.batches(64)), 2.0)
    expected = (shares_of(first) + softer) / 2
    with (out / "predictions.csv").open() as table:
        got = list(csv.DictReader(table))
    assert [row["predicted"] for row in got] == [trained.class_names[place] for place in expected.argmax(axis=1)]
    np.testing.assert_allclose([float(row["confidence"]) for row in got], expected.max(axis=1), atol=2e-6)
    np.testing.assert_allclose([float(row["confidence_10"]) for row in got], expected.min(axis=1), atol=2e-6)


def test_evaluate_shows_the_ensemble_beside_its_networks(
    runs: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = runs
    with caplog.at_level("INFO"):
        told = evaluate(composed("evaluate", [f"checkpoint=[{first},{second}]", f"output={tmp_path / 'out'}"]))
    trained = load_trained(first)
    assert trained.run is not None
    targets = open_split(trained.run, "test", trained.geometry, trained.class_names).targets
    shares = [shares_of(run) for run in runs]
    right = [float((said.argmax(axis=1) == targets).mean()) for said in [*shares, sum(shares)]]
    assert [*(member["test/accuracy"] for member in told["members"]), told["test/accuracy"]] == pytest.approx(right)
    assert told["images"] == 180
    assert {"test/accuracy", "test/nll", "test/ece"} <= told["intervals"].keys()
    assert [line.split()[0] for line in caplog.text.splitlines() if line.startswith(("first ", "second,", "ensemble "))]
    files = {"confusion_matrix.png", "evaluate.json", "per_class.csv", "predictions.csv", "reliability.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


def test_networks_of_other_sizes_and_class_orders_answer_together(tmp_path: Path, digits_run: Path) -> None:
    """Each network sees a file in its own size, and answers for classes by their names."""
    photos = make_photos(tmp_path / "photos")
    from src.train import train

    for name, size in (("small", 16), ("large", 24)):
        words = [
            "data=folder", f"data.root={photos}", f"data.image_size={size}", "model=simple_cnn", "model.width=8",
            "trainer=cpu", "trainer.precision=32-true", "trainer.max_epochs=1", "callbacks=none", "logger=none",
            "baseline=false", "cost=false",
        ]  # fmt: skip
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            train(compose("train", overrides=quote_paths(words)), tmp_path / name)
    file = tmp_path / "large/checkpoints/best.ckpt"
    content = torch.load(file, weights_only=True)
    torch.save(content, tmp_path / "large.ckpt")  # without its run as well, whose precision would count
    content["hyper_parameters"]["class_names"].reverse()
    for name in ("network.fc.weight", "network.fc.bias"):
        content["state_dict"][name] = content["state_dict"][name].flip(0)
    torch.save(content, tmp_path / "turned.ckpt")
    pictures = sorted(map(str, photos.rglob("*.png"))) + sorted(map(str, photos.rglob("*.jpg")))
    both = load([tmp_path / "small", tmp_path / "turned.ckpt"]).predict(pictures, top_k=2)
    alone = [load(tmp_path / name).predict(pictures, top_k=2) for name in ("small", "large.ckpt")]
    for said, one, other in zip(both, *alone, strict=True):
        shares = [dict(zip(each.classes, each.probabilities, strict=True)) for each in (said, one, other)]
        for name, share in shares[0].items():
            assert share == pytest.approx((shares[1][name] + shares[2][name]) / 2, abs=1e-6)
    with pytest.raises(InputError, match="have not the same classes"):
        load([tmp_path / "small", digits_run])


def test_a_sweeps_folder_means_its_runs(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for number, run in zip((10, 2), runs, strict=True):
        shutil.copytree(run, tmp_path / "sweep" / str(number))
    found = load_ensemble(str(tmp_path / "sweep"))
    assert found is not None
    assert [member.name for member in found.members] == ["2", "10"]
    assert load_ensemble(str(runs[0])) is None
    a, b = map(str, runs)
    assert name_members(f"[{a}, {b},x]") == [a, b, "x"]


@pytest.mark.parametrize("word", ["overlays=true", "coverage=0.9", "ood=0.05"])
def test_what_is_for_one_run_is_one_line(runs: tuple[Path, Path], tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match=f"{word} is for one run, and checkpoint names several: leave it out"):
        predict(composed("predict", [f"checkpoint=[{runs[0]},{runs[1]}]", "images=test", "output=out", word]))


def test_runs_that_were_divided_differently_are_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    config = runs[1] / ".hydra/config.yaml"
    if not config.exists():
        pytest.skip("the run has no settings")
    config.write_text(config.read_text().replace("seed: 1\n", "seed: 2\n"))
    for verb, words in ((evaluate, ["output=out"]), (predict, ["images=test", "output=out"])):
        name = verb.__name__
        with pytest.raises(InputError, match="were divided differently"):
            verb(composed(name, [f"checkpoint=[{runs[0]},{runs[1]}]", *words]))
    assert json.loads((runs[0] / "run.json").read_text())
    with pytest.raises(InputError, match="twice: name each network once"):
        load_ensemble(f"[{runs[0]},{runs[0]}]")
