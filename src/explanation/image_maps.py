"""Maps of images: where each image holds the evidence for a class, as pictures, arrays and entries of explain.json."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import figures
from ..attribution.archive import save_arrays
from ..attribution.cam import Attribution, class_activation_maps
from ..attribution.guided import PixelAttribution, pixel_attribution
from ..attribution.methods import METHODS
from ..data.processes import file_progress
from ..errors import InputError
from ..figures.heat_maps import panel_size
from ..figures.panels import Panel, heat_panels, panel_sheet, signed_panels
from ..figures.proportions import as_photograph
from ..runs.output import picture_name
from ..trained.checkpoint import Trained
from ..trained.logits import predict, probabilities
from ..trained.pictures import UNKNOWN, Pictures

SIDE = 168
"""Pixels of an image's longer side on a sheet."""

ON_A_SHEET = 64

Maps = Attribution | PixelAttribution


@dataclass(frozen=True, eq=False)
class Explained:
    """Images with what is known and said about them.

    Attributes:
        images: uint8 (N, C, S, S).
        names: N of them.
        targets: (N,) the true classes, or `UNKNOWN`.
        maps: What `explain_images` returned for them.
        ratios: Width to height of the photographs that the squares were made of; None: they are shown as they are.
        resize: How they were made, as `data.resize`.
    """

    images: NDArray[np.uint8]
    names: list[str]
    targets: NDArray[np.int64]
    maps: Maps
    ratios: Sequence[float] | None = None
    resize: str = "crop"


def explain_images(
    trained: Trained,
    images: torch.Tensor,
    method: str,
    targets: NDArray[np.int64] | None,
    layer: str | None,
    batch_size: int = 32,
    network: nn.Module | None = None,
) -> Maps:
    """Explain uint8 images (N, C, S, S) for the classes `targets` (N,), by default the predicted ones.

    `network` is by default that of `trained`; a control with the same input can take its place.
    """
    classes = None if targets is None else torch.from_numpy(targets)
    explain: Callable[..., Maps] = class_activation_maps if METHODS[method].kind == "map" else pixel_attribution
    with file_progress(METHODS[method].title, len(images)) as advance, torch.no_grad():
        normalised = trained.module.normalise(images.to(trained.device))
        return explain(
            network or trained.module.network,
            normalised,
            method,
            classes,
            layer,
            batch_size=batch_size,
            progress=advance,
        )


def find_wrong(trained: Trained, pictures: Pictures, batch_size: int) -> NDArray[np.int64]:
    """Return the indices of the images that the network misclassifies.

    Raise `InputError` where no true class is known, and where the network makes no mistake.
    """
    known = pictures.targets != UNKNOWN
    if not known.any():
        raise InputError(
            "misclassified=true: nothing says what the images show; put them into folders named after their classes, "
            "or take images=test"
        )
    with file_progress("Looking for mistakes", len(pictures)) as advance:
        logits = predict(trained, pictures.batches(batch_size), advance)
    wrong = np.flatnonzero(known & (logits.argmax(axis=1) != pictures.targets))
    if not len(wrong):
        raise InputError(f"misclassified=true: all {known.sum()} images are classified correctly; leave it out")
    return wrong


# Pictures ------------------------------------------------------------------------------------------------------------


def draw(folder: Path, explained: Explained, others: Maps | None, class_names: Sequence[str], title: str) -> None:
    """Draw a PNG an image, and `sheet.png` of the first ones.

    `others` are the maps of the true classes or, for pixels, those of the control, where they were made.
    """
    rows, headings, note = panel_rows(explained, others)
    captions, wrong = _captions(explained, class_names)
    with file_progress("Drawing", len(rows)) as advance:
        for i, (row, name) in enumerate(zip(rows, _pictures(explained), strict=True)):
            figure = panel_sheet([row], [captions[i]], headings, title, note, [wrong[i]])
            figures.save(figure, folder / name)
            advance(i + 1)
    shown = min(len(rows), ON_A_SHEET)
    more = "" if shown == len(rows) else f"The first {shown} of {len(rows)} images. "
    sheet = panel_sheet(rows[:shown], captions[:shown], headings, title, more + note, wrong[:shown])
    figures.save(sheet, folder / "sheet.png")


def _pictures(explained: Explained) -> list[str]:
    """Return a file name for each image."""
    return [picture_name(number, PurePosixPath(name).stem) for number, name in enumerate(explained.names)]


