"""Where images and labels come from: `ImageDataModule` finds, checks, divides and serves a data set."""

from .collection import Skipped
from .module import ImageDataModule

__all__ = ["ImageDataModule", "Skipped"]
