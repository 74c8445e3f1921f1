"""Folders of images: one folder a class, with or without train, val and test above them."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..names import natural
from .collection import ImageCollection, Skipped
from .defects import FoundFile, scan

# in lower case
SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
NO_CLASSES = {"__MACOSX"}  # what macOS packs into a zip
LAYOUT = "wanted is one folder a class, {root}/<class>/<image>, with or without train, val and test above the classes"


@dataclass
class Listing:
    """The files of a data set, not opened yet. `targets[i]` and `splits[i]` belong to `files[i]`."""

    root: Path
    class_names: list[str]
    published: Sequence[str]  # the names of its splits
    files: list[FoundFile] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, split: str, target: int, files: Sequence[FoundFile], skipped: Sequence[Skipped]) -> None:
        self.files += files
        self.targets += [target] * len(files)
        self.splits += [split] * len(files)
        self.skipped += skipped


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


def find_splits(root: Path) -> dict[str, str]:
    """Return split → folder below `root`, in the order train, val, test; {"train": "."} if `root` holds the classes.

    Raises:
        InputError: no such folder, splits beside other folders, two folders for one split, or splits without train.
    """
    check_root(root)
    if not root.is_dir():
        raise InputError(
            f"the data folder {str(root)!r} does not exist: set data.root; {LAYOUT.format(root='data.root')}."
        )
    folders = subfolders(root)
    named = [name for name in folders if name.lower() in SPLIT_FOLDERS]
    others = sorted(set(folders) - set(named))
    # a class may be called "train", beside a class "bus": one such folder without classes of its own is no split
    if not named or (others and len(named) == 1 and not holds_classes(root / named[0])):
        return {"train": "."}
    if others:
        raise InputError(
            f"{root} holds the splits {named} and also {others}: move these elsewhere, or rename {named} if they are "
            f"classes; {LAYOUT.format(root=root)}."
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
    return {split: found[split] for split in ("train", "val", "test") if split in found}


def holds_classes(folder: Path) -> bool:
    """Return whether at least two folders below hold files other than dot-files."""
    return sum(holds_files(folder / name) for name in subfolders(folder)) >= 2


def holds_files(folder: Path) -> bool:
    return any(not name.startswith(".") for _, _, files in os.walk(folder) for name in files)


def list_classes(root: Path, splits: Mapping[str, str]) -> Listing:
    """Return all files of all splits, labelled by class names that every split shares.

    Raises:
        InputError: fewer than two classes, a class that train lacks, or class folders without a file (all are named).
    """
    classes = {split: subfolders(root / folder) for split, folder in splits.items()}
    names = classes["train"]
    if len(names) < 2:
        raise InputError(complaint_about_classes(root / splits["train"], names))
    for split, found in classes.items():
        if unknown := sorted(set(found) - set(names)):
            raise InputError(f"{root / splits[split]} has classes that train lacks, {unknown}: add or remove them.")
    listing = Listing(root, names, list(splits))
    empty = []
    for split, folder in splits.items():
        for name in classes[split]:
            below = Path(folder, name)
            files, skipped = list_files(root, below)
            if not files:
                empty.append(str(below))
            listing.add(split, names.index(name), files, skipped)
    if empty:
        raise InputError(f"no images in these class folders of {root}: {', '.join(empty)}: fill or remove them.")
    return listing


def complaint_about_classes(folder: Path, names: Sequence[str]) -> str:
    wanted = LAYOUT.format(root=folder)
    if names:
        return f"{folder} holds one class only, {names[0]!r}: at least two are needed; {wanted}."
    images = sum(entry.is_file() for entry in os.scandir(folder))
    return f"{folder} holds {images} files and no class folders: {wanted}."


def collect(listing: Listing, names: Mapping[str, str] | None = None) -> ImageCollection:
    """Return the listed files that are whole images. `names` gives class folders readable names, which are sorted."""
    reasons = scan(listing.root, listing.files)
    return select(listing, reasons, names)


def select(listing: Listing, reasons: Sequence[str | None], names: Mapping[str, str] | None = None) -> ImageCollection:
    """Return a collection of the files without a reason against them."""
    readable = [name if names is None else names.get(name, name) for name in listing.class_names]
    class_names = sorted(readable, key=natural)
    index = np.array([class_names.index(name) for name in readable])
    good = np.array([reason is None for reason in reasons], dtype=bool)
    splits = np.array(listing.splits)[good]
    bad = [Skipped(file.path, why) for file, why in zip(listing.files, reasons, strict=True) if why is not None]
    return ImageCollection(
        root=listing.root,
        class_names=class_names,
        targets=index[np.array(listing.targets, dtype=np.int64)[good]],
        paths=[file.path for file, keep in zip(listing.files, good, strict=True) if keep],
        published={split: np.flatnonzero(splits == split) for split in listing.published},
        skipped=sorted(listing.skipped + bad, key=lambda skipped: skipped.path),
    )


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders directly below, sorted, without dot-folders. Raise `InputError` if closed."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.name not in NO_CLASSES]
    except OSError as error:
        raise InputError(f"cannot open {folder}: {error.strerror}. Check data.root and its permissions.") from error
    return sorted(name for name in names if (folder / name).is_dir())


def identity(folder: Path) -> tuple[int, int]:
    """Return what all names of one folder have in common."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def surrounding(folder: Path) -> set[tuple[int, int]]:
    """Return the folders that this one lies in, by its name and, if it is a link, by its target."""
    found = set()
    for path in {*folder.absolute().parents, *Path(os.path.realpath(folder)).parents}:
        with suppress(OSError):  # a parent may be closed to us
            found.add(identity(path))
    return found


def find_file(root: Path, path: str) -> tuple[list[FoundFile], list[Skipped]]:
    """Return a file that a list names, or why it is left out."""
    try:
        status = (root / path).stat()
    except OSError:
        return [], [Skipped(path, "missing")]
    return [FoundFile(path, status.st_size, status.st_mtime_ns)], []


def list_files(root: Path, below: Path) -> tuple[list[FoundFile], list[Skipped]]:
    """Return the files in `root / below` and its subfolders, sorted, without dot-files, and what is no file or folder.

    Links are followed, but no folder is entered twice, so that a loop of links ends; nor is one that contains
    `root / below`, which would bring in the images of all other classes.
    """
    files: list[FoundFile] = []
    skipped: list[Skipped] = []
    pending, seen = [below], surrounding(root / below)
    while pending:
        folder = pending.pop()
        try:
            found = identity(root / folder)
            if found in seen:
                continue
            seen.add(found)
            with os.scandir(root / folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            skipped.append(Skipped(folder.as_posix(), (error.strerror or "cannot be opened").lower()))
            continue
        shown = folder.as_posix()
        for entry in visible:
            path = f"{shown}/{entry.name}"
            try:
                if entry.is_dir():
                    pending.append(folder / entry.name)
                elif entry.is_file():
                    status = entry.stat()
                    files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
                else:
                    skipped.append(Skipped(path, "not a regular file" if (root / path).exists() else "broken link"))
            except OSError as error:  # a link to itself, or a file that has just gone
                skipped.append(Skipped(path, (error.strerror or "cannot be found").lower()))
    return sorted(files), skipped
