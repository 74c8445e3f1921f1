"""What a run's validation images say about one answer: which classes to expect, and whether its image is like them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..activity import show
from ..analysis.conformal import fewest_images, likely_coverage, prediction_sets, score_limit
from ..analysis.familiarity import fewest_known, neighbour_distances, p_values
from ..data.processes import file_progress
from ..data.transforms import Geometry
from ..errors import InputError
from ..runs.arrays import read_arrays, save_arrays
from ..runs.contents import MissingError, UnusableError
from ..runs.folder import RunFolder
from ..trained.checkpoint import Trained
from ..trained.logits import predict_with_features, probabilities
from ..trained.pictures import Pictures, open_split
from ..trained.temperature import digest
from .stream import as_tested, precision_of

log = logging.getLogger(__name__)

PARTS = ("logits", "targets", "distances", "bank", "checkpoint")
BATCH = 32
MOST = 10_000
"""Validation images that are asked at most: a set's coverage is then within 0.6 points of what was asked."""

BANK = 2_000
"""Training images that others are compared with."""


@dataclass(frozen=True, eq=False)
class Validation:
    """What a network says about N validation images of its run.

    Attributes:
        logits: (N, K) float32; `targets` (N,) int64.
        distances: (N,) float32, how far they are from the training images of `bank` (M, F), the features of all stages.
    """

    logits: NDArray[np.float32]
    targets: NDArray[np.int64]
    distances: NDArray[np.float32]
    bank: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Validated:
    """What is asked of the validation images: sets of this `coverage`, and which images are unlike them.

    Attributes:
        coverage: how often a set is to hold the true class; None: no sets.
        limit: the score up to which a class belongs to a set.
        ood: the share of images like the validation images that may be called unlike them; None: nothing is said.
    """

    validation: Validation
    coverage: float | None
    limit: float
    ood: float | None

    def sets(self, shares: NDArray[np.float64]) -> list[NDArray[np.int64]] | None:
        """Return the classes of each set, the likeliest first, of probabilities (M, K)."""
        if self.coverage is None:
            return None
        order = np.argsort(-shares, axis=1, kind="stable")
        sizes = prediction_sets(shares, self.limit).sum(axis=1)
        return [row[:size] for row, size in zip(order, sizes, strict=True)]

    def familiarity(self, features: NDArray[np.float32] | None) -> NDArray[np.float64] | None:
        """Return p-values (M,) of features (M, F): how many validation images are at least as unlike others."""
        if self.ood is None or features is None:
            return None
        return p_values(self.validation.distances, neighbour_distances(self.validation.bank, features))

    def say(self, shares: NDArray[np.float64]) -> None:
        """Say what sets and flags rest on; `shares` (N, K) are the probabilities of the validation images."""
        targets = self.validation.targets
        images = f"{len(targets):,} validation image{'s' * (len(targets) != 1)}"
        if self.coverage is not None:
            low, high = likely_coverage(len(targets), self.coverage)
            right = float((shares.argmax(axis=1) == targets).mean())
            if self.limit == 0:
                said = f"the likeliest class alone is right for {right:.1%} of the {images}: it is each set"
            else:
                often = f"{self.coverage:.1%} of images like the {images} ({low:.0%} to {high:.0%})"
                said = f"sets hold the true class of {often}"
            log.info("coverage     %s", said)
        if self.ood is not None:
            log.info(
                "ood          images that are less familiar than all but %.3g %% of the %s", 100 * self.ood, images
            )


