"""From a data set to tar shards in WebDataset's format (https://github.com/webdataset/webdataset), and their index."""

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..data.collection import ImageCollection
from ..data.datasets import complaint
from ..data.members import COLUMNS, INDEX, Member, opened
from ..data.processes import file_progress
from ..data.splits import SPLITS
from ..errors import InputError, RunError
from ..files import csv_line, write_text
from .destination import Destination

CLASSES = "classes.txt"
"""The names of the classes, a line each: `key.cls` is the number of a line, from 0."""


def check_packable(found: ImageCollection, source: str) -> None:
    """Raise `InputError` for images that are no files, or have several labels."""
    if found.images is not None:
        raise InputError(f"data={source} holds its images in memory: there are no files to pack; nothing is gained")
    if found.targets.ndim > 1:
        raise InputError("data.multilabel=true: shards hold one class an image; train from the files and their table")


def write_shards(found: ImageCollection, destination: Destination, most: int, seed: int) -> dict[str, Any]:
    """Write all images, byte by byte as they are, and the index; return their number, that of the shards, and bytes.

    In the shards they stand in an order by chance, as readers want them that read shards from their beginning. The
    index has the order of the data set, so that a training on the shards is that on the files.

    Args:
        most: bytes of a shard. One image may take more.
        seed: of the order.
    """
    splits = {split: indices for split in SPLITS if len(indices := found.published.get(split, np.array([])))}
    rows: dict[int, Member] = {}
    used: set[str] = set()
    shards = total = 0
    with file_progress("Packing images", len(found.paths)) as advance:
        for split, indices in splits.items():
            named = split if len(splits) > 1 else ""
            order = np.random.default_rng((seed, SPLITS.index(split))).permutation(indices).tolist()
            for shard, places in enumerate(parts(found, order, most)):
                name = f"{named or 'shard'}-{shard:06d}.tar"
                with tarfile.open(destination.folder / name, "x", format=tarfile.PAX_FORMAT) as tar:
                    for place in places:
                        rows[place] = add(tar, found, place, used)._replace(split=named, shard=name)
                        advance(len(rows))
                total += (destination.folder / name).stat().st_size
                destination.done(name)
                shards += 1
    listed = [*(rows[place] for place in range(len(found.paths))), *(
        Member(file.path, "", "", "", "", 0, 0, file.reason) for file in found.skipped
    )]  # fmt: skip
    write_text(destination.folder / CLASSES, "".join(f"{name}\n" for name in found.class_names))
    destination.done(CLASSES)
    write_text(destination.folder / INDEX, "".join(csv_line(row) for row in [COLUMNS, *listed]))
    destination.done(INDEX)
    return {"images": len(rows), "skipped": len(found.skipped), "shards": shards, "bytes": total}


def parts(found: ImageCollection, order: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the images of each shard."""
    part: list[int] = []
    taken = 0
    for place in order:
        size = 0
        with suppress(OSError), opened(found.root / found.paths[place]) as file:
            size = file.seek(0, io.SEEK_END) + 3 * tarfile.BLOCKSIZE
        if part and taken + size > most:
            yield part
            part, taken = [], 0
        part.append(place)
        taken += size
    if part:
        yield part


def add(tar: tarfile.TarFile, found: ImageCollection, place: int, used: set[str]) -> Member:
    """Write an image and its class; return what is known of it and where it lies."""
    path, target = found.paths[place], int(found.targets[place])
    try:
        with opened(found.root / path) as file:
            content = file.read()
    except OSError as error:
        raise RunError(complaint(Path(found.root, path), error)) from error
    key, suffix = key_of(path, used)
    offset = put(tar, f"{key}.{suffix}", content)
    put(tar, f"{key}.cls", str(target).encode())
    group = "" if found.groups is None else found.groups[place]
    return Member(path, found.class_names[target], "", group, "", offset, len(content))


def key_of(path: str, used: set[str]) -> tuple[str, str]:
    """Return what WebDataset calls an image, a name without dots that nothing else has, and its suffix."""
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, "img"
    stem = re.sub(r"^$", "_", stem.replace(".", "_"))
    below = f"{folder}/" if folder else ""
    key, number = f"{below}{stem}", 1
    while key in used:
        number += 1
        key = f"{below}{stem}_{number}"
    used.add(key)
    return key, suffix


def put(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Write a file that has nothing of this machine or hour; return where its bytes begin."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    begin = tar.offset + len(info.tobuf(tar.format, tar.encoding or "utf-8", tar.errors or "surrogateescape"))
    tar.addfile(info, io.BytesIO(content))
    return begin
