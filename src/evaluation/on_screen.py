"""An evaluation on screen: its figures in a table, and in words what they show."""

import logging
from collections.abc import Mapping

from rich.table import Table

from ..analysis.headline import Estimate, Headline
from ..analysis.metrics import SCORES
from ..tables import as_text
from .scaling import Scaled

log = logging.getLogger(__name__)

OTHERS = {
    "top5_accuracy": "top-5 accuracy",
    "nll": "negative log-likelihood",
    "brier": "Brier score (0 to 2)",
    "ece": "calibration error (ECE)",
}
"""Figures that aren't in the table of metrics."""


def say(found: Headline, scaled: Scaled | None, classes: int, without: Headline | None) -> None:
    """Print the figures, calibrated too, and those `without` copies of training images, where there are any."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for column in ("value", "95 % interval", *["calibrated"] * bool(scaled), *["without copies"] * bool(without)):
        table.add_column(column, justify="right")
    for name, label in _labels(found.classes, classes).items():
        if name in found.estimates:
            one, after = found.estimates[name], scaled.figures.get(name) if scaled else None
            cells = [f"{one.value:.4f}", _between(one)]
            cells += ["" if after is None else f"{after:.4f}"] * bool(scaled)
            cells += [f"{without.estimates[name].value:.4f}"] if without else []
            table.add_row(label, *cells)
    log.info("\n%s\n", as_text(table))
    log.info("calibration error: %s", found.chance)
    if scaled is not None:
        log.info("calibrated: %s", scaled.chance)
        best = scaled.temperature
        log.info(
            "temperature  %.3f, from %d validation images, whose negative log-likelihood it takes from %.4f to %.4f",
            *(best.value, scaled.images, best.nll_before, best.nll_after),
        )


def _labels(there: int, classes: int) -> Mapping[str, str]:
    """Return what each figure is called, in the order of the rows; macro averages say of how many classes."""
    some = f"{classes} classes" if there == classes else f"{there} of {classes} classes"
    scores = {
        name: f"{row.title} (macro, {some})" if row.average == "macro" else row.label or row.title
        for name, row in SCORES.items()
    }
    first = {"accuracy": scores.pop("accuracy"), "top5_accuracy": OTHERS["top5_accuracy"]}
    return first | scores | OTHERS


def _between(one: Estimate) -> str:
    return "none" if one.interval is None else f"{one.low:.4f} to {one.high:.4f}"
