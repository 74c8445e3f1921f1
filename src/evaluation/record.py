"""An evaluation: labelled images measured; figures with intervals and calibration, tables, pictures and record."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from .. import figures
from ..analysis.calibration import Temperature, brier_scores, fit_temperature, log_losses, reliability
from ..analysis.headline import Estimate, headline
from ..analysis.metrics import SCORES
from ..errors import InputError
from ..figures.reliability import ReliabilityBins
from ..runs.folder import RunFolder
from ..tables import as_text
from ..trained.checkpoint import Trained
from ..trained.examples import Examples, find_examples
from ..trained.logits import probabilities
from ..trained.temperature import Calibration, digest, write_calibration
from ..training.results import write_answers
from .measurement import Measured, Meter, compare
from .mistakes import mistakes_sheet, most_confident

log = logging.getLogger(__name__)

IDLE = (
    "image_size", "in_channels", "num_classes", "mean", "std", "interpolation", "augment", "val_fraction",
    "test_fraction", "folds", "fold", "train_fraction", "max_images", "imbalance", "balance", "shuffle_labels",
    "cache_features",
)  # fmt: skip
"""Settings of the data that only training uses, or that come with a checkpoint."""

ROWS = {
    "accuracy": "accuracy",
    "top5_accuracy": "top-5 accuracy",
    **{name: metric.label or metric.title for name, metric in SCORES.items()},
    "nll": "negative log-likelihood",
    "brier": "Brier score (0 to 2)",
    "ece": "calibration error (ECE)",
}


@dataclass(frozen=True)
class Scaled:
    """The temperature fitted on `images` validation images, and the figures of the evaluated images with it."""

    temperature: Temperature
    images: int
    figures: dict[str, float]


def find_request(cfg: DictConfig, trained: Trained) -> Examples:
    """Return the images that the settings ask for.

    Raises:
        InputError: there are none, or `calibrate=true` has no validation images.
    """
    if cfg.calibrate and trained.run is None:
        raise InputError(f"calibrate=true needs the validation images of a run, and {trained.path} belongs to none")
    settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    examples = find_examples(trained, settings, cfg.split, cfg.seed)
    _refuse_idle(examples.own)
    if cfg.calibrate and examples.learned is None:
        raise InputError("calibrate=true needs the run's validation images, which can't be found (see above)")
    log.info("%s", examples)
    return examples


def _refuse_idle(own: bool) -> None:
    """Raise `InputError` for a typed setting of the data that changes nothing in an evaluation."""
    idle = IDLE if not own else (*IDLE, "batch_size", "max_skipped")
    for word in HydraConfig.get().overrides.task if HydraConfig.initialized() else ():
        key = word.lstrip("+").partition("=")[0]
        if any(key == f"data.{name}" or key.startswith(f"data.{name}.") for name in idle):
            raise InputError(
                f"{word} changes nothing in an evaluation: images are cut as the checkpoint wants them, and "
                f"{'divided as in the training' if own else 'all of a split are taken'}; leave it out"
            )


def evaluate_examples(trained: Trained, examples: Examples, folder: Path, mistakes: int, seed: int) -> dict[str, Any]:
    """Measure the images, write tables and pictures to `folder`, print the figures; return what evaluate.json holds.

    `mistakes` is the most that the sheet shows, `seed` the resamples' seed.
    """
    meter = Meter(trained)
    measured = meter.measure(examples.loader(), "Evaluating", limited=examples.own)
    if len(measured.targets) < len(examples):
        log.info("the run's trainer.limit_test_batches holds here too: the first %d images", len(measured.targets))
    line = compare(trained, measured.figures, examples.split) if examples.own else None
    if line is not None:
        log.info("%s", line)
    scaled = _scale(meter, examples, measured)
    shares = probabilities(measured.logits)
    estimates = headline(measured.logits, shares, measured.targets, seed)
    _write_tables(trained, examples, measured, folder)
    _draw_reliability(trained, examples, measured, scaled, folder)
    wrong = _draw_mistakes(trained, examples, measured.targets, shares, mistakes, folder)
    _say(estimates, scaled, len(measured.targets), wrong)
    split = examples.split
    values = measured.figures | {name: one.value for name, one in estimates.items() if name not in measured.figures}
    return {
        "checkpoint": str(trained.path),
        "network": trained.name,
        "data": examples.data.source,
        "root": str(examples.data.data_root),
        "split": split,
        "own": examples.own,
        "images": len(measured.targets),
        "trained_on": examples.trained_on,
        "skipped": len(examples.data.skipped),
        "precision": meter.precision,
        "seed": seed,
        **{f"{split}/{name}": value for name, value in values.items()},
        "intervals": {f"{split}/{name}": [one.low, one.high] for name, one in estimates.items()},
        "calibration": None if scaled is None else _told(scaled, split),
        "mistakes": wrong,
    }


# Calibration ---------------------------------------------------------------------------------------------------------


def _scale(meter: Meter, examples: Examples, measured: Measured) -> Scaled | None:
    """Fit the temperature on the run's validation images and try it on the evaluated ones; None without the former."""
    if examples.learned is None:
        log.info("no temperature scaling: it needs the validation images of the run")
        return None
    val = Examples(examples.learned, "val", True, 0, examples.learned)
    same = examples.own and examples.split == "val" and len(measured.targets) == len(examples)
    there = measured if same else meter.measure(val.loader(), "Calibrating")
    found = fit_temperature(there.logits, there.targets)
    if same:
        log.info("the temperature was fitted on these very images, which flatters it")
    if found.at_bound:
        log.warning(
            "the validation images don't limit the temperature (all are right, or worse than chance): "
            "%.2f is the bound, and no calibration",
            found.value,
        )
    shares = probabilities(measured.logits, found.value)
    values = {
        "nll": float(log_losses(measured.logits, measured.targets, found.value).mean()),
        "brier": float(brier_scores(shares, measured.targets).mean()),
        "ece": reliability(shares, measured.targets).error,
    }
    return Scaled(found, len(there.targets), values)


