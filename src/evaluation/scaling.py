"""The temperature that the run's validation images ask for, and what it does to the evaluated ones."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..analysis.calibration import Temperature, brier_scores, fit_temperature, log_losses, reliability
from ..analysis.honesty import Chance, errors_by_chance
from ..trained.checkpoint import Trained
from ..trained.examples import Examples
from ..trained.logits import probabilities
from ..trained.temperature import Calibration, digest, write_calibration
from .measurement import Measured, Meter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scaled:
    """The temperature fitted on `images` validation images, and the figures of the evaluated images with it.

    `chance` says which calibration error an honest network with the scaled confidences would show.
    """

    temperature: Temperature
    images: int
    figures: dict[str, float]
    chance: Chance


def scale(meter: Meter, examples: Examples, measured: Measured, seed: int) -> Scaled | None:
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
            "the validation images don't limit the temperature (%s): %.2f is the bound, and no calibration",
            "the network is no surer of right answers than of wrong ones" if found.value > 1 else "all are right",
            found.value,
        )
    shares = probabilities(measured.logits, found.value)
    values = {
        "nll": float(log_losses(measured.logits, measured.targets, found.value).mean()),
        "brier": float(brier_scores(shares, measured.targets).mean()),
        "ece": reliability(shares, measured.targets).error,
    }
    return Scaled(found, len(there.targets), values, errors_by_chance(shares, values["ece"], seed))


def told(scaled: Scaled, split: str) -> dict[str, Any]:
    """Return what evaluate.json holds of the temperature."""
    found = scaled.temperature
    return {
        "temperature": found.value,
        "split": "val",
        "images": scaled.images,
        "nll_before": found.nll_before,
        "nll_after": found.nll_after,
        "at_bound": found.at_bound,
        **{f"{split}/{name}": value for name, value in scaled.figures.items()},
        "ece_by_chance": by_chance(scaled.chance),
    }


def by_chance(chance: Chance) -> dict[str, Any]:
    """Return what evaluate.json holds of the calibration errors of honest networks."""
    return asdict(chance) | {"miscalibration_shown": chance.shown}


def keep_temperature(trained: Trained, told: Mapping[str, Any]) -> None:
    """Write evaluate.json's temperature beside the checkpoint, unless it is at its bound."""
    if told["at_bound"]:
        log.warning("not kept: a temperature at its bound would make confidences less honest")
        return
    names = ("temperature", "split", "images", "nll_before", "nll_after")
    kept = Calibration(**{name: told[name] for name in names}, sha256=digest(trained.path))
    log.info("calibration  %s", write_calibration(trained.path, kept))
