"""An evaluation: labelled images measured; figures with intervals and calibration, tables, pictures and record."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from .. import figures
from ..analysis.binary import Decision
from ..analysis.calibration import reliability
from ..analysis.classification import surest_mistakes
from ..analysis.headline import Headline, sum_up
from ..analysis.honesty import Chance
from ..errors import InputError
from ..figures.reliability import ReliabilityBins
from ..runs.folder import RunFolder
from ..trained.checkpoint import Trained
from ..trained.examples import Examples, find_examples
from ..trained.logits import probabilities
from ..trained.temperature import read_calibration
from ..training.results import say_interval, write_answers
from .binary import evaluate_binary
from .copies import Copies, look_for_copies, write_copies
from .measurement import Measured, Meter, compare
from .mistakes import mistakes_sheet
from .on_screen import say
from .scaling import Scaled, by_chance, scale, told

log = logging.getLogger(__name__)

IDLE = (
    "image_size", "in_channels", "num_classes", "mean", "std", "interpolation", "decode", "resize", "range", "color",
    "augment",
    "val_fraction", "test_fraction", "folds", "fold", "split_seed", "train_fraction", "max_images", "imbalance",
    "balance", "shuffle", "shuffle_labels", "cache_features",
)  # fmt: skip
"""Settings of the data that only training uses, or that come with a checkpoint."""


def find_request(cfg: DictConfig, trained: Trained) -> Examples:
    """Return the images that the settings ask for.

    Raises:
        InputError: there are none, or `calibrate=true` has no validation images.
    """
    if cfg.calibrate and trained.run is None:
        raise InputError(f"calibrate=true needs the validation images of a run, and {trained.path} belongs to none")
    if cfg.calibrate and trained.multilabel:
        raise InputError("calibrate=true scales confidences in one class; of several labels leave it out")
    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    examples = find_examples(trained, settings, cfg.split, cfg.seed)
    _refuse_idle(examples.own)
    if cfg.calibrate and examples.learned is None:
        raise InputError("calibrate=true needs the run's validation images, which can't be found (see above)")
    log.info("%s", examples)
    return examples


def _refuse_idle(own: bool) -> None:
    """Raise `InputError` for a typed setting of the data that changes nothing in an evaluation."""
    idle = IDLE if not own else (*IDLE, "batch_size", "max_skipped", "exclude")
    for word in HydraConfig.get().overrides.task if HydraConfig.initialized() else ():
        key = word.lstrip("+").partition("=")[0]
        if any(key == f"data.{name}" or key.startswith(f"data.{name}.") for name in idle):
            raise InputError(
                f"{word} changes nothing in an evaluation: images are cut as the checkpoint wants them, and "
                f"{'divided as in the training' if own else 'all of a split are taken'}; leave it out"
            )


def evaluate_examples(
    trained: Trained,
    examples: Examples,
    folder: Path,
    mistakes: int,
    seed: int,
    *,
    copies: Literal["auto"] | bool = False,
    whole: bool = False,
    decision: Decision | None = None,
    calibrate: bool = False,
) -> dict[str, Any]:
    """Measure the images, write tables and pictures to `folder`, print the figures; return what evaluate.json holds.

    `mistakes` is the most that the sheet shows, `seed` that of the draws behind intervals, `copies` whether to look for
    copies of training images, `whole` whether to keep all probabilities, `decision` between two classes what was asked
    for, `calibrate` whether the temperature will be kept.
    """
    meter = Meter(trained)
    measured = meter.measure(examples.loader(), "Evaluating", limited=examples.own)
    images = len(measured.targets)
    if images < len(examples):
        log.info("the run's trainer.limit_test_batches holds here too: the first %d images", images)
    line = compare(trained, measured.figures, examples.split) if examples.own else None
    if line is not None:
        log.info("%s", line)
    scaled = scale(meter, examples, measured, seed)
    shares = probabilities(measured.logits)
    found = sum_up(measured.logits, shares, measured.targets, seed)
    copied = look_for_copies(examples, images, copies)
    without = None if copied is None else _without(measured, shares, copied, seed)
    _write_tables(trained, examples, measured, folder, whole=whole)
    if copied is not None and copied.found.any():
        write_copies(RunFolder(folder), copied, examples.paths)
    _draw_reliability(trained, examples, measured, found, scaled, folder)
    wrong = _draw_mistakes(trained, examples, measured.targets, shares, mistakes, folder)
    say(found, scaled, len(trained.class_names), without)
    split, binary = examples.split, None
    say_interval(found.estimates["accuracy"].value, np.bincount(measured.targets).tolist(), split, own=examples.own)
    if len(trained.class_names) == 2:
        temperature = scaled.temperature.value if calibrate and scaled else _temperature(trained)
        said = (measured.logits, measured.targets, trained.class_names)
        binary = evaluate_binary(*said, decision, temperature, folder, _title(trained, examples, measured))
    values = {name: one.value for name, one in found.estimates.items()} | measured.figures
    return {
        **told_of(trained, examples, meter, images, found.classes, seed),
        **{f"{split}/{name}": value for name, value in values.items()},
        "intervals": intervals_of(found, split),
        "interval_methods": {f"{split}/{name}": one.method for name, one in found.estimates.items()},
        "ece_by_chance": by_chance(found.chance),
        "calibration": None if scaled is None else told(scaled, split),
        "copies": None if copied is None else _copies(copied, without, split),
        "mistakes": wrong,
        "binary": binary,
    }


def _temperature(trained: Trained) -> float:
    """Return by what predict divides the logits."""
    calibration = read_calibration(trained.path)
    return 1.0 if calibration is None else calibration.temperature


def told_of(
    trained: Trained, examples: Examples, meter: Meter, images: int, classes_with_images: int, seed: int
) -> dict[str, Any]:
    """Return what evaluate.json says of network and images, whatever the task."""
    return {
        "checkpoint": str(trained.path),
        "network": trained.name,
        "data": examples.data.source,
        "root": examples.data.place,
        "split": examples.split,
        "own": examples.own,
        "images": images,
        "classes": len(trained.class_names),
        "classes_with_images": classes_with_images,
        "trained_on": examples.trained_on,
        "skipped": len(examples.data.skipped),
        "precision": meter.precision,
        "seed": seed,
    }


def intervals_of(found: Headline, split: str) -> dict[str, list[float] | None]:
    """Return the two ends of each interval; None where there is no honest one."""
    return {
        f"{split}/{name}": None if one.interval is None else list(one.interval) for name, one in found.estimates.items()
    }


# Copies ---------------------------------------------------------------------------------------------------------------


def _without(measured: Measured, shares: NDArray[np.float64], copies: Copies, seed: int) -> Headline | None:
    """Return the figures of the images that are no copies; None where none or all of them are."""
    kept = ~copies.found
    if kept.all() or not kept.any():
        return None
    return sum_up(measured.logits[kept], shares[kept], measured.targets[kept], seed)


def _copies(copies: Copies, without: Headline | None, split: str) -> dict[str, Any]:
    """Return what evaluate.json holds of copies: how many, and the figures `without` them."""
    figures = None
    if without is not None:
        values = {f"{split}/{name}": one.value for name, one in without.estimates.items()}
        figures = {"images": int((~copies.found).sum()), **values, "intervals": intervals_of(without, split)}
    near = copies.found & ~copies.exact
    return {
        "training_images": copies.trained_on,
        "exact": int(copies.exact.sum()),
        "near": int(near.sum()),
        "without": figures,
    }


# Files ---------------------------------------------------------------------------------------------------------------


def _write_tables(trained: Trained, examples: Examples, measured: Measured, folder: Path, *, whole: bool) -> None:
    """Write what a run has as well: predictions.csv, per_class.csv, confusion_matrix.png, and skipped.csv if needed."""
    files, picture = RunFolder(folder), folder / "confusion_matrix.png"
    write_answers(files, picture, examples.paths, measured.targets, measured.probabilities, trained.class_names)
    if whole:
        paths, said = examples.paths[: len(measured.targets)], (measured.logits, measured.probabilities)
        files.write_probabilities(paths, measured.targets, trained.class_names, *said)
    if examples.data.skipped:
        files.write_skipped((skipped.path, skipped.reason) for skipped in examples.data.skipped)
        log.info("%d files left out, listed in skipped.csv", len(examples.data.skipped))


def _draw_reliability(
    trained: Trained, examples: Examples, measured: Measured, found: Headline, scaled: Scaled | None, folder: Path
) -> None:
    temperatures: list[tuple[float, str, Chance]] = [(1.0, "As trained", found.chance)]
    if scaled is not None:
        value = scaled.temperature.value
        temperatures.append((value, f"With temperature {value:.3f}", scaled.chance))
    panels = [
        reliability_bins(name, probabilities(measured.logits, temperature), measured.targets, chance)
        for temperature, name, chance in temperatures
    ]
    title = _title(trained, examples, measured)
    figures.save(figures.reliability_diagram(panels, title), folder / "reliability.png")


def reliability_bins(
    name: str, shares: NDArray[np.float64], targets: NDArray[np.int64], chance: Chance
) -> ReliabilityBins:
    """Return a panel of reliability.png."""
    bins = reliability(shares, targets)
    return ReliabilityBins(name, bins.counts, bins.confidence, bins.accuracy, bins.error, (chance.low, chance.high))


def _draw_mistakes(
    trained: Trained,
    examples: Examples,
    targets: NDArray[np.int64],
    shares: NDArray[np.float64],
    most: int,
    folder: Path,
) -> int:
    """Draw mistakes.png if there are any; return how many there are in all."""
    wrong = int((shares.argmax(axis=1) != targets).sum())
    shown = surest_mistakes(shares, targets, most)
    if len(shown):
        which = "All mistakes" if len(shown) == wrong else f"The surest {len(shown)} of {wrong:,} mistakes"
        title = f"{which} · {trained.name} on {len(targets):,} {_of(examples)} images"
        try:
            figures.save(mistakes_sheet(trained, examples, shown, shares, title), folder / "mistakes.png")
        except InputError as error:  # a network without a feature map can still be evaluated
            log.warning("no mistakes.png: %s", error)
    elif most:
        log.info("no mistakes.png: there is no mistake")
    return wrong


def _title(trained: Trained, examples: Examples, measured: Measured) -> str:
    return f"{trained.name} on {len(measured.targets):,} {_of(examples)} images"


def _of(examples: Examples) -> str:
    """Name the images in a title: `mnist test`."""
    return examples.data.source + ("" if examples.split == "all" else f" {examples.split}")
