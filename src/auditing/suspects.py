"""Labels that may be wrong: confident learning (https://arxiv.org/abs/1911.00068) on what a trained network sees."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.batches import EpochBatchSampler
from ..data.datasets import ImageLoader
from ..data.module import ImageDataModule
from ..data.processes import file_progress
from ..data.splits import SPLITS
from ..errors import InputError
from ..files import csv_line
from ..trained.checkpoint import Trained
from ..trained.logits import predict_with_features
from ..trained.pictures import open_data

log = logging.getLogger(__name__)

FOLDS = 5
LEAST = 1e-6
"""The least probability whose logarithm is taken: one label may be of a class that no model has seen."""

BATCH = 64
LISTED = 0.1
"""The share of the images that the table has at least, the most doubtful ones."""

PENALTIES = (0.1, 0.01, 0.001, 0.0001)
"""C of the logistic regressions, of which that counts whose probabilities of left-out labels are the best."""


@dataclass(frozen=True, eq=False)
class Suspects:
    """The N images of a data set, the most doubtful label first.

    Attributes:
        indices: which images of the collection they are (N,), and in which `splits`.
        given: the class that each is said to show (N,), and the likeliest of the others, `rather`.
        quality: the probability of the given class (N,), by a model that has not seen that label.
        doubted: whether confident learning counts the label among the wrong ones (N,).
    """

    indices: NDArray[np.int64]
    splits: list[str]
    given: NDArray[np.int64]
    rather: NDArray[np.int64]
    quality: NDArray[np.float64]
    doubted: NDArray[np.bool_]

    @property
    def listed(self) -> int:
        """How many stand in the table."""
        return max(int(self.doubted.sum()), int(np.ceil(LISTED * len(self.indices))))

    def as_dict(self, checkpoint: str) -> dict[str, Any]:
        """Return what audit.json holds."""
        return {
            "checkpoint": checkpoint,
            "images": len(self.indices),
            "doubted": int(self.doubted.sum()),
            "folds": FOLDS,
        }


def open_audited(settings: dict[str, Any], seed: int, trained: Trained, typed: Sequence[str]) -> ImageDataModule:
    """Open the data set as the network sees images: what was `typed`, or its run's own where nothing was.

    Raises:
        InputError: There is no such data set, or the checkpoint belongs to no run.
    """
    if any(word.startswith("data=") for word in typed):
        preprocessing = dict(trained.module.hparams["preprocessing"]) | {"num_classes": None, "augment": None}
        data = ImageDataModule(**{**settings, **preprocessing}, seed=seed)
        data.collection = data.find(download=False, trained=True)
        return data
    idle = [word for word in typed if not word.startswith("data.root=")]
    if idle:
        raise InputError(f"{idle[0]} is for data=NAME: say which, or leave it out for the run's own images")
    if trained.run is None:
        raise InputError(f"{trained.path} belongs to no run, and nothing says what to look at: say data=NAME")
    return open_data(trained.run, settings["root"] if typed else None, trained.geometry)


def find_suspects(data: ImageDataModule, trained: Trained, seed: int) -> Suspects:
    """Rank the labels of all splits; `data` is set up, with images as `trained` sees them.

    Raises:
        InputError: Images have several labels, or there are too few to leave some out.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    if data.found.targets.ndim > 1:
        raise InputError("checkpoint= looks for wrong labels where an image has one class: leave it out")
    targets = np.concatenate([data.targets(split) for split in SPLITS])
    present, labels = np.unique(targets, return_inverse=True)
    if len(present) < 2 or len(targets) < 2 * FOLDS:
        raise InputError(f"{data.data_root} has too few classes or images to doubt a label: leave checkpoint= out")
    features = read_features(data, trained)
    groups = None if data.found.groups is None else [data.found.groups[i] for i in _all_indices(data)]
    shares = held_out_shares(features, labels, groups, seed)
    quality = get_label_quality_scores(labels, shares, method="self_confidence")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that nobody doubts
        doubted = find_label_issues(labels, shares, filter_by="prune_by_noise_rate", n_jobs=1)
    others = shares.copy()
    others[np.arange(len(labels)), labels] = -1
    order = np.argsort(quality, kind="stable")
    splits = np.repeat(SPLITS, [data.size(split) for split in SPLITS])
    return Suspects(
        indices=_all_indices(data)[order],
        splits=splits[order].tolist(),
        given=targets[order],
        rather=present[others.argmax(axis=1)][order],
        quality=quality[order],
        doubted=doubted[order],
    )


def read_features(data: ImageDataModule, trained: Trained) -> NDArray[np.float32]:
    """Return what the network's head sees of the images of all splits, (N, F)."""
    found, done = [], 0
    with file_progress("Looking at labels", len(_all_indices(data))) as advance:
        for split in SPLITS:
            dataset = data.dataset(split, None)
            loader = ImageLoader(dataset, EpochBatchSampler(len(dataset), BATCH, shuffle=False), data.worker_count())
            if len(dataset):
                batches = (images for images, _ in loader)
                found.append(predict_with_features(trained, batches)[1])
                done += len(dataset)
                advance(done)
    return np.concatenate(found)


def held_out_shares(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: Sequence[str] | None, seed: int
) -> NDArray[np.float64]:
    """Return the probability of each class (N, K), of each image by a model of the images of other folds.

    The network has seen its training images with their labels, and would vouch for them; a logistic regression of its
    features has not (https://docs.cleanlab.ai, "out-of-sample predicted probabilities").
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rare classes, and of steps that are not the last
        folds = list(kind(FOLDS, shuffle=True, random_state=seed).split(features, labels, groups))
        tried = [_shares(features, labels, folds, penalty) for penalty in PENALTIES]
    own = np.arange(len(labels)), labels
    return max(tried, key=lambda shares: float(np.log(np.maximum(shares[own], LEAST)).mean()))


def _shares(
    features: NDArray[np.float32], labels: NDArray[np.int64], folds: Sequence[tuple[Any, Any]], penalty: float
) -> NDArray[np.float64]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shares = np.zeros((len(labels), labels.max() + 1))
    for known, new in folds:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=200))
        model.fit(features[known], labels[known])
        shares[np.ix_(new, model.classes_)] = model.predict_proba(features[new])
    return shares


def write_suspects(suspects: Suspects, data: ImageDataModule) -> str:
    """Return the table as text, the most doubtful label first; the column `file` is what `data.exclude=` reads."""
    names, paths = data.class_names, data.found.paths
    lines = [csv_line(["file", "split", "class", "rather", "quality", "doubted"])]
    for place in range(suspects.listed):
        given, rather = names[suspects.given[place]], names[suspects.rather[place]]
        doubted = "true" if suspects.doubted[place] else "false"
        row = [paths[suspects.indices[place]], suspects.splits[place], given, rather]
        lines.append(csv_line([*row, f"{suspects.quality[place]:.6f}", doubted]))
    return "".join(lines)


def _all_indices(data: ImageDataModule) -> NDArray[np.int64]:
    return np.concatenate([data.indices(split) for split in SPLITS])
