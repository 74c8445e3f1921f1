"""Figures of a trained network are those of its training, and of images of its classes alone."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits

from src.data.in_memory import in_memory
from src.data.sources import SOURCES, Source
from src.errors import InputError
from src.evaluation.measurement import Meter, compare
from src.trained.checkpoint import Trained, load_trained
from src.trained.examples import find_examples
from src.training.classifier import ImageClassifier
from tests.support.composed import compose_overrides


def group(name: str) -> dict[str, Any]:
    """`data=NAME`, plain; without augmentation and processes that decode."""
    settings = compose_overrides("train", [f"data={name}"]).data
    return {**OmegaConf.to_container(settings, resolve=True), "augment": None, "num_workers": 0}  # type: ignore[dict-item]


FOLDER, DIGITS = group("folder"), group("digits")
PARTS = (("train", 5), ("test", 3))


@pytest.fixture
def trained(run: Path) -> Trained:
    return load_trained(run)


def write_digits(root: Path, classes: Iterator[int] | range, each: int, parts: tuple[str, ...] = (".",)) -> Path:
    """So many of scikit-learn's digits of each class as files, in each part."""
    pixels, targets = load_digits(return_X_y=True)
    for target in classes:
        for number, index in enumerate(np.flatnonzero(targets == target)[: each * len(parts)]):
            folder = root / parts[number // each] / str(target)
            folder.mkdir(parents=True, exist_ok=True)
            picture = np.rint(pixels[index].reshape(8, 8) * (255 / 16)).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{number}.png")
    return root


@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_the_figures_of_a_run_come_again_to_the_last_digit(trained: Trained, split: str) -> None:
    assert trained.run is not None
    examples = find_examples(trained, {"root": None}, split, seed=9)
    measured = Meter(trained).measure(examples.loader(), "Evaluating")
    assert {f"{split}/{name}": value for name, value in measured.figures.items()} == {
        name: value for name, value in trained.run.metrics().items() if name.startswith(f"{split}/")
    }
    line = compare(trained, measured.figures, split)
    assert line is not None
    assert "to the last digit" in line
    assert not line.startswith("not")
    if split == "test":
        assert examples.paths == trained.run.predictions()["path"].tolist()
        np.testing.assert_allclose(
            measured.probabilities.max(axis=1), trained.run.predictions()["confidence"], atol=1e-6
        )


def test_other_figures_are_told(trained: Trained) -> None:
    assert trained.run is not None
    metrics = trained.run.metrics()
    figures = {name: metrics[f"val/{name}"] for name in ("loss", "accuracy", "precision", "recall", "f1")}
    trained.run.metrics_file.write_text(json.dumps(metrics | {"val/loss": figures["loss"] + 1e-7}))
    line = compare(trained, figures, "val")
    assert line is not None
    assert line.startswith("not to the last digit")
    assert "val/loss" in line
    assert "val/accuracy" not in line
    older = {name: value for name, value in metrics.items() if name != "val/mcc"}
    trained.run.metrics_file.write_text(json.dumps(older))
    assert "to the last digit" in str(compare(trained, figures | {"mcc": 0.5}, "val"))
    assert compare(replace(trained, path=trained.run.last_checkpoint), figures, "val") is None
    trained.run.metrics_file.unlink()
    assert compare(trained, figures, "val") is None


def test_the_settings_of_the_run_hold(run: Path) -> None:
    settings = run / ".hydra/config.yaml"
    settings.write_text(
        settings.read_text()
        .replace("precision: 32-true", "precision: bf16-mixed")
        .replace("memory_format: auto", "memory_format: channels_last")
        .replace("limit_test_batches: null", "limit_test_batches: 2")
    )
    trained = load_trained(run)
    meter = Meter(trained)
    assert meter.precision == "bf16-mixed"
    assert str(trained.module.memory_format) == "torch.channels_last"
    assert (
        len(meter.measure(find_examples(trained, {"root": None}, None, 1).loader(), "x", limited=True).targets) == 128
    )


def test_as_many_threads_compute_as_in_the_training(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["hardware"]["threads"] == torch.get_num_threads()
    used = []
    forward = ImageClassifier.forward

    def watched(self: ImageClassifier, images: torch.Tensor) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return forward(self, images)

    monkeypatch.setattr(ImageClassifier, "forward", watched)
    for told in (3, None, "many"):
        (run / "run.json").write_text(json.dumps(record | {"hardware": {"threads": told}}))
        trained = load_trained(run)
        Meter(trained).measure(find_examples(trained, {"root": None}, "val", 1).loader(), "x")
    assert set(used[: len(used) // 3]) == {3}
    assert set(used[len(used) // 3 :]) == {torch.get_num_threads()}


@pytest.mark.parametrize("settings", [{"root": None}, DIGITS, DIGITS | {"root": "data", "image_size": 8, "seed": 3}])
def test_the_data_of_the_run_are_its_own_by_any_settings(trained: Trained, settings: dict) -> None:
    examples = find_examples(trained, settings, None, seed=3)
    assert (examples.own, examples.split, len(examples), examples.trained_on) == (True, "test", 180, 0)
    assert examples.data.seed == 1
    assert examples.data.geometry == trained.geometry
    with pytest.raises(InputError, match="split=all: these are the images that the run was trained on"):
        find_examples(trained, settings, "all", seed=3)


def test_classes_are_matched_by_name(trained: Trained, tmp_path: Path) -> None:
    root = write_digits(tmp_path / "photos", range(7, 10), each=1)
    examples = find_examples(trained, FOLDER | {"root": str(root)}, None, seed=1)
    assert (examples.own, examples.split, examples.trained_on) == (False, "all", 0)
    images, targets = next(iter(examples.loader()))
    assert images.shape == (3, 1, 16, 16)
    assert targets.tolist() == [7, 8, 9]
    measured = Meter(trained).measure(examples.loader(), "x")
    assert measured.logits.shape == (3, 10)
    assert measured.figures["accuracy"] == pytest.approx((measured.logits.argmax(axis=1) == [7, 8, 9]).mean())


def test_two_data_sets_in_one_folder_are_two(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {split: (torch.zeros(number, 1, 28, 28, dtype=torch.uint8), [4] * number) for split, number in PARTS}
    found = Source(lambda root, **_: in_memory("mnist", root, list("0123456789"), parts), in_memory=True)
    monkeypatch.setitem(SOURCES, "mnist", found)
    examples = find_examples(trained, group("mnist"), None, 1)
    assert (examples.own, examples.split, examples.trained_on, len(examples)) == (False, "test", 0, 3)
    assert next(iter(examples.loader()))[0].shape == (3, 1, 16, 16)


def test_a_published_test_split_is_taken(trained: Trained, tmp_path: Path) -> None:
    root = write_digits(tmp_path / "photos", range(3), each=2, parts=("train", "test"))
    settings = FOLDER | {"root": str(root)}
    sizes = {split: len(find_examples(trained, settings, split, 1)) for split in (None, "test", "train", "all")}
    assert sizes == {None: 6, "test": 6, "train": 6, "all": 12}
    assert all(path.startswith("test/") for path in find_examples(trained, settings, None, 1).paths)
    with pytest.raises(InputError, match="split=val: .* has only train, test; take split=all"):
        find_examples(trained, settings, "val", 1)
    bare = write_digits(tmp_path / "bare", range(2), each=2)
    with pytest.raises(InputError, match="split=test: .* has no parts"):
        find_examples(trained, FOLDER | {"root": str(bare)}, "test", 1)


def test_other_classes_are_refused_with_both_lists(trained: Trained, tmp_path: Path) -> None:
    for name in ("7", "cat", *(f"x{i:03d}" for i in range(40))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("L", (9, 9)).save(tmp_path / "photos" / name / "1.png")
    with pytest.raises(InputError) as caught:
        find_examples(trained, FOLDER | {"root": str(tmp_path / "photos")}, None, 1)
    assert "7, cat, x000" in str(caught.value)
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in str(caught.value)
    assert "(42 in all)" in str(caught.value)
    assert len(str(caught.value)) < 600


def as_folder(run: Path, root: Path) -> Trained:
    """The run as if it had been trained on the folder."""
    settings = OmegaConf.load(run / ".hydra/config.yaml")
    settings.data = {**settings.data, "name": "folder", "root": str(root), "num_workers": 0}
    OmegaConf.save(settings, run / ".hydra/config.yaml")
    return load_trained(run)


def test_images_that_were_trained_on_are_never_taken_for_new(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_digits(tmp_path / "photos", range(10), each=5)
    trained = as_folder(run, root)
    here = tmp_path / "link"
    here.symlink_to(root)
    for place in (root, here):
        examples = find_examples(trained, FOLDER | {"root": str(place)}, None, 1)
        assert examples.own
        assert examples.split == "test"
    assert "50 test images" not in caplog.text
    assert "are not in" in caplog.text  # predictions.csv is that of digits

    write_digits(tmp_path / "photos", range(10), each=5, parts=("train",))
    for number in range(10):
        shutil.rmtree(root / str(number))
    learned = as_folder(run, root / "train")
    above = find_examples(learned, FOLDER | {"root": str(root)}, "all", 1)
    assert not above.own
    assert above.trained_on == len(above.learned.paths("train")) > 0  # type: ignore[union-attr]
    assert f"{above.trained_on} of the 50 images were trained on" in caplog.text


def test_a_checkpoint_alone_needs_data_and_says_what_is_not_known(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(run / "checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    trained = load_trained(tmp_path / "alone.ckpt")
    with pytest.raises(InputError, match="belongs to no run, .*say data=NAME"):
        find_examples(trained, {"root": None}, None, 1)
    examples = find_examples(trained, DIGITS, None, 1)
    assert (examples.split, len(examples), examples.trained_on, examples.learned) == ("all", 1797, None, None)
    assert "some of these may be among them" in caplog.text
    assert Meter(trained).precision == trained.fastest
