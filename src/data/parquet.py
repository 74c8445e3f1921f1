"""Pictures in Parquet files, as Hugging Face's `datasets` keeps them: a column of images, one of labels.

Their bytes lie in compressed pages, from which nobody can take one picture quickly. So they are written one after the
other into files in the cache folder, once, with an index: from then on they are members as those of shards are.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..activity import show
from ..errors import InputError, first_line
from ..files import csv_line, keep_in_use, replacing, write_text
from ..names import nfc
from .bucket_copies import ADDRESS, FOLDER, alone, make_room, opened
from .cache import cache_folder
from .layout import SPLIT_FOLDERS
from .members import COLUMNS, INDEX, Member
from .shards import find_files, split_of

log = logging.getLogger(__name__)

BESIDE = ("data", "default")
"""Folders of Hugging Face's that say nothing of a split."""

USUAL = ("label", "labels", "class", "target", "cls")
"""Columns of labels, the first that is there."""

MARK = "made_of.json"
VERSION = 1
AT_ONCE = 64  # rows
SIGNS = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tif"}


class Columns(NamedTuple):
    """The columns of pictures and labels; `names` of numbered classes, none where labels are words."""

    image: str
    label: str
    names: Sequence[str]


def find_parquet(root: Path) -> list[str]:
    """Return the Parquet files of a folder that holds no class folders, relative to it, in their order."""
    return find_files(root, ".parquet", [*SPLIT_FOLDERS, *BESIDE])


def unpacked(root: Path, files: Sequence[str], label: str | None = None) -> Path:
    """Return a folder with the pictures of Parquet files and their index; write it where it isn't there yet.

    Args:
        label: the column of the labels; None: found by name.

    Raises:
        InputError: no column of pictures or of labels, a damaged file, or no room.
    """
    cache = cache_folder()
    if cache is None:
        raise InputError(f"{root} needs a cache folder: set RESLENS_CACHE to a folder with room for it.")
    key = sha256(os.fsencode(root.resolve()) + f" {label}".encode()).hexdigest()[:16]
    folder = cache / FOLDER / key / root.resolve().name
    stats = [(root / file).stat() for file in files]
    made_of = [VERSION, *([file, stat.st_size, stat.st_mtime_ns] for file, stat in zip(files, stats, strict=True))]
    with opened(folder, str(root)), alone(folder.parent):
        keep_in_use(folder)
        os.utime(folder)
        with suppress(OSError, ValueError):
            if json.loads((folder / MARK).read_bytes()) == made_of:
                return folder
        size = sum(stat.st_size for stat in stats)
        make_room(folder, size, size, None, str(root))
        for path in list(folder.iterdir()):
            path.unlink()
        members = [member for number, file in enumerate(files) for member in _write(root, file, folder, label, number)]
        write_text(folder / INDEX, "".join(csv_line(row) for row in [COLUMNS, *_named(members)]))
        write_text(folder.parent / ADDRESS, f"{root}\n")
        write_text(folder / MARK, json.dumps(made_of))
    log.info("the pictures of %d Parquet files in %s are kept in %s: %s", len(files), root, folder, f"{len(members):,}")
    return folder


def _write(root: Path, file: str, folder: Path, label: str | None, number: int) -> Iterator[Member]:
    """Write the pictures of a Parquet file into one file; yield what the index says of them, by provisional names."""
    name, split = f"{number:05d}.images", split_of(file)
    show(f"reading {file}")
    unlabelled = 0
    with replacing(folder / name) as temporary, temporary.open("wb") as target:
        for row, (content, path, said) in enumerate(_rows(root / file, label)):
            if said is None:
                unlabelled += 1
                continue
            suffix = PurePosixPath(path or "").suffix.lstrip(".") or next(
                (suffix for sign, suffix in SIGNS.items() if content.startswith(sign)), "img"
            )
            own = PurePosixPath(path or f"{row:07d}.{suffix}").name
            below = f"{split}/" if split else ""
            yield Member(f"{below}{said.replace('/', '_')}/{own}", said, split, "", name, target.tell(), len(content))
            target.write(content)
    if unlabelled:
        log.info("%s of %s: %s pictures have no label: not used", file, root, f"{unlabelled:,}")


def _named(members: Sequence[Member]) -> Iterator[Member]:
    """Yield the members with a number in the names that several have."""
    count = Counter(member.file for member in members)
    for number, member in enumerate(members):
        if count[member.file] > 1:
            folder, _, name = member.file.rpartition("/")
            member = member._replace(file=f"{folder}/{number:07d}_{name}")
        yield member


def _rows(path: Path, label: str | None) -> Iterator[tuple[bytes, str | None, str | None]]:
    """Yield bytes, own name and class of each picture; None where it has none."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path} needs pyarrow: pip install 'reslens[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            columns = find_columns(file.schema_arrow, path, label)
            for batch in file.iter_batches(AT_ONCE, columns=[columns.image, columns.label]):
                images, labels = (batch.column(name).to_pylist() for name in (columns.image, columns.label))
                for image, said in zip(images, labels, strict=True):
                    content = image if isinstance(image, bytes | None) else image["bytes"]
                    if content is None:
                        raise InputError(
                            f"{path} names pictures and holds none: take data=table, or data with pictures"
                        )
                    own = image.get("path") if isinstance(image, dict) else None
                    yield content, own, _class_of(said, columns.names)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path} can't be read ({first_line(error)}): copy it again, or remove it") from error


def _class_of(said: Any, names: Sequence[str]) -> str | None:
    if said is None or (names and not 0 <= int(said) < len(names)):
        return None
    return nfc(names[int(said)] if names else str(said).strip()) or None


def find_columns(schema: Any, path: Path, label: str | None) -> Columns:
    """Find the columns by what Hugging Face wrote into the file, by their types and names."""
    about: dict[str, Any] = {}
    with suppress(KeyError, ValueError, TypeError):
        about = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    pictures = [name for name in schema.names if _holds_pictures(schema.field(name).type)]
    if len(pictures) != 1:
        raise InputError(
            f"{path} has {len(pictures)} columns of pictures, among {', '.join(schema.names)}: one is wanted"
        )
    classes = [name for name, kind in about.items() if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"]
    usual = [name for name in USUAL if name in schema.names]
    chosen = label or next(iter(usual or (classes if len(classes) == 1 else [])), None)
    if chosen is None or chosen not in schema.names:
        others = [name for name in schema.names if name not in pictures]
        missing = "no column of labels is known" if label is None else f"data.label={label} is no column"
        raise InputError(f"{path}: {missing}: say data.label=COLUMN, one of {', '.join(others)}")
    kind = about.get(chosen)
    names = kind.get("names") if isinstance(kind, dict) else None
    return Columns(pictures[0], chosen, [str(name) for name in names or []])


def _holds_pictures(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
