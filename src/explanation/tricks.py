"""Class images trick by trick: what each published one adds, from plain pixel ascent on, by another network's word."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from .. import figures
from ..analysis.intervals import wilson
from ..attribution.archive import save_arrays
from ..attribution.canvas import ClassImageSettings, Pixels, PixelsNearMean, Waves
from ..attribution.class_image import ClassImages, class_images
from ..attribution.colour import Colour, measure_colour
from ..attribution.maco import PUBLISHED, Phases, measure_magnitude
from ..data.processes import file_progress
from ..errors import InputError
from ..figures.class_image_sheets import JudgedImages
from ..figures.trick_sheets import trick_pages
from ..files import csv_line, write_text
from ..networks import row_of
from ..tables import as_text
from ..trained.checkpoint import Trained
from .classes import Judging, find_judge, real_images, sample_of, wanted_classes
from .judge import judged, statistics_distance
from .request import NO_JUDGE

log = logging.getLogger(__name__)

REAL = "real images"


@dataclass(frozen=True, eq=False)
class Way:
    """A way to make class images: what they are painted on, in the data set's colours or not, with which settings."""

    name: str
    canvas: Callable[..., Waves]
    colour: Colour | None
    settings: ClassImageSettings


def ways(sample: Tensor, steps: int | None = None) -> list[Way]:
    """Return the ways in their order: each with a `+` has all that the one before has.

    The first seven climb the same objective. Pixel ascent starts in uniform noise, all others near the mean colour, as
    waves do. `sample` are images of the data set, uint8 (N, C, S, S).
    """
    whole = ClassImageSettings() if steps is None else ClassImageSettings(steps=steps)
    smooth = replace(whole, bn=0.0)
    moved = replace(smooth, tv=0.0)
    still = replace(moved, jitter=0.0, scale=0.0, rotation=0.0, noise=0.0)
    colour = measure_colour(sample)
    phases = partial(Phases, magnitude=measure_magnitude(sample, colour))
    maco = replace(PUBLISHED, steps=whole.steps)
    return [
        Way("pixel ascent", Pixels, None, still),
        Way("+ faint start", PixelsNearMean, None, still),
        Way("+ Fourier", Waves, None, still),
        Way("+ colour", Waves, colour, still),
        Way("+ transformations", Waves, colour, moved),
        Way("+ total variation", Waves, colour, smooth),
        Way("+ batch norms", Waves, colour, whole),
        Way("MaCo", phases, colour, maco),
        Way("MaCo + batch norms", phases, colour, replace(maco, bn=whole.bn)),
    ]


def explain_tricks(
    trained: Trained,
    folder: Path,
    target: str,
    *,
    per_class: int,
    steps: int | None = None,
    judge: str | None = "train",
    data_root: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make `per_class` images of each class that `target` names in all `ways`, and have them judged.

    Write tricks.csv, tricks.png and the pictures' arrays to `folder`; return what explain.json says. The arguments are
    those of `classes.explain_classes`.
    """
    classes = wanted_classes(trained, target)
    sample = sample_of(trained, data_root)
    if sample is None:
        raise InputError(f"tricks=true needs the images of a run, and {trained.path} belongs to none: name a RUN")
    judging = find_judge(trained, judge, per_class * len(trained.class_names), data_root)
    if judging is None:
        raise InputError(NO_JUDGE)
    targets = [place for place in classes for _ in range(per_class)]
    made, rows = {}, []
    chosen = ways(sample, steps)
    for way in chosen:
        began = time.perf_counter()
        images = _make(way, trained, targets, seed)
        seconds = time.perf_counter() - began
        made[way.name] = _judged(judging, images.images, images.targets)
        rows.append(_row(way.name, judging, made[way.name]) | _own(float(images.confidences.mean()), seconds))
    made[REAL] = _judged(judging, *real_images(judging, classes, per_class))
    rows.append(_row(REAL, judging, made[REAL]) | _own(None, None))
    weak = judging.weakness
    title = f"What {trained.name} wants to see, trick by trick"
    _write(folder, made, rows, trained.class_names, title, judging.called)
    if weak is not None:
        log.warning("%s", weak)
    log.info("\nTop-1 of the judge, %s\n\n%s\n", judging.called, as_text(_table(rows)))
    return {
        "layer": row_of(trained.module.network).head,
        "target": target,
        "steps": chosen[0].settings.steps,
        "per_class": per_class,
        "tricks": rows,
        "judge": str(judging.judge.path),
        "judge_network": judging.judge.name,
        "judge_accuracy": None if np.isnan(judging.accuracy) else judging.accuracy,
        "judge_too_weak": weak is not None,
    }


def _make(way: Way, trained: Trained, targets: Sequence[int], seed: int) -> ClassImages:
    preprocessing = trained.module.hparams["preprocessing"]
    with file_progress(f"{way.name} (%)", 100) as advance:
        return class_images(
            trained.module.network,
            targets,
            **{key: preprocessing[key] for key in ("image_size", "mean", "std")},
            colour=way.colour,
            settings=way.settings,
            seed=seed,
            progress=lambda done, of: advance(100 * done // of),
            canvas=way.canvas,
        )


def _judged(judging: Judging, images: NDArray[np.uint8], targets: NDArray[np.int64]) -> JudgedImages:
    verdict = judged(judging.judge.module, images, targets)
    return JudgedImages(images, targets, verdict.predicted, verdict.confidences)


def _row(name: str, judging: Judging, group: JudgedImages) -> dict[str, Any]:
    """Return what the judge says of a way, unrounded; shares and confidences are in [0, 1]."""
    share = float((group.predicted == group.targets).mean())
    low, high = wilson(share, len(group.targets))
    distance = statistics_distance(judging.judge.module, group.images, group.targets)
    return {
        "way": name,
        "images": len(group.targets),
        "named_right": share,
        "low": low,
        "high": high,
        "judge_confidence": float(group.confidences.mean()),
        "distance": None if np.isnan(distance) else distance,
    }


def _own(confidence: float | None, seconds: float | None) -> dict[str, Any]:
    return {"own_confidence": confidence, "seconds": seconds}


def _write(
    folder: Path,
    made: Mapping[str, JudgedImages],
    rows: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    title: str,
    judge: str,
) -> None:
    write_text(folder / "tricks.csv", "".join(map(csv_line, [list(rows[0]), *(list(row.values()) for row in rows)])))
    for number, page in enumerate(trick_pages(made, class_names, title, judge), start=1):
        figures.save(page, folder / ("tricks.png" if number == 1 else f"tricks_{number}.png"))
    for name, group in made.items():
        save_arrays(
            folder / f"{name.removeprefix('+ ').replace(' + ', '_').replace(' ', '_').lower()}.npz",
            images=group.images, targets=group.targets, predicted=group.predicted, confidences=group.confidences,
        )  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("")
    for heading in ("named right", "95 % interval", "confidence", "distance", "its own", "images", "seconds"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["way"],
            f"{row['named_right']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['judge_confidence']:.2f}",
            _shown(row["distance"], ".3f"),
            _shown(row["own_confidence"], ".2f"),
            str(row["images"]),
            _shown(row["seconds"], ".0f"),
        )
    return table


def _shown(figure: float | None, digits: str) -> str:
    return "–" if figure is None else f"{figure:{digits}}"
