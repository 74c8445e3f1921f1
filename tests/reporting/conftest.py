"""Run folders as trainings leave them, written by RunFolder itself, with figures that are made up."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from src.analysis.classification import per_class
from src.analysis.label_scores import count_labels, mean_average_precision, per_label
from src.analysis.metrics import LABEL_METRICS, METRICS
from src.runs.folder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture(scope="module")
def make_run() -> Iterator[MakeRun]:
    """`make_run(folder, "model=resnet18", "seed=2", correct=[True, False, …])`: a finished run with these overrides."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("src.runs.provenance._git_commit", lambda: None)  # a process each time
        patch.setattr("src.runs.provenance.find_version", str)  # looks through all that is installed
        patch.setattr(os, "fsync", id)  # a power cut may have these
        yield write_run


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are written, and nothing is drawn on them: it takes longer than everything else of a report."""
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)


def write_run(
    path: Path,
    *overrides: str,
    correct: Sequence[bool] | None = None,
    classes: Sequence[str] = ("cat", "dog"),
    paths: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    start: str | None = None,
    cost: Mapping[str, Any] | None = None,
    baseline: bool = True,
    python: bool = False,
    epochs: int = 3,
) -> RunFolder:
    """A finished run in `path`.

    `correct`: of each test image, whether the network is right. `paths`: of the test images. `config`: settings that
    nobody typed, dotted keys. `python`: made without Hydra's own record, so that nothing says what was typed or chosen.
    """
    typed = dict(word.lstrip("+").split("=", 1) for word in overrides)
    settings = {key: yaml.safe_load(value) for key, value in typed.items()} | dict(config or {})
    options = {key: settings.pop(key) for key in ("model", "data", "experiment") if key in settings}
    content = compose(options, settings, len(classes))
    random = np.random.default_rng([*os.fsencode(path)])
    right = np.asarray(random.random(40) < 0.7 if correct is None else correct)
    paths = [f"{i:03d}.jpg" for i in range(len(right))] if paths is None else paths
    targets = np.arange(len(right)) % len(classes)
    predicted = np.where(right, targets, (targets + 1) % len(classes))
    probabilities = np.full((len(right), len(classes)), 0.1)
    probabilities[np.arange(len(right)), predicted] = 0.6

    folder = RunFolder(path)
    folder.start(command="python -m src.train", seed=content["seed"], hardware={})
    hydra = path / ".hydra"
    hydra.mkdir()
    (hydra / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if not python:
        choices = {"model": "resnet18", "data": "pictures", "experiment": None, "hydra/launcher": "basic"} | options
        record = {"hydra": {"job": {"name": "train"}, "runtime": {"choices": choices}}}
        (hydra / "hydra.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
        (hydra / "overrides.yaml").write_text(yaml.safe_dump(list(overrides)), encoding="utf-8")
    names = [f"{split}/{figure}" for split in ("train", "val") for figure in ("loss", "accuracy")]
    folder.write_history([{"epoch": i + 1, **dict.fromkeys(names, 0.5 + i / 10), "lr": 0.1} for i in range(epochs)])
    folder.write_metrics(metrics(random, float(np.float32(right.mean())), content["seed"], epochs, baseline=baseline))
    folder.write_per_class(per_class(targets, predicted, classes))
    folder.write_predictions(paths, targets, probabilities, classes)
    folder.write_skipped([])
    if cost is not None:
        folder.write_cost(cost)
    folder.end("finished")
    if start is not None:
        edit_json(folder.record_file, start=start)
    return folder


def write_label_run(
    path: Path, *overrides: str, logits: NDArray[np.float32], targets: NDArray[np.float32], **more: Any
) -> RunFolder:
    """A finished run of several labels an image: answers `logits` to `targets`, (N, K); decided where above 0."""
    names, config = [f"label {i}" for i in range(targets.shape[1])], {"data.multilabel": True}
    folder = write_run(path, *overrides, classes=names, config=config, **more)
    said, decided_at = 1 / (1 + np.exp(-logits.astype(np.float64))), np.full(len(names), 0.5)
    counts = count_labels(said >= decided_at, targets)
    test = {name: float(row.of_counts(counts)) for name, row in LABEL_METRICS.items() if row.of_counts is not None}
    test |= {"map": mean_average_precision(said, targets), "loss": 0.25}
    kept = {key: value for key, value in folder.metrics().items() if "/" not in key}
    others = {f"{split}/{name}": 0.5 for split in ("baseline", "train", "val") for name in LABEL_METRICS}
    folder.write_metrics(kept | others | {f"test/{name}": value for name, value in test.items()})
    columns = dict.fromkeys([f"{split}/{name}" for split in ("train", "val") for name in ("loss", "map")], 0.5)
    folder.write_history([{"epoch": i + 1, **columns, "lr": 0.1} for i in range(3)])
    paths = [f"{i:03d}.jpg" for i in range(len(targets))]
    folder.write_label_predictions(paths, targets, said, decided_at, names)
    folder.write_per_class(per_label(said, targets, decided_at, names))
    return folder


def compose(options: Mapping[str, str], settings: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """What Hydra writes of a training's configuration: unresolved."""
    model, data = options.get("model", "resnet18"), options.get("data", "pictures")
    content: dict[str, Any] = {
        "seed": 1,
        "weights": None,
        "quick": False,
        "baseline": True,
        "study": None,
        "sweep": "${now:%Y-%m-%d}",
        "model": {"name": model, "num_classes": "${data.num_classes}", "weights": "${weights}"},
        "data": {
            "name": data.rstrip("8"),  # mnist8 is an option of MNIST
            "root": "data",
            "image_size": 8 if data.endswith("8") else 28,
            "num_classes": classes,
            "class_seed": "${seed}",
            "train_fraction": 1.0,
            "max_images": "${full_or_quick:null,600}",
            "folds": None,
            "fold": None,
            "augment": {"flip": True, "shift": 2},
            "multilabel": False,
        },
        "optimizer": {"name": "sgd", "lr": 0.1},
        "trainer": {"max_epochs": 3},
    }
    if model.startswith("resnet"):
        content["model"]["stem"] = "auto"
    for key, value in settings.items():
        *groups, last = key.split(".")
        node = content
        for group in groups:
            node = node[group]
        node[last] = value
    return content


def metrics(
    random: np.random.Generator, accuracy: float, seed: int, epochs: int, *, baseline: bool
) -> dict[str, float]:
    splits = ("baseline", "train", "val", "test") if baseline else ("train", "val", "test")
    figures = {f"{split}/{name}": random.random() for split in splits for name in METRICS}
    return figures | {
        "test/accuracy": accuracy,
        "best_epoch": int(random.integers(1, epochs + 1)),
        "epochs": epochs,
        "train_seconds": round(60 * random.random(), 3),
        "images_per_second": round(500 * random.random(), 2),
        "parameters": 1_000_000,
        "seed": seed,
    }


def edit_json(file: Path, **values: Any) -> None:
    """Set values in a file of a run; None takes one out."""
    content = json.loads(file.read_text()) | {key.replace("__", "/"): value for key, value in values.items()}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture
def edit() -> Callable[..., None]:
    """`edit(file, test__accuracy=0.9)` sets values in a JSON file of a run; None takes one out."""
    return edit_json
