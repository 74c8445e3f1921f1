"""Folders of images: which files they hold, and what class each is of."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, nearest
from ..names import natural, nfc
from .collection import ImageCollection, Skipped
from .defects import FoundFile, scan
from .exclusion import Exclusion
from .layout import LAYOUT, look_into
from .manifest import Verdict
from .no_images import PassedOver, is_systems, kind_of

log = logging.getLogger(__name__)


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
    passed_over: PassedOver = field(default_factory=PassedOver)
    groups: Mapping[str, str] | None = None  # of files, where they are known

    def add(
        self,
        split: str,
        target: int,
        files: Sequence[FoundFile],
        skipped: Sequence[Skipped],
        passed: PassedOver | None = None,
    ) -> None:
        self.files += files
        self.targets += [target] * len(files)
        self.splits += [split] * len(files)
        self.skipped += skipped
        if passed:
            self.passed_over += passed


def list_classes(
    root: Path,
    splits: Mapping[str, str],
    *,
    classes: Sequence[str] | None = None,
    exclusion: Exclusion | None = None,
    spell: Callable[[str], str] = nfc,
) -> Listing:
    """Return all files of all splits, labelled by class names that every split shares.

    Args:
        classes: the names of those to use; None: all.
        exclusion: which files and folders are left out.
        spell: how the name of a folder becomes that of a class.

    Raises:
        InputError: fewer than two classes, a class that train lacks or that doesn't exist, two folders for one, or
            class folders without a file (all are named).
    """
    listing = Listing(root, [], list(splits))
    folders = {split: _class_folders(root, Path(folder), listing, exclusion, spell) for split, folder in splits.items()}
    if classes is not None:
        chosen = choose_classes(classes, list(folders["train"]), root / splits["train"])
        folders = {split: {name: found[name] for name in chosen if name in found} for split, found in folders.items()}
    below = {
        split: {name: _Below.look(root, folder, exclusion) for name, folder in found.items()}
        for split, found in folders.items()
    }
    if exclusion is not None:  # dog/* means dog: a class or split of which all is left out is left out itself
        left = {split: {name: one for name, one in found.items() if not one.emptied} for split, found in below.items()}
        below = {
            split: found
            for split, found in left.items()
            if found or split == "train" or not look_into(root / splits[split]).folders
        }
        listing.published = list(below)
    names = listing.class_names = list(below["train"])
    if len(names) < 2:
        raise InputError(complaint_about_classes(root / splits["train"], names, exclusion))
    empty = []
    for split, found in below.items():
        if unknown := sorted(set(found) - set(names)):
            raise InputError(f"{root / splits[split]} has classes that train lacks, {unknown}: add or remove them.")
        for name, files in found.items():
            if not files.kept:
                empty.append(f"{files.folder}{f' ({files.passed})' if files.passed else ''}")
            listing.add(split, names.index(name), files.kept, files.skipped, files.passed)
    if empty:
        raise InputError(
            f"no images in these class folders of {root}: {', '.join(empty)}: fill or remove them, or leave them out "
            "with data.exclude=[…]."
        )
    return listing


class _Below(NamedTuple):
    """What lies below a class folder; `emptied`: there were files, and all are left out."""

    folder: Path
    kept: list[FoundFile]
    skipped: list[Skipped]
    passed: PassedOver
    emptied: bool

    @classmethod
    def look(cls, root: Path, folder: Path, exclusion: Exclusion | None) -> "_Below":
        files, skipped, passed = list_files(root, folder)
        if exclusion is None:
            return cls(folder, files, skipped, passed, emptied=False)
        kept = [file for file in files if not exclusion.leaves_out(file.path)]
        skipped = [file for file in skipped if not exclusion.leaves_out(file.path)]
        return cls(folder, kept, skipped, passed, emptied=bool(files) and not kept)


def _class_folders(
    root: Path, folder: Path, listing: Listing, exclusion: Exclusion | None, spell: Callable[[str], str]
) -> dict[str, Path]:
    """Return class name → folder below `root`, sorted by the folder; say which files lie beside them."""
    level = look_into(root / folder)
    listing.passed_over += level.passed
    found: dict[str, Path] = {}
    for name in level.folders:
        below = folder / name
        if exclusion is not None and exclusion.leaves_out_folder(below.as_posix()):
            continue
        if spell(name) in found:
            both = " and ".join(ascii(path.name) for path in (found[spell(name)], below))
            raise InputError(
                f"{root / folder} holds two folders that are the same name in Unicode, {both}: put them together."
            )
        found[spell(name)] = below
    if found and level.loose:
        one = level.loose == 1
        log.info(
            "%s directly in %s %s to no class: not used", f"{level.loose:,} file{'' if one else 's'}", root / folder,
            "belongs" if one else "belong",
        )  # fmt: skip
    return found


def choose_classes(classes: Sequence[str], known: Sequence[str], folder: Path) -> list[str]:
    """Return those of the known names that were asked for, in their own order; name the nearest to an unknown one."""
    wanted = [nfc(str(name)) for name in classes]
    spelt = {nfc(name): name for name in known}
    for name in wanted:
        if name not in spelt:
            raise InputError(f"data.classes names {name!r}, no class in {folder}; nearest: {nearest(name, known)}")
    if len(set(wanted)) < 2:
        raise InputError(f"data.classes=[{','.join(wanted)}] is too few: name at least two classes")
    return [name for name in known if nfc(name) in wanted]


def complaint_about_classes(folder: Path, names: Sequence[str], exclusion: Exclusion | None) -> str:
    wanted = LAYOUT.format(root=folder)
    if exclusion is not None and (exclusion.files or exclusion.folders):
        left = f"one class only, {names[0]!r}" if names else "no class"
        return f"{exclusion} of {folder} and leaves {left}: leave out less, for at least two are needed."
    if names:
        return f"{folder} holds one class only, {names[0]!r}: at least two are needed; {wanted}."
    images = sum(entry.is_file() for entry in os.scandir(folder))
    return f"{folder} holds {images} files and no class folders: {wanted}."


def collect(
    listing: Listing, names: Mapping[str, str] | None = None, order: Callable[[str], Any] = natural
) -> ImageCollection:
    """Return the listed files that are whole images.

    `names` gives class folders readable names; `order` is the key by which classes are sorted.
    """
    return select(listing, scan(listing.root, listing.files, listing.splits), names, order)


def select(
    listing: Listing,
    verdicts: Sequence[Verdict],
    names: Mapping[str, str] | None = None,
    order: Callable[[str], Any] = natural,
) -> ImageCollection:
    """Return a collection of the files without a reason against them."""
    readable = [name if names is None else names.get(name, name) for name in listing.class_names]
    class_names = sorted(readable, key=order)
    index = np.array([class_names.index(name) for name in readable])
    good = np.array([verdict.reason is None for verdict in verdicts], dtype=bool)
    splits = np.array(listing.splits)[good]
    found = list(zip(listing.files, verdicts, strict=True))
    bad = [Skipped(file.path, verdict.reason) for file, verdict in found if verdict.reason is not None]
    paths = [file.path for file, verdict in found if verdict.reason is None]
    return ImageCollection(
        root=listing.root,
        class_names=class_names,
        targets=index[np.array(listing.targets, dtype=np.int64)[good]],
        paths=paths,
        published={split: np.flatnonzero(splits == split) for split in listing.published},
        skipped=sorted(listing.skipped + bad, key=lambda skipped: skipped.path),
        groups=None if listing.groups is None else [listing.groups[path] for path in paths],
        passed_over=listing.passed_over,
        verdicts=[verdict for verdict in verdicts if verdict.reason is None],
    )


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


def list_files(root: Path, below: Path) -> tuple[list[FoundFile], list[Skipped], PassedOver]:
    """Return the files in `root / below` and its subfolders that may be images, sorted, and what is no file or folder.

    Dot-files are left out, and so is what is known to be no image, which comes last.

    Links are followed, but no folder is entered twice, so that a loop of links ends; nor is one that contains
    `root / below`, which would bring in the images of all other classes.
    """
    files: list[FoundFile] = []
    skipped: list[Skipped] = []
    passed = PassedOver()
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
                    if is_systems(entry.name):
                        passed.folders[entry.name] += 1
                    else:
                        pending.append(folder / entry.name)
                elif kind := kind_of(entry.name):
                    passed.files[kind] += 1
                elif entry.is_file():
                    status = entry.stat()
                    files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
                else:
                    skipped.append(Skipped(path, "not a regular file" if (root / path).exists() else "broken link"))
            except OSError as error:  # a link to itself, or a file that has just gone
                skipped.append(Skipped(path, (error.strerror or "cannot be found").lower()))
    return sorted(files), skipped, passed
