"""What is in a data set: counts, sizes, kinds of files, what was left out, and which images appear twice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from ..data.collection import ImageCollection
from ..data.groups import across
from ..data.images import Range, read_as_shown
from ..data.module import ImageDataModule
from ..data.no_images import PassedOver
from ..data.splits import SPLITS
from ..data.value_range import count_clipped, of_channels
from ..names import together
from .duplicates import LEAST_CONTRAST, PHOTOGRAPH, SMALL, SMALL_SIDE, find_duplicates
from .label_findings import Labels, contradict, find_labels
from .signatures import Signature, read_signatures, to_picture

MOST_SKIPPED = 0.05  # of all files: the default of data.max_skipped, above which training refuses a data set


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that show the same picture.

    Attributes:
        exact: whether all have the same pixels, once decoded.
        images: (path, split, class name) of each, at least two.
        indices: which images of the collection they are.
        across_classes: whether it is a contradiction: at most one of the labels is right.
        classes: what it crosses then.
    """

    exact: bool
    images: list[tuple[str, str, str]]
    indices: list[int]
    across_classes: bool
    classes: str = "classes"

    @property
    def across_splits(self) -> bool:
        """Whether it is a leak: one split measures what another trained on."""
        return len({split for _, split, _ in self.images}) > 1

    @property
    def title(self) -> str:
        """A few words: "near, across splits and classes"."""
        crossed = ["splits"] * self.across_splits + [self.classes] * self.across_classes
        relation = f"across {' and '.join(crossed)}" if crossed else "within a split"
        return f"{'exact' if self.exact else 'near'}, {relation}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": "exact" if self.exact else "near",
            "across_splits": self.across_splits,
            "across_classes": self.across_classes,
            "images": [{"path": path, "split": split, "class": name} for path, split, name in self.images],
        }


@dataclass(frozen=True)
class Audit:
    """What was found, of the images of all splits together.

    Attributes:
        sizes: int64 (3,): images in train, val and test.
        counts: int64 (K, 3): those of each class.
        widths, heights: int (N,), in pixels, upright.
        modes, formats: how many images of each.
        skipped: (path, reason) of the files that were left out.
        passed_over: what was not looked at, being no images by their names.
        files: how many there are, those left out among them.
        groups: those across splits or classes first.
        belonging: what images belong to, such as patients: how many; None where nothing is known of that.
        torn: those of them that are in several splits, and in which.
        range: what becomes black and white where files have more than 8 bits a sample; None where none has.
        clipped: how many images of each split have values outside of it.
        labels: what is found of several labels an image; None where an image has one class.
    """

    source: str
    root: str
    seed: int
    class_names: list[str]
    sizes: np.ndarray
    counts: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    modes: Counter[str]
    formats: Counter[str]
    skipped: list[tuple[str, str]]
    files: int
    groups: list[DuplicateGroup]
    passed_over: PassedOver
    belonging: int | None = None
    torn: dict[str, list[str]] = field(default_factory=dict)
    range: Range | None = None
    clipped: dict[str, int] = field(default_factory=dict)
    labels: Labels | None = None

    @property
    def lacking(self) -> dict[str, list[str]]:
        """The classes that have no image in val or in test; nothing of a split that has all classes."""
        missing = {split: np.flatnonzero(self.counts[:, SPLITS.index(split)] == 0) for split in ("val", "test")}
        return {split: [self.class_names[i] for i in which] for split, which in missing.items() if len(which)}

    @property
    def imbalance(self) -> float:
        """The training images of the largest class, in multiples of the smallest."""
        return float(self.counts[:, 0].max() / max(1, self.counts[:, 0].min()))

    @property
    def leaks(self) -> list[DuplicateGroup]:
        return [group for group in self.groups if group.across_splits]

    @property
    def contradictions(self) -> list[DuplicateGroup]:
        return [group for group in self.groups if group.across_classes]

    @property
    def sound(self) -> bool:
        """No leak, no contradiction and few unreadable files. Duplicates within a class and split only weigh more."""
        return not (self.leaks or self.contradictions or self.damaged or self.torn)

    @property
    def damaged(self) -> bool:
        """More than `MOST_SKIPPED` of the files can't be read."""
        return len(self.skipped) > MOST_SKIPPED * self.files

    @property
    def verdict(self) -> str:
        """One sentence that says what to make of the findings."""
        if self.sound:
            rest = f"; {count(len(self.groups), 'group')} of duplicates within a split" if self.groups else ""
            return f"Ready to train: no duplicates across splits or classes{rest}."
        found = []
        if self.leaks:
            found.append(f"{count(len(self.leaks), 'picture')} in more than one split (measurements would flatter)")
        if self.contradictions:
            where = "in more than one class" if self.labels is None else "with different labels"
            found.append(f"{count(len(self.contradictions), 'picture')} {where} (labels contradict)")
        if self.torn:
            found.append(
                f"{count(len(self.torn), 'group')} of images in more than one split (measurements would flatter)"
            )
        if self.damaged:
            found.append(f"{len(self.skipped):,} of {self.files:,} files can't be read, more than {MOST_SKIPPED:.0%}")
        return f"Look at these before training: {', '.join([*found[:-2], ' and '.join(found[-2:])])}."

    def as_dict(self) -> dict[str, Any]:
        """Return what audit.json holds."""
        groups = self.groups
        inside = [group for group in groups if not group.across_splits and not group.across_classes]
        return {
            "data": self.source,
            "root": self.root,
            "seed": self.seed,
            "images": dict(zip(SPLITS, self.sizes.tolist(), strict=True)),
            "classes": {
                name: dict(zip(SPLITS, row.tolist(), strict=True))
                for name, row in zip(self.class_names, self.counts, strict=True)
            },
            "imbalance": self.imbalance,
            "lacking": self.lacking,
            **({} if self.labels is None else {"labels": self.labels.as_dict()}),
            "width": extent(self.widths),
            "height": extent(self.heights),
            "modes": dict(self.modes.most_common()),
            "formats": dict(self.formats.most_common()),
            "range": list(self.range) if isinstance(self.range, tuple) else self.range,
            "clipped": self.clipped,
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "passed_over": {"files": dict(self.passed_over.files), "folders": dict(self.passed_over.folders)},
            "duplicates": {
                "exact": sum(group.exact for group in groups),
                "near": sum(not group.exact for group in groups),
                "across_splits": len(self.leaks),
                "across_classes": len(self.contradictions),
                "within": len(inside),
                "groups": [group.as_dict() for group in groups],
            },
            "groups": None if self.belonging is None else {"number": self.belonging, "across_splits": self.torn},
            "rules": {
                "photograph": PHOTOGRAPH._asdict(),
                "small": SMALL._asdict(),
                "small_side": SMALL_SIDE,
                "least_contrast": LEAST_CONTRAST,
            },
            "sound": self.sound,
            "verdict": self.verdict,
        }


