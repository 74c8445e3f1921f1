"""Whether given weights have learned from the images of a search: its test would then say too much of them."""

from contextlib import suppress

from omegaconf import DictConfig

from ..data import ImageDataModule
from ..data.splits import SPLITS
from ..errors import InputError, RunError
from ..trained.checkpoint import find_checkpoint
from ..trained.examples import count_trained_on
from ..trained.pictures import open_data

OF_IMAGENET = ("imagenette", "tinyimagenet")
"""Data sets whose images are from ImageNet."""


def origin_of(cfg: DictConfig, data: ImageDataModule) -> dict[str, str]:
    """Say of weights that were trained on images of this data set how many of these are tested here."""
    said = None
    if cfg.weights == "imagenet" and cfg.data.name in OF_IMAGENET:
        said = "trained on ImageNet, which these images are from: the figures are too good"
    elif cfg.weights is not None:
        with suppress(InputError, RunError, OSError):  # nothing is known of their images
            _, run = find_checkpoint(str(cfg.weights), "weights")
            if run is not None:
                own = open_data(run)
                counts = {split: count_trained_on(data, split, own) for split in SPLITS}
                if counts["test"]:
                    said = f"trained on {counts['test']:,} of these test images, too: the figures are too good"
                elif any(counts.values()):
                    said = "trained on images of this data set, but on none that is tested here"
    return {} if said is None else {"weights_of_these_images": f"The weights were {said}."}
