"""Folders of tar shards in WebDataset's format: images and their labels one after the other in large files.

`key.jpg` and `key.cls` (or `key.json`) belong together (https://github.com/webdataset/webdataset). What `src.pack` has
written has an index beside its shards; those of others are looked through once.
"""

import json
import logging
import os
import re
import tarfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..activity import show
from ..errors import InputError
from ..files import csv_line
from ..names import natural, nfc
from .cache import cache_file, write_cache
from .collection import ImageCollection, Skipped
from .defects import FoundFile
from .exclusion import Exclusion
from .folders import Listing, choose_classes, collect
from .layout import SPLIT_FOLDERS, look_into
from .members import COLUMNS, INDEX, Member, Members, is_below, is_index, know, read_index
from .no_images import kind_of
from .splits import SPLITS

log = logging.getLogger(__name__)

CLASSES = ("classes.txt", "classnames.txt", "labels.txt")
"""Where the names of numbered classes stand, a line each."""

LABELS = ("cls", "json", "txt")
"""What holds a picture's label, the first that is there."""

MOST = 1 << 20
"""Bytes of a label."""

_SPLIT = re.compile(rf"(?:^|[-_./])({'|'.join(SPLIT_FOLDERS)})(?=[-_./\d]|$)", re.IGNORECASE)


def find_tars(root: Path) -> list[str]:
    """Return the shards of a folder, relative to it, in their order; none where it holds class folders."""
    return find_files(root, ".tar", [*SPLIT_FOLDERS])


def find_files(root: Path, suffix: str, between: Collection[str]) -> list[str]:
    """Return the files of a suffix in a folder, or in folders called `between` in it, relative to it, in their order.

    None where there are other folders, or folders below those: it is one of class folders.
    """
    try:
        if not any(name.endswith(suffix) or name.lower() in between for name in os.listdir(root)):  # noqa: PTH208
            return []
    except OSError:  # `find_splits` says it
        return []
    folders = look_into(root).folders
    if any(name.lower() not in between or look_into(root / name).folders for name in folders):
        return []
    found = [f"{at}{name}" for at in ("", *(f"{name}/" for name in folders)) for name in os.listdir(root / at)]  # noqa: PTH208
    return sorted((path for path in found if path.endswith(suffix) and "/." not in f"/{path}"), key=natural)


def find(
    root: Path,
    *,
    classes: Sequence[str] | None,
    exclusion: Exclusion | None,
    spell: Callable[[str], str],
    order: Callable[[str], Any],
) -> ImageCollection | None:
    """Return the images of a folder of shards; None where it is none. The arguments are those of a folder of classes.

    Raises:
        InputError: a shard is missing, cut short, or no tar; too few classes, or one that train lacks.
    """
    own = is_index(root / INDEX)
    tars = [] if own else find_tars(root)
    if not own and not tars:
        return None
    listed = read_index(root) if own else read_tars(root, tars)
    assert listed is not None
    members = know(root, listed)
    members.check()
    return collect(list_members(root, listed, members, classes, exclusion, spell), order=order)


def list_members(
    root: Path,
    listed: Sequence[Member],
    members: Members,
    classes: Sequence[str] | None,
    exclusion: Exclusion | None,
    spell: Callable[[str], str],
) -> Listing:
    """Return all images with the classes that every split shares."""
    kept = [one for one in listed if exclusion is None or not exclusion.leaves_out(one.file)]
    names = list(dict.fromkeys(spell(one.label) for one in kept if not one.skipped))
    if classes is not None:
        names = choose_classes(classes, names, root)
    if len(names) < 2:
        raise InputError(f"the shards in {root} hold {len(names)} class{'es' * (len(names) != 1)}: two are needed.")
    splits = {one.split for one in kept if not one.skipped} - {""}
    listing = Listing(root, names, [split for split in SPLITS if split in splits | {"train"}])
    numbers = {name: number for number, name in enumerate(names)}
    for one in kept:
        target = numbers.get(spell(one.label))
        if one.skipped:
            listing.skipped.append(Skipped(one.file, one.skipped))
        elif target is not None:
            found = members.find(one.file)
            assert found is not None
            listing.files.append(FoundFile(one.file, found[2], members.times[found[0]]))
            listing.targets.append(target)
            listing.splits.append(one.split or "train")
    known = {target for target, split in zip(listing.targets, listing.splits, strict=True) if split == "train"}
    if lacking := [name for number, name in enumerate(names) if number not in known]:
        raise InputError(
            f"the shards in {root} have no training image of {', '.join(map(repr, lacking[:8]))}: add some."
        )
    if any(one.group for one in kept):
        listing.groups = {one.file: one.group for one in kept}
    return listing


