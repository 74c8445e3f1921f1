"""Where images and labels come from: `ImageDataModule` finds, checks, divides and serves a data set."""

from src.data.collection import Skipped
from src.data.module import ImageDataModule

__all__ = ["ImageDataModule", "Skipped"]