def prepare_validated(
    trained: Trained, coverage: float | None, ood: float | None, temperature: float, data_root: str | None = None
) -> Validated | None:
    """Find out what the validation images say; None where nothing is asked of them.

    Args:
        data_root: where the run's data set lies now; None: where it was.

    Raises:
        InputError: There are no validation images, or too few.
    """
    if coverage is None and ood is None:
        return None
    asked = f"coverage={coverage:g}" if coverage is not None else f"ood={ood:g}"
    if trained.multilabel:
        raise InputError(f"{asked} is for one class an image, and {trained.path} gives several labels: leave it out")
    found = read_validation(trained) or ask_validation(trained, asked, data_root)
    images = len(found.targets)
    for name, value, fewest in (
        ("coverage", coverage, 0 if coverage is None else fewest_images(coverage)),
        ("ood", ood, 0 if ood is None else fewest_known(ood)),
    ):
        if images < fewest:
            remedy = "less" if name == "coverage" else "more"
            raise InputError(
                f"{name}={value:g} needs {fewest:,} validation images, and {trained.path} has {images:,}: ask for "
                f"{remedy}, or train with more of them (data.val_fraction)"
            )
    shares = probabilities(found.logits, temperature)
    limit = 0.0 if coverage is None else score_limit(shares, found.targets, coverage)
    validated = Validated(found, coverage, limit, ood)
    validated.say(shares)
    return validated


def validation_file(checkpoint: Path) -> Path:
    """`best.ckpt` -> `best.validation.npz` beside it."""
    return checkpoint.with_name(f"{checkpoint.stem}.validation.npz")


def read_validation(trained: Trained) -> Validation | None:
    """Return what was kept beside the checkpoint; None where that is nothing, damaged, or another checkpoint's."""
    file = validation_file(trained.path)
    try:
        found = read_arrays(file.parent, file.name, PARTS)
    except MissingError:
        return None
    except UnusableError as error:
        log.info("%s: the validation images are asked again", error)
        return None
    logits, targets, distances, bank = (found[name] for name in PARTS[:4])
    images = len(targets)
    whole = (
        str(found["checkpoint"]) == digest(trained.path)
        and targets.shape == distances.shape == (images,)
        and targets.dtype == np.int64
        and logits.dtype == distances.dtype == np.float32
        and bank.dtype == np.float16
        and logits.shape == (images, len(trained.class_names))
        and bank.ndim == 2
        and min(images, *bank.shape) > 0
        and all(np.isfinite(values).all() for values in (logits, distances, bank))
        and 0 <= targets.min() <= targets.max() < len(trained.class_names)
    )
    return Validation(logits, targets, distances, bank) if whole else None


def ask_validation(trained: Trained, asked: str, data_root: str | None) -> Validation:
    """Show the network validation and training images of its run, and keep beside the checkpoint what it says.

    It answers as it does elsewhere in `predict`, so that its scores there and here compare.
    """
    if trained.run is None:
        raise InputError(f"{asked} needs the validation images of a run, and {trained.path} belongs to none")
    where = trained.run, trained.geometry, trained.class_names, data_root
    known, new = (_open(split, most, *where) for split, most in (("train", BANK), ("val", MOST)))
    if not len(new):
        raise InputError(f"{asked} needs validation images, and {trained.run.shown} has none (data.val_fraction)")
    show("asking about the validation images")
    bank: NDArray[np.float16] = _ask(trained, known, "Training images")[1].astype(np.float16)
    logits, features = _ask(trained, new, "Validation images")
    found = Validation(logits, new.targets, neighbour_distances(bank, features), bank)
    file = validation_file(trained.path)
    try:
        save_arrays(file, **vars(found), checkpoint=np.array(digest(trained.path)))
    except OSError as error:  # somebody else's run
        log.info("not kept, and asked again next time: %s (%s)", file, (error.strerror or "").lower())
    return found


def _open(
    split: str, most: int, run: RunFolder, geometry: Geometry, class_names: list[str], data_root: str | None
) -> Pictures:
    return open_split(run, split, geometry, class_names, data_root, most)


def _ask(trained: Trained, pictures: Pictures, what: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with as_tested(trained, precision_of(trained)), file_progress(what, len(pictures)) as advance:
        return predict_with_features(trained, pictures.batches(BATCH), advance, stages=True)
