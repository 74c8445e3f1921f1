"""Tiny-ImageNet in its publisher's layout: all of its classes, or a seeded choice of them."""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import InputError
from ..collection import ImageCollection
from ..folders import Listing, collect, find_file, list_files
from ..published import PublishedZip, provide

log = logging.getLogger(__name__)

TINY_IMAGENET = PublishedZip(
    name="Tiny-ImageNet",
    # Plain http, which anyone on the way can change, and no checksum published: the MD5 that other projects check is
    # all that identifies the file.
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    folder="tiny-imagenet-200",
    digest="md5:90528d7ca1a48142e341f4ef8d21d0de",
    size=248_100_043,
    most_bytes=1_000_000_000,  # the real one has some 250 MB
)
ANNOTATIONS = "val/val_annotations.txt"

LAST_ANIMAL = "n02510455"
"""The giant panda, the last of ImageNet's 398 animals: in WordNet all of their IDs come before those of things."""


def find(
    root: Path, *, download: bool, classes: int | str | Sequence[str] | None = None, class_seed: int = 0
) -> ImageCollection:
    """Return `root/tiny-imagenet-200`. Its val is our test, because the labels of its test are not published.

    Args:
        classes: how many of the listed classes, at least 2; "animals": those that are animals; None: all.
        class_seed: which ones of a number; see `choose_classes`. Not negative.
    """
    if classes is not None and not isinstance(classes, int | str):
        raise InputError("data.classes of tinyimagenet is a number of classes, or animals: it takes no names")
    base = provide(TINY_IMAGENET, root, download=download)
    wnids = read_text(base / "wnids.txt").split()
    if len(set(wnids)) < 2:
        raise InputError(f"{base}/wnids.txt lists {len(set(wnids))} classes: remove its folder and unpack it again.")
    if not isinstance(classes, int) and class_seed:
        log.warning("data.class_seed=%d has no effect: data.classes=N says how many classes it draws", class_seed)
    if isinstance(classes, int) and classes > len(set(wnids)):
        raise InputError(
            f"data.classes={classes}, but {base} has {len(set(wnids))} of them: give fewer, or null for all."
        )
    chosen = choose_classes(wnids, classes, class_seed)
    return replace(collect(list_chosen(base, chosen)), class_names=readable_names(base / "words.txt", chosen))


def choose_classes(wnids: Sequence[str], classes: int | str | None, seed: int) -> list[str]:
    """Return the first `classes` of the WordNet IDs by the SHA-256 of "seed/wnid", sorted: their targets. None: all.

    "animals" takes those up to `LAST_ANIMAL`.

    A hash rather than a random generator, whose draws may change with the version of Python or NumPy: the choice is the
    same on every machine, whatever the order of the list, and the 10 classes of a seed are among its 25.
    """
    if isinstance(classes, str):
        return sorted(wnid for wnid in set(wnids) if wnid <= LAST_ANIMAL)
    ranked = sorted(set(wnids), key=lambda wnid: hashlib.sha256(f"{seed}/{wnid}".encode()).digest())
    return sorted(ranked[:classes])


def list_chosen(base: Path, chosen: Sequence[str]) -> Listing:
    """Return the files of the chosen classes, unopened; a target is an index into `chosen`.

    Raises:
        InputError: classes without a folder of training images, or without a line in the annotations of val.
    """
    folders = [Path("train", wnid, "images") for wnid in chosen]
    if absent := [wnid for wnid, folder in zip(chosen, folders, strict=True) if not (base / folder).is_dir()]:
        raise InputError(
            f"{base}/wnids.txt lists {', '.join(absent)}, but there is no train/{absent[0]}/images: unpack it again."
        )
    listing = Listing(base, list(chosen), ["train", "test"])
    for target, folder in enumerate(folders):
        listing.add("train", target, *list_files(base, folder))
    labels = read_annotations(base / ANNOTATIONS)
    if absent := sorted(set(chosen) - set(labels.values())):
        raise InputError(f"{base / ANNOTATIONS} names no image of {', '.join(absent)}: unpack it again.")
    if not (base / "val" / "images").is_dir():
        raise InputError(f"{base} has no val/images: unpack it again.")
    for name, wnid in labels.items():
        if wnid in chosen:
            listing.add("test", chosen.index(wnid), *find_file(base, f"val/images/{name}"))
    return listing


def read_annotations(path: Path) -> dict[str, str]:
    """Return image → WordNet ID from lines such as `val_0.JPEG n03444034 0 32 44 62`; the box is not used.

    Raises:
        InputError: a line without image and WordNet ID, a name that leads elsewhere, or an image with two labels.
    """
    labels: dict[str, str] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, wnid = [*line.split(), ""][:2]
        if not wnid or Path(name).name != name or labels.get(name, wnid) != wnid:
            raise InputError(
                f"{path} is damaged in line {number}, {line[:60]!r}: remove its folder and unpack it again."
            )
        labels[name] = wnid
    return labels


def readable_names(path: Path, wnids: Sequence[str]) -> list[str]:
    """Return each WordNet ID's first synonym, with the ID where two share it; the ID alone where none is listed.

    Lines are such as `n01443537 goldfish, Carassius auratus`, with a tab after the ID.
    """
    lines = read_text(path).splitlines() if path.is_file() else []
    words = {wnid: names.split(",")[0].strip() for wnid, _, names in (line.partition("\t") for line in lines)}
    names = [words.get(wnid) or wnid for wnid in wnids]
    shared = {name for name, count in Counter(names).items() if count > 1}
    return [f"{name} ({wnid})" if name in shared else name for name, wnid in zip(names, wnids, strict=True)]


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or damaged: remove its folder and unpack it again.") from error
