"""An evaluation of two classes: curves over all thresholds, and what the chosen one does to the figures."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from .. import figures
from ..analysis.binary import Curves, Decision, Outcomes, curves_of, figures_at, outcomes
from ..analysis.headline import Estimate
from ..figures.binary_curves import BinaryLine
from ..figures.style import printable
from ..files import csv_line, write_text
from ..tables import as_text
from ..trained.decision import USUAL
from ..trained.logits import probabilities

log = logging.getLogger(__name__)

LABELS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall (sensitivity)",
    "specificity": "specificity",
    "f1": "F1",
}


def evaluate_binary(
    logits: NDArray[np.float32],
    targets: NDArray[np.int64],
    names: list[str],
    decision: Decision | None,
    temperature: float,
    folder: Path,
    title: str,
) -> dict[str, Any] | None:
    """Draw roc.png, write thresholds.csv, print the figures; return what evaluate.json holds, None of one class alone.

    Args:
        logits: (N, 2); `targets` (N,).
        decision: what was asked for; None: the last class is the positive one, at 0.5.
        temperature: of the probabilities that thresholds mean.
    """
    if len(np.unique(targets)) < 2:
        log.info("no ROC curve: all images are of one class")
        return None
    chosen = decision or Decision(1, USUAL)
    positive = names[chosen.positive]
    found = curves_of(logits, targets, chosen.positive, temperature)
    shares = probabilities(logits, temperature)
    at = {
        threshold: outcomes(Decision(chosen.positive, threshold).decide(shares), targets, chosen.positive)
        for threshold in dict.fromkeys((USUAL, chosen.threshold))
    }
    _write(found, folder / "thresholds.csv")
    marks = {f"{positive} from {threshold:g}": _place(one) for threshold, one in at.items()}
    figures.save(
        figures.binary_curves({"network": [BinaryLine(**found.parts())]}, positive, title, marks), folder / "roc.png"
    )
    areas = found.estimates()
    _say(positive, found, areas, {threshold: figures_at(one) for threshold, one in at.items()})
    return {
        "positive": positive,
        "positives": found.positives,
        "temperature": temperature,
        "threshold": chosen.threshold,
        **{name: _told(one) for name, one in areas.items()},
        "at": {
            f"{threshold:g}": {**vars(one), **{name: _told(value) for name, value in figures_at(one).items()}}
            for threshold, one in at.items()
        },
    }


def _told(one: Estimate) -> dict[str, Any]:
    return {"value": one.value, "interval": None if one.interval is None else list(one.interval), "method": one.method}


def _place(found: Outcomes) -> tuple[float, float, float]:
    called = found.hits + found.false_alarms
    return (
        found.false_alarms / (found.false_alarms + found.rejections),
        found.hits / (found.hits + found.misses),
        found.hits / called if called else 1.0,
    )


def _write(found: Curves, file: Path) -> None:
    """Write a row for each threshold that changes an answer, from the highest down."""
    rows = zip(
        found.thresholds, found.hits, found.alarms, found.precision, found.recall, found.false_positive_rate,
        strict=True,
    )  # fmt: skip
    header = ("threshold", "hits", "false_alarms", "precision", "recall", "false_positive_rate")
    lines = [csv_line([f"{at:.9g}", str(hits), str(alarms), *(f"{one:.6f}" for one in rest)])
             for at, hits, alarms, *rest in rows]  # fmt: skip
    write_text(file, csv_line(header) + "".join(lines))


def _say(positive: str, found: Curves, areas: dict[str, Estimate], at: dict[float, dict[str, Estimate]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column(f"{printable(positive)}: {found.positives:,} of {found.positives + found.negatives:,}")
    for threshold in at:
        table.add_column(f"from {threshold:g}", justify="right")
    for name, label in LABELS.items():
        table.add_row(label, *(_with_interval(one[name]) for one in at.values()))
    log.info("\n%s\n", as_text(table))
    for name, label in (("auroc", "AUROC"), ("average_precision", "average precision")):
        log.info("%s %s", label.ljust(18), _with_interval(areas[name]))


def _with_interval(one: Estimate) -> str:
    return f"{one.value:.3f} " + ("(no interval)" if one.interval is None else f"({one.low:.3f} to {one.high:.3f})")