def audit_images(data: ImageDataModule) -> Audit:
    """Read every image of every split once and compare all with all. `data` is set up.

    Raises:
        UnreadableImageError: a file has changed since it was checked.
    """
    found = data.found
    indices = np.concatenate([data.indices(split) for split in SPLITS])
    splits = np.concatenate([[split] * data.size(split) for split in SPLITS])
    signatures = read_signatures(found, indices, data.geometry)
    groups = [
        describe_group(found, indices[group], splits[group], [signatures[i] for i in group])
        for group in find_duplicates(signatures)
    ]
    return Audit(
        source=data.source,
        root=str(found.root),
        seed=data.seed,
        class_names=list(found.class_names),
        sizes=np.array([data.size(split) for split in SPLITS]),
        counts=np.stack([data.labels.counts(data.targets(s), len(found.class_names)) for s in SPLITS], axis=1),
        widths=np.array([signature.width for signature in signatures]),
        heights=np.array([signature.height for signature in signatures]),
        modes=Counter(signature.mode for signature in signatures),
        formats=Counter(signature.format for signature in signatures),
        skipped=[(skipped.path, skipped.reason) for skipped in found.skipped],
        files=len(found.paths) + len(found.skipped),
        groups=sorted(groups, key=lambda group: -group.across_splits - group.across_classes),
        belonging=None if found.groups is None else len(set(found.groups)),
        torn={} if found.groups is None else across(found.groups, {split: data.indices(split) for split in SPLITS}),
        passed_over=found.passed_over,
        labels=find_labels(found.targets[indices], list(found.class_names)) if found.targets.ndim == 2 else None,
        **value_range(data),
    )


def value_range(data: ImageDataModule) -> dict[str, Any]:
    """Return `range` and `clipped` of an `Audit`."""
    verdicts = of_channels(data.found.verdicts or [], data.geometry.in_channels)
    if all(verdict.extent is None for verdict in verdicts):
        return {}
    chosen = data.geometry.range
    return {"range": chosen, "clipped": count_clipped(chosen, verdicts, data.splits)}


def describe_group(
    found: ImageCollection, indices: np.ndarray, splits: np.ndarray, signatures: Sequence[Signature]
) -> DuplicateGroup:
    targets, several = found.targets[indices], found.targets.ndim == 2
    names = together(targets == 1, found.class_names) if several else [found.class_names[i] for i in targets]
    return DuplicateGroup(
        exact=len({signature.digest for signature in signatures}) == 1,
        images=list(zip((found.paths[i] for i in indices), splits.tolist(), names, strict=True)),
        indices=indices.tolist(),
        across_classes=contradict(targets) if several else len(set(names)) > 1,
        classes="label sets" if several else "classes",
    )


def picture(data: ImageDataModule, index: int) -> Image.Image:
    """Return an image of the data set as it is: upright, RGB, in its own size."""
    found, geometry = data.found, data.geometry
    if found.images is not None:
        return to_picture(found.images[index].numpy())
    path = found.root / found.paths[index]
    return read_as_shown(path, geometry.in_channels, geometry.range, geometry.color)[0]


def extent(values: np.ndarray) -> dict[str, float]:
    return {"min": int(values.min()), "median": float(np.median(values)), "max": int(values.max())}


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
