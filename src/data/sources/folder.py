"""Any folder of class folders, with or without train, val and test above them, of tar shards, or of Parquet files."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...names import natural, nfc
from .. import parquet, shards
from ..collection import ImageCollection
from ..exclusion import Exclusion
from ..folders import collect, list_classes
from ..layout import find_splits
from ..members import INDEX
from ..no_images import PassedOver


def find(
    root: Path,
    *,
    download: bool,  # noqa: ARG001
    classes: int | str | Sequence[str] | None = None,
    class_order: str = "natural",
    label: str | None = None,
    exclusion: Exclusion | None = None,
) -> ImageCollection:
    """Return the images of the class folders, of tar shards, or of Parquet files.

    Args:
        classes: the names of those to use; None: all.
        class_order: "natural", their names in NFC, or "plain", as earlier versions had them: by code points.
        label: the column of the labels in Parquet files; None: found by name.
    """
    if isinstance(classes, int | str):
        raise InputError(
            f"data.classes={classes} says too little of a folder: name its classes, data.classes=[cat,dog]"
        )
    spell, order = (str, str) if class_order == "plain" else (nfc, natural)
    files = parquet.find_parquet(root)
    if label is not None and not files:
        raise InputError(f"data.label={label} is a column of tables and of Parquet files, and {root} is a folder")
    place = parquet.unpacked(root, files, label) if files else root
    packed = shards.find(place, classes=classes, exclusion=exclusion, spell=spell, order=order)
    if packed is not None:
        return packed
    splits = find_splits(root, exclusion)
    return collect(list_classes(root, splits, classes=classes, exclusion=exclusion, spell=spell), order=order)


def wanted(paths: Sequence[str]) -> list[str]:
    """Return the objects of a bucket that may be images; of one that holds none, or an index, its shards."""
    passed = PassedOver()
    images = [] if INDEX in paths else [path for path in paths if passed.may_be(path.split("/"))]
    return images or [path for path in paths if path.endswith((".tar", ".parquet")) or path in (INDEX, *shards.CLASSES)]
