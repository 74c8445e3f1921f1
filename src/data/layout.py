"""How a folder of images is laid out: class folders at once, or train, val and test above them."""

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .exclusion import Exclusion
from .no_images import PassedOver, is_systems, kind_of

log = logging.getLogger(__name__)

# in lower case
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
LAYOUT = "wanted is one folder a class, {root}/<class>/<image>, with or without train, val and test above the classes"


class Level(NamedTuple):
    """What lies directly in a folder: the names of its folders, sorted, its files that may be images, and the rest."""

    folders: list[str]
    loose: int
    passed: PassedOver


def look_into(folder: Path) -> Level:
    """Return what lies directly in a folder, without dot-files. Raise `InputError` if it may not be opened."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"cannot open {folder}: {error.strerror}. Check data.root and its permissions.") from error
    level = Level([], 0, PassedOver())
    loose = 0
    for entry in visible:
        if not (folder / entry.name).is_dir():
            loose += kind_of(entry.name) is None
        elif is_systems(entry.name):
            level.passed.folders[entry.name] += 1
        else:
            level.folders.append(entry.name)
    return level._replace(folders=sorted(level.folders), loose=loose)


def check_root(root: Path) -> None:
    """Raise `InputError` if `root` is something other than a folder, or can't be looked at. It may be missing."""
    shown = repr(str(root) if len(str(root)) < 200 else f"{str(root)[:80]}…")
    try:
        wrong = root.exists() and not root.is_dir()
    except OSError as error:  # a name that is too long, a parent that may not be entered
        raise InputError(
            f"cannot open the data folder {shown} ({error.strerror}): set data.root to another."
        ) from error
    if wrong:
        raise InputError(f"the data folder {shown} is a file, not a folder: set data.root to the folder.")


def find_splits(root: Path, exclusion: Exclusion | None = None) -> dict[str, str]:
    """Return split → folder below `root`, in the order train, val, test; {"train": "."} if `root` holds the classes.

    A val or test without class folders is not used, and said to be.

    Raises:
        InputError: no such folder, splits beside other folders, two folders for one split, or splits without train.
    """
    check_root(root)
    if not root.is_dir():
        raise InputError(
            f"the data folder {str(root)!r} does not exist: set data.root; {LAYOUT.format(root='data.root')}."
        )
    folders = [name for name in look_into(root).folders if exclusion is None or not exclusion.leaves_out_folder(name)]
    named = [name for name in folders if name.lower() in SPLIT_FOLDERS]
    others = sorted(set(folders) - set(named))
    # a class may be called "train", beside a class "bus": one such folder without classes of its own is no split
    if not named or (others and len(named) == 1 and not holds_classes(root / named[0])):
        for name in named:
            log.info("%s is taken for a class, since it holds no class folders: data.exclude=%s leaves it out",
                     root / name, name)  # fmt: skip
        return {"train": "."}
    if others:
        raise InputError(
            f"{root} holds the splits {named} and also {others}: move these elsewhere, leave them out with "
            f"data.exclude=[{','.join(others)}], or rename {named} if they are classes; {LAYOUT.format(root=root)}."
        )
    found: dict[str, str] = {}
    for name in named:
        split = SPLIT_FOLDERS[name.lower()]
        if split in found:
            raise InputError(
                f"{root} holds both {found[split]!r} and {name!r} for the split {split}: keep one of them."
            )
        found[split] = name
    if "train" not in found:
        raise InputError(f"{root} holds {named} but no 'train': add the folder with the training images.")
    classes = look_into(root / found["train"]).folders
    return {
        split: found[split]
        for split in ("train", "val", "test")
        if split in found and (split == "train" or not _is_flat(root / found[split], split, classes))
    }


def _is_flat(folder: Path, split: str, classes: Collection[str]) -> bool:
    """Return whether a split's folder holds images without classes, as Kaggle's test sets do, and say so.

    Some put them into one folder more, because Keras wants one.
    """
    level = look_into(folder)
    if len(level.folders) > 1 or not set(level.folders).isdisjoint(classes):
        return False
    images = _count_files(folder)
    if images:
        log.info(
            "%s is not used: it holds %s and no class folders, so the %s images are taken from train; "
            "python -m src.predict checkpoint=RUN images=%s says what they show",
            folder, f"{images:,} file{'s' * (images > 1)}", "validation" if split == "val" else split, folder,
        )  # fmt: skip
    return images > 0


def holds_classes(folder: Path) -> bool:
    """Return whether at least two folders below hold files that may be images."""
    return sum(_count_files(folder / name, enough=1) for name in look_into(folder).folders) >= 2


def _count_files(folder: Path, enough: int | None = None) -> int:
    """Count the files below that may be images, up to `enough`."""
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_systems(name)]
        count += sum(not name.startswith(".") and kind_of(name) is None for name in files)
        if enough is not None and count >= enough:
            return enough
    return count
