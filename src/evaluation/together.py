"""An evaluation of an ensemble: the figures of the mean of its networks' probabilities, beside those of each."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig
from rich.table import Table

from .. import figures
from ..analysis.headline import Estimate, Headline, sum_up
from ..errors import InputError
from ..figures.style import printable
from ..prediction.together import divided_otherwise
from ..runs.folder import RunFolder
from ..settings.check import plain
from ..tables import as_text
from ..trained.ensemble import Ensemble, together
from ..trained.examples import Examples
from ..trained.logits import probabilities
from ..training.results import say_interval, write_answers
from .measurement import Meter
from .on_screen import say
from .record import find_request, intervals_of, reliability_bins
from .scaling import by_chance

log = logging.getLogger(__name__)

OF_ONE = {"calibrate": (False,), "threshold": (None,), "positive": (None,), "copies": ("auto", False)}
"""Settings for one network, and the values that say nothing."""

COLUMNS = {"accuracy": "accuracy", "f1": "F1 (macro)", "nll": "neg. log-likelihood", "ece": "calibration error"}


def find_requests(cfg: DictConfig, ensemble: Ensemble) -> list[Examples]:
    """Return the images that the settings ask for, as each network wants them.

    Raises:
        InputError: There are none, a setting is for a single network, or one has learned from what is new to another.
    """
    for name, usual in OF_ONE.items():
        if cfg[name] not in usual:
            raise InputError(f"{name}={plain(cfg[name])} is for one run, and checkpoint names several: leave it out")
    found = [find_request(cfg, member.trained) for member in ensemble.members]
    places = [one.data.data_root.resolve() for one in found]
    if any((place, one.paths) != (places[0], found[0].paths) for place, one in zip(places, found, strict=True)):
        raise InputError(divided_otherwise(ensemble, f"split={found[0].split}", "data=folder data.root=PHOTOS"))
    return found


def evaluate_together(
    ensemble: Ensemble, requests: list[Examples], folder: Path, seed: int, *, whole: bool = False
) -> dict[str, Any]:
    """Measure the images, write tables and a picture to `folder`, print the figures; return what evaluate.json holds.

    Args:
        requests: the same images as each network wants them.
        whole: whether to keep all probabilities.
    """
    said: list[NDArray[np.float64]] = []
    targets: NDArray[np.int64] | None = None
    told = []
    for member, examples in zip(ensemble.members, requests, strict=True):
        meter = Meter(member.trained)
        measured = meter.measure(examples.loader(), f"Evaluating {printable(member.name)}", limited=examples.own)
        own = member.targets(measured.targets)
        if targets is not None and not np.array_equal(own, targets):
            raise InputError(f"{member.name} has other classes of these images, or fewer of them (limit_test_batches)")
        targets = own
        shares = probabilities(measured.logits)[:, member.order]
        said.append(shares)
        told.append((member.name, sum_up(measured.logits[:, member.order], shares, targets, seed)))
    assert targets is not None
    logits = together(said)
    shares = probabilities(logits)
    found = sum_up(logits, shares, targets, seed)
    _write(ensemble, requests[0], targets, logits, found, folder, whole=whole)
    say(found, None, len(ensemble.class_names), None)
    _say_members([*told, ("ensemble", found)])
    split = requests[0].split
    say_interval(found.estimates["accuracy"].value, np.bincount(targets).tolist(), split, own=requests[0].own)
    return {
        "members": [
            one | {"name": name, **_figures(of, split)}
            for one, (name, of) in zip(ensemble.as_dict(), told, strict=True)
        ],
        "data": requests[0].data.source,
        "root": requests[0].data.place,
        "split": split,
        "own": requests[0].own,
        "images": len(targets),
        "classes": len(ensemble.class_names),
        "classes_with_images": found.classes,
        "trained_on": max((one.trained_on for one in requests if one.trained_on is not None), default=None),
        "seed": seed,
        **_figures(found, split),
        "interval_methods": {f"{split}/{name}": one.method for name, one in found.estimates.items()},
        "ece_by_chance": by_chance(found.chance),
        "mistakes": int((logits.argmax(axis=1) != targets).sum()),
    }


def _figures(found: Headline, split: str) -> dict[str, Any]:
    values = {f"{split}/{name}": one.value for name, one in found.estimates.items()}
    return {**values, "intervals": intervals_of(found, split)}


def _write(
    ensemble: Ensemble,
    examples: Examples,
    targets: NDArray[np.int64],
    logits: NDArray[np.float64],
    found: Headline,
    folder: Path,
    *,
    whole: bool,
) -> None:
    files, names, shares = RunFolder(folder), ensemble.class_names, probabilities(logits)
    kept = shares.astype(np.float32)
    write_answers(files, folder / "confusion_matrix.png", examples.paths, targets, kept, names)
    if whole:
        files.write_probabilities(examples.paths[: len(targets)], targets, names, logits.astype(np.float32), kept)
    panel = reliability_bins("Mean of probabilities", shares, targets, found.chance)
    title = f"{len(ensemble.members)} networks on {len(targets):,} {examples.data.source} images"
    figures.save(figures.reliability_diagram([panel], title), folder / "reliability.png")


def _say_members(told: list[tuple[str, Headline]]) -> None:
    """Print a row for each network and for the ensemble, figures with their 95 % intervals."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    for name, found in told:
        table.add_row(printable(name), *(_cell(found.estimates[column]) for column in COLUMNS))
    log.info("\n%s\n", as_text(table))


def _cell(one: Estimate) -> str:
    return f"{one.value:.4f}" + ("" if one.interval is None else f" ({one.low:.3f} to {one.high:.3f})")