def panel_rows(explained: Explained, others: Maps | None) -> tuple[list[list[Panel]], list[str], str]:
    """Return the panels of each image, the headings above them, and a note on how they are scaled."""
    rows, headings, note = _squares(explained, others)
    if explained.ratios is not None:
        shapes = zip(rows, explained.ratios, strict=True)
        rows = [[as_photograph(panel, ratio, explained.resize) for panel in row] for row, ratio in shapes]
    return rows, headings, note


def _squares(explained: Explained, others: Maps | None) -> tuple[list[list[Panel]], list[str], str]:
    images, maps = explained.images, explained.maps
    size = panel_size(images.shape[2:], SIDE)
    if isinstance(maps, PixelAttribution):
        sets = [maps, *([others] if isinstance(others, PixelAttribution) else [])]
        signed = [signed_panels(one.pixels.sum(axis=1), size) for one in sets]
        rows = [[*heat_panels(image, [], size), *panels] for image, *panels in zip(images, *signed, strict=True)]
        return (
            rows,
            ["image", "pixels that count", "control: random weights"][: 1 + len(sets)],
            (
                "Red: brighter here raises the class's logit, as the rule counts it; blue: darker does. "
                "Each map is scaled symmetrically about zero (99.5 % of its pixels are within the scale)."
            ),
        )
    if not isinstance(others, Attribution):
        heats = figures.scale_maps(maps.maps, size)
        rows = [heat_panels(image, [heat], size) for image, heat in zip(images, heats, strict=True)]
        return rows, ["image", "where the evidence is"], "Each map is scaled to its own maximum." + dark_note(maps)
    difference = signed_panels(figures.upsample(maps.maps - others.maps, size), size)
    rows = []
    for image, ours, theirs, panel in zip(images, maps.maps, others.maps, difference, strict=True):
        both = figures.upsample(np.maximum(np.stack([ours, theirs]), 0), size)
        heats = both / (both.max() or 1)
        rows.append([*heat_panels(image, [heats[0], heats[1]], size), panel])
    return (
        rows,
        ["image", "predicted class", "true class", "difference"],
        (
            "The two maps of an image share one scale. Difference: red speaks for the predicted class, blue for the "
            "true one; each is scaled symmetrically about zero." + dark_note(maps, others)
        ),
    )


def dark_note(*sets: Attribution) -> str:
    """Return a sentence on maps without positive evidence, which are dark; nothing where there are none."""
    count = sum(not raw.max() > 0 for one in sets for raw in one.maps)
    return f" {count} {'map is' if count == 1 else 'maps are'} dark: no positive evidence." if count else ""


def _captions(explained: Explained, class_names: Sequence[str]) -> tuple[list[str], list[bool]]:
    maps = explained.maps
    captions, wrong = [], []
    confidences = probabilities(maps.logits).max(axis=1)
    for name, target, predicted, confidence, explains in zip(
        explained.names, explained.targets, maps.logits.argmax(axis=1), confidences, maps.targets, strict=True
    ):
        said = figures.shorten(class_names[predicted])
        bad = bool(target not in (UNKNOWN, predicted))
        true = f"{'✗ ' if bad else ''}true {figures.shorten(class_names[target])}" if target != UNKNOWN else name
        other = f" · map of {figures.shorten(class_names[explains])}" if explains != predicted else ""
        captions.append(f"{figures.shorten(true, 44)} · predicted {said} {confidence:.2f}{other}")
        wrong.append(bad)
    return captions, wrong


# Arrays and figures --------------------------------------------------------------------------------------------------


def keep(folder: Path, explained: Explained, others: Maps | None) -> None:
    """Write `maps.npz`: the raw arrays, with everything needed to draw them again."""
    maps = explained.maps
    raw = {"pixels": maps.pixels} if isinstance(maps, PixelAttribution) else {"maps": maps.maps}
    if isinstance(others, Attribution):
        raw["true_maps"] = others.maps
    if isinstance(others, PixelAttribution):
        raw["control_pixels"] = others.pixels
    save_arrays(
        folder / "maps.npz", **raw, logits=maps.logits, explained=maps.targets, targets=explained.targets,
        layer=np.array(maps.layer or ""), names=np.array(explained.names), images=explained.images,
    )  # fmt: skip


def describe(explained: Explained, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return an entry for each image of explain.json."""
    maps = explained.maps
    shares = probabilities(maps.logits)
    return [
        {
            "image": name,
            "picture": picture,
            "true": None if target == UNKNOWN else class_names[target],
            "predicted": class_names[int(row.argmax())],
            "confidence": round(float(row.max()), 6),
            "explained": class_names[explains],
            "probability": round(float(row[explains]), 6),
        }
        for name, picture, target, row, explains in zip(
            explained.names, _pictures(explained), explained.targets, shares, maps.targets, strict=True
        )
    ]
