"""One picture an image: the photograph, beside itself under the map of its predicted class, which stands above."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..attribution.cam import Attribution, class_activation_maps
from ..data.datasets import FileDataset
from ..data.images import read_as_shown
from ..data.refusal import UnreadableImageError
from ..figures.photographs import draw_photograph
from ..runs.output import picture_name
from ..trained.checkpoint import Trained
from ..trained.pictures import Pictures

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
        self,
        output: Path,
        images: torch.Tensor,
        classes: NDArray[np.int64],
        shares: NDArray[np.floating],
        paths: Sequence[tuple[int, str]],
        folder: Path | None,
    ) -> list[str]:
        """Draw images uint8 (m, C, S, S) with the evidence for `classes` (m,); return m paths relative to `output`.

        Args:
            shares: the confidence of each class (m,).
            paths: the number and the path of each image.
            folder: where the files are; None where there are none, and what the network was given is drawn.
        """
        (output / FOLDER).mkdir(exist_ok=True)
        maps = np.nan_to_num(self._maps(images, classes).maps, posinf=0, neginf=0)
        pictures = []
        for index, (number, path) in enumerate(paths):
            pixels, resize = self._photograph(None if folder is None else folder / path, images[index].numpy())
            name = self.trained.class_names[classes[index]]
            drawn = draw_photograph(pixels, maps[index], resize, name, float(shares[index]))
            file = output / FOLDER / picture_name(number, PurePosixPath(path).stem)
            Image.fromarray(drawn).save(file, compress_level=1)  # a third of the time of the usual 6
            pictures.append(f"{FOLDER}/{file.name}")
        return pictures

    def _photograph(self, path: Path | None, given: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], str]:
        """Return a picture (C, H, W) as it is in its file, or what was `given` to the network, and how that was cut."""
        geometry = self.trained.geometry
        if path is not None:
            with suppress(UnreadableImageError, OSError):  # such as a file that has gone meanwhile
                picture, _ = read_as_shown(path, geometry.in_channels, geometry.range, geometry.color)
                return np.asarray(picture).transpose(2, 0, 1), geometry.resize
        return given, "squash"

    def _maps(self, images: torch.Tensor, classes: NDArray[np.int64]) -> Attribution:
        with torch.no_grad():
            normalised = self.trained.module.normalise(images.to(self.trained.device))
        return class_activation_maps(
            self.trained.module.network, normalised, self.method, torch.from_numpy(classes), self.layer,
            batch_size=len(images),
        )  # fmt: skip


def folder_of(source: Sequence[str] | Pictures) -> Path | None:
    """Return the folder that paths are relative to; None for a data set that keeps no files."""
    if not isinstance(source, Pictures):
        return Path()
    return source.dataset.root if isinstance(source.dataset, FileDataset) else None