def _told(scaled: Scaled, split: str) -> dict[str, Any]:
    found = scaled.temperature
    return {
        "temperature": found.value,
        "split": "val",
        "images": scaled.images,
        "nll_before": found.nll_before,
        "nll_after": found.nll_after,
        "at_bound": found.at_bound,
        **{f"{split}/{name}": value for name, value in scaled.figures.items()},
    }


def keep_temperature(trained: Trained, told: Mapping[str, Any]) -> None:
    """Write evaluate.json's temperature beside the checkpoint, unless it is at its bound."""
    if told["at_bound"]:
        log.warning("not kept: a temperature at its bound would make confidences less honest")
        return
    names = ("temperature", "split", "images", "nll_before", "nll_after")
    kept = Calibration(**{name: told[name] for name in names}, sha256=digest(trained.path))
    log.info("calibration  %s", write_calibration(trained.path, kept))


# Files ---------------------------------------------------------------------------------------------------------------


def _write_tables(trained: Trained, examples: Examples, measured: Measured, folder: Path) -> None:
    """Write what a run has as well: predictions.csv, per_class.csv, confusion_matrix.png, and skipped.csv if needed."""
    files, picture = RunFolder(folder), folder / "confusion_matrix.png"
    write_answers(files, picture, examples.paths, measured.targets, measured.probabilities, trained.class_names)
    if examples.data.skipped:
        files.write_skipped((skipped.path, skipped.reason) for skipped in examples.data.skipped)
        log.info("%d files left out, listed in skipped.csv", len(examples.data.skipped))


def _draw_reliability(
    trained: Trained, examples: Examples, measured: Measured, scaled: Scaled | None, folder: Path
) -> None:
    temperatures = [(1.0, "As trained")]
    if scaled is not None:
        temperatures.append((scaled.temperature.value, f"With temperature {scaled.temperature.value:.3f}"))
    panels = []
    for temperature, name in temperatures:
        bins = reliability(probabilities(measured.logits, temperature), measured.targets)
        panels.append(ReliabilityBins(name, bins.counts, bins.confidence, bins.accuracy, bins.error))
    title = f"{trained.name} on {len(measured.targets):,} {_of(examples)} images"
    figures.save(figures.reliability_diagram(panels, title), folder / "reliability.png")


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
    shown = most_confident(shares, targets, most)
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


def _of(examples: Examples) -> str:
    """Name the images in a title: `mnist test`."""
    return examples.data.source + ("" if examples.split == "all" else f" {examples.split}")


def _say(estimates: Mapping[str, Estimate], scaled: Scaled | None, images: int, wrong: int) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for column in ("value", "95 % interval", *(["calibrated"] if scaled else [])):
        table.add_column(column, justify="right")
    for name, label in ROWS.items():
        if name in estimates:
            one, after = estimates[name], scaled.figures.get(name) if scaled else None
            cells = [f"{one.value:.4f}", f"{one.low:.4f} to {one.high:.4f}", "" if after is None else f"{after:.4f}"]
            table.add_row(label, *cells[: 2 + (scaled is not None)])
    log.info("\n%s\n", as_text(table))
    if not wrong:
        log.info(
            "without a mistake the interval of the accuracy says nothing: %.4f is possible too (1 − 3 / n)",
            1 - 3 / images,
        )
    if scaled is not None:
        found = scaled.temperature
        log.info(
            "temperature  %.3f, from %d validation images, whose negative log-likelihood it takes from %.4f to %.4f",
            *(found.value, scaled.images, found.nll_before, found.nll_after),
        )
