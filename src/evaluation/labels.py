"""An evaluation of several labels an image: figures with intervals, a row for each label, and its calibration."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from .. import figures
from ..analysis.calibration import BINS, bin_of
from ..analysis.label_intervals import label_intervals
from ..analysis.label_scores import calibration_errors
from ..analysis.tasks import MULTILABEL
from ..figures.reliability import ReliabilityBins
from ..runs.folder import RunFolder
from ..tables import as_text
from ..trained.checkpoint import Trained
from ..trained.examples import Examples
from ..training.label_results import probabilities, thresholds_of, write_label_answers
from .copies import look_for_copies, write_copies
from .measurement import Meter, compare
from .record import told_of

log = logging.getLogger(__name__)

METHOD = "bootstrap of images"


def evaluate_labels(
    trained: Trained,
    examples: Examples,
    folder: Path,
    mistakes: int,  # noqa: ARG001  # a sheet is for one class an image
    seed: int,
    *,
    copies: Literal["auto"] | bool = False,
    whole: bool = False,
) -> dict[str, Any]:
    """Measure the images, write tables and a picture to `folder`, print the figures; return what evaluate.json holds.

    The arguments are those of `record.evaluate_examples`.
    """
    meter = Meter(trained)
    measured = meter.measure(examples.loader(), "Evaluating", limited=examples.own)
    images, split = len(measured.targets), examples.split
    if images < len(examples):
        log.info("the run's trainer.limit_test_batches holds here too: the first %d images", images)
    line = compare(trained, measured.figures, split) if examples.own else None
    if line is not None:
        log.info("%s", line)
    said, decided_at, targets = probabilities(measured.logits), thresholds_of(trained.module), measured.targets
    errors = calibration_errors(said, targets)
    values = measured.figures | {"ece": float(np.nanmean(errors)) if not np.isnan(errors).all() else float("nan")}
    intervals = label_intervals(said, targets, decided_at, seed)
    files, paths = RunFolder(folder), examples.paths[:images]
    write_label_answers(files, paths, targets, said, decided_at, trained.class_names)
    if whole:
        files.write_probabilities(paths, targets, trained.class_names, measured.logits, said.astype(np.float32))
    if examples.data.skipped:
        files.write_skipped((skipped.path, skipped.reason) for skipped in examples.data.skipped)
    copied = look_for_copies(examples, images, copies)
    if copied is not None and copied.found.any():
        write_copies(files, copied, examples.paths)
    _draw_reliability(trained, examples, said, targets, folder)
    _say(values, intervals, trained, targets, errors)
    there = int((targets == 1).any(axis=0).sum())
    return {
        **told_of(trained, examples, meter, images, there, seed),
        "task": MULTILABEL.name,
        "unknown": int(np.isnan(targets).sum()),
        **{f"{split}/{name}": value for name, value in values.items()},
        "intervals": {f"{split}/{name}": list(ends) for name, ends in intervals.items()},
        "interval_methods": {f"{split}/{name}": METHOD for name in intervals},
        "labels": {
            name: {"threshold": float(at), "ece": None if np.isnan(error) else float(error)}
            for name, at, error in zip(trained.class_names, decided_at, errors, strict=True)
        },
        "copies": None if copied is None else {"training_images": copied.trained_on, "found": int(copied.found.sum())},
        "wrong": int(((said >= decided_at) != (targets == 1))[~np.isnan(targets)].sum()),
    }


def _draw_reliability(
    trained: Trained,
    examples: Examples,
    said: NDArray[np.float64],
    targets: NDArray[np.float32],
    folder: Path,
) -> None:
    """Draw reliability.png: all labels together, how often they are true against how probable they were said to be."""
    known = ~np.isnan(targets)
    own, true = said[known], targets[known]
    place = bin_of(own)
    counts = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        said_, there = (np.bincount(place, weights=values, minlength=BINS) / counts for values in (own, true))
    pooled = calibration_errors(own[:, None], true[:, None])[0]
    panel = ReliabilityBins("All labels together", counts, said_, there, float(pooled))
    title = f"{trained.name} on {len(targets):,} {examples.data.source} {examples.split} images"
    axes = ("share that is true", "labels")
    figures.save(figures.reliability_diagram([panel], title, axes), folder / "reliability.png")


def _say(
    values: dict[str, float],
    intervals: dict[str, tuple[float, float]],
    trained: Trained,
    targets: NDArray[np.float32],
    errors: NDArray[np.float64],
) -> None:
    """Print the figures, and which label's probabilities are furthest from the truth."""
    there = int((targets == 1).any(axis=0).sum())
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in MULTILABEL.shown.items():
        label = f"{row.title} (macro)" if row.average == "macro" else row.label or row.title
        ends = intervals.get(name)
        table.add_row(label, f"{values[name]:.4f}", "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}")
    table.add_row("calibration error, mean of the labels", f"{values['ece']:.4f}", "")
    log.info("\n%s\n", as_text(table))
    if there < len(trained.class_names):
        log.info("averages are over the %d of %d labels that some image has", there, len(trained.class_names))
    if not np.isnan(errors).all():
        worst = int(np.nanargmax(errors))
        log.info("calibration error of single labels: up to %.4f (%s)", errors[worst], trained.class_names[worst])
