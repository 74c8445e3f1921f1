"""One picture an image, quickly: what the network was given, beside the map of its predicted class."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..attribution.cam import Attribution, class_activation_maps
from ..figures import scale_maps
from ..figures.heat_maps import panel_size
from ..figures.panels import heat_panels
from ..runs.output import picture_name
from ..trained.checkpoint import Trained

SIDE = 224
"""Pixels of each of the two panels' longer side."""
GAP = 4
FOLDER = "overlays"


class Overlays:
    """Draws by one method at one layer.

    Raises:
        InputError: The network does not have the layer; the constructor tries it on a blank image.
    """

    def __init__(self, trained: Trained, method: str, layer: str | None) -> None:
        self.trained = trained
        self.method = method
        geometry = trained.geometry
        blank = torch.zeros(1, geometry.in_channels, geometry.image_size, geometry.image_size, dtype=torch.uint8)
        self.layer = layer
        self.layer = self._maps(blank, np.zeros(1, np.int64)).layer

    def draw(
        self, output: Path, images: torch.Tensor, classes: NDArray[np.int64], names: Iterable[tuple[int, str]]
    ) -> list[str]:
        """Draw images uint8 (m, C, S, S) with the evidence for `classes` (m,); return m paths relative to `output`.

        Args:
            names: the number and file name of each image.
        """
        folder = output / FOLDER
        folder.mkdir(exist_ok=True)
        maps = np.nan_to_num(self._maps(images, classes).maps, posinf=0, neginf=0)
        pixels = images.numpy()
        size = panel_size(pixels.shape[2:], SIDE)
        pictures = []
        for image, heat, (number, name) in zip(pixels, scale_maps(maps, size), names, strict=True):
            picture, overlay = heat_panels(image, [heat], size)
            gap = np.full((len(picture), GAP, 3), 255, np.uint8)
            file = folder / picture_name(number, PurePosixPath(name).stem)
            # Level 1 takes a third of the time of the usual 6
            Image.fromarray(np.concatenate([picture, gap, overlay], axis=1)).save(file, compress_level=1)
            pictures.append(f"{FOLDER}/{file.name}")
        return pictures

    def _maps(self, images: torch.Tensor, classes: NDArray[np.int64]) -> Attribution:
        with torch.no_grad():
            normalised = self.trained.module.normalise(images.to(self.trained.device))
        return class_activation_maps(
            self.trained.module.network, normalised, self.method, torch.from_numpy(classes), self.layer,
            batch_size=len(images),
        )  # fmt: skip
