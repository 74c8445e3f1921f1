"""The table of data sets: a row says how one is found. Its file here and conf/data/NAME.yaml are all else it needs."""

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError, nearest
from ...settings.schema.data import Data
from ...urls import is_url
from ..bucket_copies import Wanted, below, copied
from ..collection import ImageCollection, Skipped
from ..columns import NONE
from ..exclusion import Exclusion
from ..groups import match_groups
from ..images import COLOURS, UNFITTING, reason_against_bands
from ..layout import check_root
from . import catsdogs, cifar10, cifar100, digits, folder, imagenette, mnist, pets, table, tinyimagenet

log = logging.getLogger(__name__)

EVERYWHERE = ("root", "download", "exclusion")
"""Arguments of `find` that are no options of a data set's own."""


class Source(NamedTuple):
    """How a data set is found.

    Attributes:
        find: find(root, *, download, **its own options). Without `download` it uses what is on the disk and never
            writes into `root`. With an argument `exclusion` it doesn't even look at what is left out.
        in_memory: whether it returns its images as one tensor, not as paths of files.
        bundled: whether it comes in a package, so that there is no folder to look at.
        wanted: chooses among the paths of all objects in a bucket those whose bytes are needed; None where `root` may
            be no bucket.
    """

    find: Callable[..., ImageCollection]
    in_memory: bool = False
    bundled: bool = False
    wanted: Wanted | None = None

    @property
    def options(self) -> list[str]:
        """The names of its own options, such as `target` of pets."""
        return [name for name in inspect.signature(self.find).parameters if name not in EVERYWHERE]


SOURCES = {
    "digits": Source(digits.find, in_memory=True, bundled=True),
    "mnist": Source(mnist.find, in_memory=True),
    "cifar10": Source(cifar10.find, in_memory=True),
    "cifar100": Source(cifar100.find, in_memory=True),
    "catsdogs": Source(catsdogs.find),
    "imagenette": Source(imagenette.find),
    "pets": Source(pets.find),
    "tinyimagenet": Source(tinyimagenet.find),
    "folder": Source(folder.find, wanted=folder.wanted),
    "table": Source(table.find, wanted=table.wanted),
}


def check_source(name: str, options: Mapping[str, Any], root: Path | str | None = None) -> None:
    """Raise `InputError` for a data set or an option that does not exist, or can't have this value."""
    if not isinstance(name, str) or name not in SOURCES:
        raise InputError(f"data={name} is unknown; nearest: {nearest(str(name), SOURCES)}")
    known = SOURCES[name].options
    if is_url(root) and SOURCES[name].wanted is None:
        may = " and ".join(f"data={other}" for other, source in SOURCES.items() if source.wanted)
        raise InputError(f"data={name} can't be read from {root}: {may} can; copy it to a folder")
    for key in options:
        if key not in known:
            near = f"; nearest: {nearest(key, known)}" if known else ""
            raise InputError(f"data.{key} is no option of data={name}: remove it{near}")
    Data.read(options, "data")


def find_images(
    name: str,
    root: Path | str,
    *,
    download: bool,
    max_skipped: float,
    options: Mapping[str, Any],
    group: str | None = None,
    exclude: str | Sequence[str] | None = None,
    in_channels: int = 3,
    trained: bool = False,
    copy_limit: float | None = None,
) -> ImageCollection:
    """Return the data set, downloaded if necessary and allowed, without what `exclude` names (see `Exclusion`).

    Args:
        root: its folder, or the address of one in a bucket, which is copied first.
        in_channels: files that don't give so many are left out.
        trained: whether `in_channels` is that of a network that is trained already, so that no other can be proposed.
        group: what an image belongs with: a regular expression on its path; a source with an argument of this name
            takes it as it likes.
        copy_limit: GiB that all copies of buckets may take; None: half of the disk's room.

    Raises:
        InputError: it isn't there, more than `max_skipped` of its files are unreadable, or all of a published split.
    """
    source = SOURCES[name]
    if is_url(root):
        with copied(root, source.wanted, copy_limit) as copy:
            said = {"exclude": exclude, "in_channels": in_channels, "trained": trained, "group": group}
            options = below(root, options)
            return find_images(name, copy, download=False, max_skipped=max_skipped, options=options, **said)  # type: ignore[arg-type]
    root = Path(root)
    if not source.bundled:
        check_root(root)
    own = {"group": group} if "group" in source.options else {}
    collection = _find(source, root, download, exclude, {**options, **own})
    if collection.passed_over:
        log.info("passed over %s", collection.passed_over)
    if group is not None and group != NONE and not own:
        collection = replace(collection, groups=match_groups(group, collection.paths))
    if group == NONE:
        collection = replace(collection, groups=None)
    collection = fitting(collection, in_channels)
    bad, total = len(collection.skipped), len(collection.skipped) + len(collection.paths)
    if bad > max_skipped * total:
        first = "; ".join(f"{skipped.path} ({skipped.reason})" for skipped in collection.skipped[:3])
        raise InputError(
            f"{bad} of {total} files in {collection.root} cannot be read, more than data.max_skipped={max_skipped}: "
            f"{first}{'; …' if bad > 3 else ''}. {'' if trained else take_their_bands(collection.skipped)}Repair or "
            "remove them, leave them out with data.exclude=, or raise data.max_skipped."
        )
    for split, indices in collection.published.items():
        if not len(indices):
            raise InputError(f"no readable image in the {split} split of {collection.root}: add some.")
    return collection


def take_their_bands(skipped: Sequence[Skipped]) -> str:
    """Return the remedy for files of another number of bands than asked for; nothing where most are of another kind."""
    bands = Counter(file.reason.partition(" ")[0] if UNFITTING in file.reason else "" for file in skipped).most_common(
        1
    )[0][0]
    return f"data.in_channels={bands} takes files of {bands} band{'s' * (bands != '1')}. " if bands else ""


def fitting(found: ImageCollection, in_channels: int) -> ImageCollection:
    """Return the images that give so many channels. `InputError` where a data set in memory can't."""
    if found.images is not None and in_channels not in COLOURS:
        raise InputError(f"data.in_channels={in_channels}: these images have {found.images.shape[1]}; take 1 or 3")
    if found.verdicts is None:
        return found
    reasons = [reason_against_bands(verdict.mode, verdict.bands, in_channels) for verdict in found.verdicts]
    if not any(reasons):
        return found
    bad = [Skipped(path, reason) for path, reason in zip(found.paths, reasons, strict=True) if reason]
    kept = found.only(np.array([reason is None for reason in reasons]))
    return replace(kept, skipped=sorted([*found.skipped, *bad], key=lambda skipped: skipped.path))


def _find(
    source: Source, root: Path, download: bool, exclude: str | Sequence[str] | None, options: Mapping[str, Any]
) -> ImageCollection:
    if exclude is None:
        return source.find(root, download=download, **options)
    exclusion = Exclusion(exclude, root)  # first, since a list may be missing
    if "exclusion" in inspect.signature(source.find).parameters:
        collection = source.find(root, download=download, exclusion=exclusion, **options)
    else:
        collection = source.find(root, download=download, **options)
        exclusion = Exclusion(exclude, collection.root)
        collection = exclusion.without(collection)
    exclusion.say()
    return collection
