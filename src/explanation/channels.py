"""What excites the channels of a layer: the images that do it most, and what the channels see of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import figures
from ..attribution.archive import save_arrays
from ..attribution.deconvnet import Excitations, project, strongest
from ..attribution.methods import METHODS, Rule
from ..attribution.randomised import STATISTICS, randomised
from ..attribution.receptive_field import receptive_fields
from ..data.processes import file_progress
from ..figures.channel_sheets import deconvnet_sheet
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures

EACH = 9
"""How many images each channel is shown with."""


@dataclass(frozen=True, eq=False)
class Channels:
    """The most active channels of a layer.

    Attributes:
        excitations: What excites each of the k channels most.
        images: (k, n, C, S, S) uint8 that do.
        projections: (k, n, C, S, S), sent back to the pixels.
        fields: (k, n, 4), what the channel sees of each image.
    """

    excitations: Excitations
    images: NDArray[np.uint8]
    projections: NDArray[np.float32]
    fields: NDArray[np.int64]


def explain_channels(
    trained: Trained,
    pictures: Pictures,
    folder: Path,
    method: str,
    layer: str | None,
    channels: int,
    chosen: NDArray[np.int64],
    batch_size: int,
) -> dict[str, Any]:
    """Write sheets, pictures and arrays of a layer's most active channels over the `chosen` pictures to `folder`.

    `sheet.png` has the trained network beside a control, the same network with random weights: such maps may be mere
    edge detectors. Return what explain.json says.
    """
    network, rule = trained.module.network, cast(Rule, METHODS[method].rule)
    found = _look(trained, network, pictures, chosen, layer, channels, rule, batch_size, "Channels")
    layer = found.excitations.layer
    sample = chosen[np.unique(np.linspace(0, len(chosen) - 1, STATISTICS).round().astype(int))]
    random = randomised(network, images=_normalised(trained, pictures.take(sample)))
    control = _look(trained, random, pictures, chosen, layer, channels, rule, batch_size, "Control: random weights")
    _draw(folder, trained.name, method, found, control)
    for name, one in (("channels", found), ("control", control)):
        excitations = one.excitations
        save_arrays(
            folder / f"{name}.npz", layer=np.array(layer), channels=excitations.channels, fields=one.fields,
            images=one.images, projections=one.projections, activations=excitations.activations,
            positions=excitations.positions, names=_names(pictures, chosen, excitations),
        )  # fmt: skip
    return {
        "layer": layer,
        "rule": rule,
        "of": len(chosen),
        "left_out": [{"image": skipped.path, "reason": skipped.reason} for skipped in pictures.skipped],
        "channels": [
            {"channel": int(channel), "activations": np.round(row, 4).tolist(), "images": images}
            for channel, row, images in zip(
                found.excitations.channels,
                found.excitations.activations.astype(float),
                _names(pictures, chosen, found.excitations).tolist(),
                strict=True,
            )
        ],
    }


def _look(
    trained: Trained,
    network: nn.Module,
    pictures: Pictures,
    chosen: NDArray[np.int64],
    layer: str | None,
    channels: int,
    rule: Rule,
    batch_size: int,
    what: str,
) -> Channels:
    """Find what excites the channels of `network`, the trained one or its control."""
    with file_progress(what, len(chosen)) as advance:
        batches = (_normalised(trained, images) for images in _batches(pictures, chosen, batch_size))
        excitations = strongest(network, batches, layer, channels, EACH, progress=advance)
    images = pictures.take(chosen[excitations.images.ravel()])
    of_each = (*excitations.images.shape, *images.shape[1:])
    normalised = _normalised(trained, images).reshape(of_each)
    projections = project(network, normalised, excitations, rule, batch_size=batch_size)
    depth, height, width = images.shape[1:]
    fields = receptive_fields(network, excitations.layer, excitations.positions, (depth, height, width))
    return Channels(excitations, images.reshape(of_each).numpy(), projections, fields)


def _batches(pictures: Pictures, chosen: NDArray[np.int64], batch_size: int) -> Iterator[torch.Tensor]:
    if len(chosen) == len(pictures):
        return pictures.batches(batch_size)
    return (pictures.take(chosen[start : start + batch_size]) for start in range(0, len(chosen), batch_size))


def _normalised(trained: Trained, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return trained.module.normalise(images.to(trained.device))


def _names(pictures: Pictures, chosen: NDArray[np.int64], excitations: Excitations) -> NDArray[np.str_]:
    """Return the names (k, n) of the images."""
    return np.array(pictures.names)[chosen[excitations.images]]


def _draw(folder: Path, network: str, method: str, found: Channels, control: Channels) -> None:
    sheets = [_sheet(one, network, method, one is control, slice(None)) for one in (found, control)]
    height = max(len(sheet) for sheet in sheets)
    padded = [np.pad(sheet, ((0, height - len(sheet)), (0, 0), (0, 0)), constant_values=255) for sheet in sheets]
    figures.save_image(np.concatenate(padded, axis=1), folder / "sheet.png")
    for place, channel in enumerate(found.excitations.channels):
        one = _sheet(found, network, method, False, slice(place, place + 1))
        figures.save_image(one, folder / f"channel_{channel:04d}.png")


def _sheet(one: Channels, network: str, method: str, control: bool, part: slice) -> NDArray[np.uint8]:
    excitations = one.excitations
    figure = deconvnet_sheet(
        one.images[part],
        one.projections[part],
        one.fields[part],
        excitations.channels[part],
        excitations.activations[part],
        layer=excitations.layer,
        network=network,
        rule=method,
        control=control,
    )
    return figures.to_image(figure)
