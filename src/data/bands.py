"""Pictures of any number of bands, which Pillow doesn't have: each is a grey picture, and all are treated alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Bands:
    """What this project asks of a picture, done to every band."""

    bands: Sequence[Image.Image]

    @property
    def size(self) -> tuple[int, int]:
        return self.bands[0].size

    @property
    def width(self) -> int:
        return self.size[0]

    @property
    def height(self) -> int:
        return self.size[1]

    def resize(self, *arguments: Any, **options: Any) -> "Bands":
        return self.each(lambda band: band.resize(*arguments, **options))

    def crop(self, box: tuple[int, int, int, int]) -> "Bands":
        return self.each(lambda band: band.crop(box))

    def transpose(self, method: Image.Transpose) -> "Bands":
        return self.each(lambda band: band.transpose(method))

    def each(self, work: Callable[[Image.Image], Image.Image]) -> "Bands":
        return Bands([work(band) for band in self.bands])


Picture = Image.Image | Bands


def each(picture: Picture, work: Callable[[Image.Image], Image.Image]) -> Picture:
    """Do something to a picture, or to every band of one."""
    return picture.each(work) if isinstance(picture, Bands) else work(picture)
