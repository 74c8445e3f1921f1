"""Maps of several labels an image: one for each label, of those that the network decides or of those that are true."""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from .. import figures
from ..attribution.methods import METHODS
from ..errors import InputError
from ..figures.panels import panel_sheet
from ..runs.output import picture_name
from ..trained.checkpoint import Trained
from ..trained.logits import predict
from ..trained.pictures import Pictures
from ..training.label_results import probabilities, thresholds_of
from . import image_maps
from .request import kind_of, target_of
from .targets import find_class

log = logging.getLogger(__name__)

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Which image (M,) and which label (M,) a map is of."""


def explain_labels(
    cfg: DictConfig, trained: Trained, folder: Path, pictures: Pictures, chosen: NDArray[np.int64], where: str
) -> dict[str, Any]:
    """Write the maps of the `chosen` pictures to `folder`; return what explain.json says of them."""
    images = pictures.take(chosen)
    names = [pictures.names[i] for i in chosen]
    true = None if pictures.labels is None else pictures.labels[chosen]
    said = probabilities(predict(trained, torch.split(images, cfg.batch_size)))
    rows, labels = choose_labels(target_of(cfg), trained, said, true)
    maps = image_maps.explain_images(trained, images[rows], cfg.method, labels, cfg.layer, cfg.batch_size)
    of = [names[row] for row in rows]
    ratios = pictures.ratios(chosen[rows])
    explained = image_maps.Explained(images[rows].numpy(), of, labels, maps, ratios, trained.geometry.resize)
    decided = said >= thresholds_of(trained.module)
    told = [
        {
            "image": name,
            "picture": picture_name(number, PurePosixPath(name).stem),
            "true": None if true is None else _named(true[row] == 1, trained.class_names),
            "predicted": _named(decided[row], trained.class_names),
            "explained": trained.class_names[label],
            "probability": round(float(said[row, label]), 6),
        }
        for number, (name, row, label) in enumerate(zip(of, rows, labels, strict=True))
    ]
    title = " · ".join([METHODS[cfg.method].title, trained.name, *filter(None, [maps.layer])])
    _draw(folder, explained, told, title)
    image_maps.keep(folder, explained, None)
    log.info("%d maps of %d images explained at %s", len(rows), len(names), maps.layer)
    return {
        "task": trained.module.task.name,
        "layer": maps.layer,
        "target": target_of(cfg),
        "images": where,
        "count": len(names),
        "of": len(pictures),
        "left_out": [{"image": skipped.path, "reason": skipped.reason} for skipped in pictures.skipped],
        "explained": told,
    }


def check_labels_request(cfg: DictConfig) -> None:
    """Raise `InputError` for what is explained of one class an image alone."""
    if kind_of(cfg) != "map":
        maps = ", ".join(name for name, method in METHODS.items() if method.kind == "map")
        raise InputError(f"method={cfg.method} is for one class an image; of several labels take one of {maps}")
    for name in ("faithfulness", "misclassified", "shortcuts"):
        if cfg[name]:
            raise InputError(f"{name}=true is for one class an image, and these are several labels: leave it out")


def choose_labels(target: str, trained: Trained, said: NDArray[np.float64], true: NDArray[np.float32] | None) -> Pairs:
    """Return the maps to make: of an image without a label that is wanted the likeliest; of a class by name, that one.

    `said` (N, K) are probabilities; `true` (N, K) as in `Pictures.labels`. Raise `InputError` for a class that doesn't
    exist, and for true labels that are unknown.
    """
    if target not in ("predicted", "true"):
        label = find_class(target, trained.class_names)
        return np.arange(len(said)), np.full(len(said), label, dtype=np.int64)
    if target == "true" and true is None:
        raise InputError("target=true: nothing says which labels these images have: take images=test, or predicted")
    wanted = said >= thresholds_of(trained.module) if target == "predicted" or true is None else true == 1
    without = ~wanted.any(axis=1)
    wanted[without, said[without].argmax(axis=1)] = True
    rows, labels = np.nonzero(wanted)
    return rows, labels


def _named(which: NDArray[np.bool_], class_names: Sequence[str]) -> list[str]:
    return [name for name, is_one in zip(class_names, which, strict=True) if is_one]


def _draw(folder: Path, explained: image_maps.Explained, told: Sequence[dict[str, Any]], title: str) -> None:
    """Draw a PNG a map, and `sheet.png` of the first ones."""
    rows, headings, note = image_maps.panel_rows(explained, None)
    captions = [
        f"{PurePosixPath(one['image']).name} · map of {figures.shorten(one['explained'])} {one['probability']:.2f}"
        + ("" if one["true"] is None or one["explained"] in one["true"] else " · not a true label")
        for one in told
    ]
    for row, caption, one in zip(rows, captions, told, strict=True):
        figures.save(panel_sheet([row], [caption], headings, title, note, [False]), folder / one["picture"])
    shown = min(len(rows), image_maps.ON_A_SHEET)
    more = "" if shown == len(rows) else f"The first {shown} of {len(rows)} maps. "
    sheet = panel_sheet(rows[:shown], captions[:shown], headings, title, more + note, [False] * shown)
    figures.save(sheet, folder / "sheet.png")