# Shards of others -----------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """What a key's files say: the picture's name, where it lies, and the label's bytes by suffix."""

    file: str
    offset: int
    size: int
    labels: dict[str, bytes]


def read_tars(root: Path, tars: Sequence[str]) -> list[Member]:
    """Return what shards without an index hold, as it was found out earlier, or by looking through them now."""
    now = [(name, *_stamp(root / name)) for name in tars]
    kept, mark = cache_file(root, "shards.csv"), cache_file(root, "shards.json")
    if kept and mark and kept.is_file() and mark.is_file():
        try:
            if json.loads(mark.read_bytes()) == [list(one) for one in now] and (listed := read_index(root)) is not None:
                return listed
        except (OSError, ValueError, InputError):
            log.info("what was known of the shards in %s is damaged: looking through them again", root)
    names = class_names(root)
    listed, seen = [], set[str]()
    for number, tar in enumerate(tars):
        show(f"looking through shards: {number} of {len(tars)}")
        split = split_of(tar)
        for sample in samples(root / tar):
            file = sample.file if sample.file not in seen else f"{tar.removesuffix('.tar')}/{sample.file}"
            seen.add(file)
            label = label_of(sample, names, split)
            if label is None:
                raise InputError(
                    f"{root / tar}: nothing says what {sample.file} shows: shards need key.cls or key.json with a "
                    f"label beside key.jpg, or a folder of the class's name before the key"
                )
            listed.append(Member(file, label, split, "", tar, sample.offset, sample.size))
    text = "".join(csv_line(row) for row in [COLUMNS, *listed])
    write_cache(kept, lambda file: file.write(os.fsencode(text)))
    write_cache(mark, lambda file: file.write(json.dumps(now).encode()))
    log.info("%d shards in %s hold %s images", len(tars), root, f"{len(listed):,}")
    return listed


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def class_names(root: Path) -> list[str]:
    """Return the names of numbered classes, where a file has them."""
    path = next((root / name for name in CLASSES if (root / name).is_file()), None)
    return [] if path is None else [nfc(line.strip()) for line in path.read_text("utf-8").splitlines() if line.strip()]


def split_of(tar: str) -> str:
    """Return the split that a shard's name or folder says; "" for none."""
    found = _SPLIT.findall(tar)
    return SPLIT_FOLDERS[found[-1].lower()] if found else ""


def samples(tar: Path) -> Iterator[Sample]:
    """Yield the pictures of a shard, in order, with what stands beside each."""
    pending: dict[str, Any] = {}
    try:
        with tarfile.open(tar, "r:") as file:
            for info in file:
                if not info.isreg() or not is_below(info.name) or "/." in f"/{info.name}":
                    continue
                folder, _, name = info.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if key != pending.get("key"):
                    if "file" in pending:
                        yield _sample(pending)
                    pending = {"key": key, "labels": {}}
                if suffix.lower() in LABELS and info.size <= MOST:
                    content = file.extractfile(info)
                    pending["labels"][suffix.lower()] = content.read() if content else b""
                elif kind_of(name) is None and "file" not in pending and suffix.lower() != "cls":
                    pending |= {"file": info.name, "offset": info.offset_data, "size": info.size}
                vars(file)["members"] = []  # or all headers stay in memory (bpo-23706)
        if "file" in pending:
            yield _sample(pending)
    except (tarfile.TarError, OSError) as error:
        raise InputError(f"{tar} can't be read as a tar ({error}): copy it again, or remove it") from error


def _sample(pending: dict[str, Any]) -> Sample:
    return Sample(pending["file"], pending["offset"], pending["size"], pending["labels"])


def label_of(sample: Sample, names: Sequence[str], split: str) -> str | None:
    """Return the class of a picture: what its label says, or else the folder of its key."""
    for suffix in LABELS:
        if suffix in sample.labels:
            text = sample.labels[suffix].decode("utf-8", "replace").strip()
            if suffix == "json":
                text = _from_json(text)
            if (suffix == "txt" and "\n" in text) or not text:
                continue
            return names[int(text)] if text.isdigit() and int(text) < len(names) else nfc(text)
    folder = PurePosixPath(sample.file).parent.name
    return folder if folder and folder.lower() != split else None


def _from_json(text: str) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    if isinstance(content, dict):
        content = next((content[key] for key in ("label", "cls", "class", "class_name") if key in content), None)
    return str(content) if isinstance(content, str | int) else ""
