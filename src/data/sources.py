"""One table from a data set's name to the function that finds it."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, nearest
from ..settings.schema.data import Data
from .collection import ImageCollection
from .file_sources import catsdogs, folder, imagenette, pets
from .folders import check_root
from .memory_sources import cifar10, digits, mnist
from .tiny_imagenet import tinyimagenet

# name → source(root, *, download, **its own options). With download=False it uses what is on the disk and never writes
# into `root`.
SOURCES: dict[str, Callable[..., ImageCollection]] = {
    "digits": digits,
    "mnist": mnist,
    "cifar10": cifar10,
    "catsdogs": catsdogs,
    "imagenette": imagenette,
    "pets": pets,
    "tinyimagenet": tinyimagenet,
    "folder": folder,
}
IN_MEMORY = {"digits", "mnist", "cifar10"}
BUNDLED = {"digits"}  # in a package: there is no folder to look at


def check_source(name: str, options: Mapping[str, Any]) -> None:
    """Raise `InputError` for a data set or an option that does not exist, or can't have this value."""
    if name not in SOURCES:
        raise InputError(f"data={name} is unknown; nearest: {nearest(name, SOURCES)}")
    known = [key for key in inspect.signature(SOURCES[name]).parameters if key not in ("root", "download")]
    for key in options:
        if key not in known:
            near = f"; nearest: {nearest(key, known)}" if known else ""
            raise InputError(f"data.{key} is no option of data={name}: remove it{near}")
    Data.read(options, "data")


def find_images(
    name: str, root: Path, *, download: bool, max_skipped: float, options: Mapping[str, Any]
) -> ImageCollection:
    """The data set, downloaded if need be and allowed.

    Raises:
        InputError: it can't be had, more than `max_skipped` of its files are unreadable, or all of a published split.
    """
    if name not in BUNDLED:
        check_root(root)
    collection = SOURCES[name](root, download=download, **options)
    bad, total = len(collection.skipped), len(collection.skipped) + len(collection.paths)
    if bad > max_skipped * total:
        first = "; ".join(f"{skipped.path} ({skipped.reason})" for skipped in collection.skipped[:3])
        raise InputError(
            f"{bad} of {total} files in {collection.root} cannot be read, more than data.max_skipped={max_skipped}: "
            f"{first}{'; …' if bad > 3 else ''}. Repair or remove them, or raise data.max_skipped."
        )
    for split, indices in collection.published.items():
        if not len(indices):
            raise InputError(f"no readable image in the {split} split of {collection.root}: add some.")
    return collection
