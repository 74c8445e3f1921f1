"""The labelled images that a trained network is measured on: a split of its run's data, or another data set."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import ImageDataModule
from ..data.datasets import ImageDataset, ImageLoader
from ..data.module import MOST_MEASURED
from ..data.splits import stratified_subset
from ..errors import InputError
from ..figures.style import printable
from ..names import nfc
from ..runs.saved_settings import known_settings
from .checkpoint import Trained
from .listing import SPLITS
from .pictures import open_data

log = logging.getLogger(__name__)

NAMED = 12
"""Classes named in a line."""

USUAL_ROOT = "data"
"""`data.root` of every data set in conf/data but `folder`."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images of one split, with their classes as indices into those of the checkpoint.

    Attributes:
        data: finds and decodes them.
        split: `train`, `val`, `test`, or `all` images of a data set that has no such parts.
        own: whether they are the data of the run, divided as for its training.
        trained_on: how many of them the network learned from; None if unknown.
        learned: the run's data, `data` itself if they are its own; None without a run, or if they can't be found.
    """

    data: ImageDataModule
    split: str
    own: bool
    trained_on: int | None
    learned: ImageDataModule | None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def limit(self) -> int | None:
        """How many images a training measures at most; None: all."""
        return self.data.train_images_measured if self.own and self.split == "train" else None

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """Indices into the split, sorted."""
        size = self.data.size(self.split)
        if self.limit is None or self.limit >= size:
            return np.arange(size)
        return stratified_subset(self.data.stand_ins(self.split), self.limit, self.data.seed)

    @cached_property
    def paths(self) -> list[str]:
        """Paths as in `ImageDataModule.paths`."""
        paths = self.data.paths(self.split)
        return [paths[i] for i in self.chosen]

    def loader(self) -> ImageLoader:
        """Serve the batches in which a training measures them."""
        return self.data.evaluation_dataloader(self.split, self.limit)

    def dataset(self, indices: NDArray[np.int64]) -> ImageDataset:
        """Pick some of them, by their place in `paths`."""
        return self.data.dataset(self.split, None, self.chosen[indices])

    def __str__(self) -> str:
        size = self.data.size(self.split)
        some = f"{len(self):,}" + (f" of {size:,}" if len(self) < size else "")
        which = "all" if self.split == "all" else f"{'the run’s' if self.own else 'the published'} {self.split}"
        return f"{self.data.source} in {self.data.data_root}: {which} images ({some})"


def find_examples(trained: Trained, settings: Mapping[str, Any], split: str | None, seed: int) -> Examples:
    """Find the images that `settings`, the group `data`, name; without a name the run's own.

    The run's own data are recognised under any name and divided as for the training: figures of images that were
    trained on mean nothing.

    Args:
        split: None: test, as divided for the training, or as published; all images if there is none.

    Raises:
        InputError: There is no such split, a class is not the checkpoint's, or the images can't be found.
    """
    if settings.get("multilabel") and not trained.multilabel:
        raise InputError(
            f"{trained.path} was trained on one label an image: leave data.multilabel=true out, or take a checkpoint "
            "that was trained with it"
        )
    name = settings.get("name")
    if name is None:
        if trained.run is None:
            raise InputError(
                f"{trained.path} belongs to no run, and nothing says what it was trained on: say data=NAME, or "
                "data=folder data.root=FOLDER"
            )
        return _own(trained, open_own(trained, settings), split)
    run = known_settings(trained.run)
    if not run:
        return _other(trained, settings, split, seed, None)
    if _is_own(settings, run.data):
        return _own(trained, open_own(trained, settings), split)
    try:
        own = open_own(trained)
    except InputError as error:
        log.info("the training images can't be looked up: %s", error)
        own = None
    return _other(trained, settings, split, seed, own)


def open_own(trained: Trained, settings: Mapping[str, Any] | None = None) -> ImageDataModule:
    """Open the run's data, with the checkpoint's classes; `settings` may name another root and `num_workers`."""
    if trained.run is None:
        raise InputError(f"{trained.path} belongs to no run: nothing says what it was trained on")
    settings = settings or {}
    # After data=NAME the root is that of conf/data unless typed: the run knows better.
    unsaid = "name" in settings and settings["root"] == USUAL_ROOT
    data = open_data(trained.run, None if unsaid else settings.get("root"), trained.geometry)
    if data.class_names != trained.class_names:
        raise InputError(
            f"{data.data_root} has the classes {listed(data.class_names)}, the checkpoint "
            f"{listed(trained.class_names)}: say data.root=FOLDER of the images that it was trained on"
        )
    data.num_workers = settings.get("num_workers", data.num_workers)
    if trained.run.is_of_earlier_sample:
        data.fewest_measured = MOST_MEASURED
    return data


def _is_own(settings: Mapping[str, Any], run: Mapping[str, Any]) -> bool:
    """Tell whether the settings name the run's data set; a folder or a table of one's own is known by its place."""
    if settings["name"] != run["name"]:
        return False
    own = {"folder": ("root",), "table": ("root", "table")}.get(settings["name"], ())
    return all(_resolved(settings.get(name)) == _resolved(run.get(name)) for name in own)


def _resolved(place: Any) -> Path | None:
    return None if place is None else Path(str(place)).expanduser().resolve()


def _own(trained: Trained, data: ImageDataModule, split: str | None) -> Examples:
    split = split or "test"
    if split not in SPLITS:
        raise InputError(f"split={split}: these are the images that the run was trained on; take test, val or train")
    examples = Examples(data, split, True, 0, data)
    if split == "train":
        examples = replace(examples, trained_on=len(examples))
    if split == "test":
        _compare_paths(trained, examples)
    return examples


def _compare_paths(trained: Trained, examples: Examples) -> None:
    """Warn if the test images are no longer those of the training: some may have been trained on."""
    run = trained.run
    if run is None or not run.predictions_file.is_file():
        return
    then = set(run.predictions()["path"].astype(str))
    new = sum(path not in then for path in examples.paths)
    if new:
        log.warning(
            "%d of the %d test images are not in %s: the data have changed since, and some may have been trained on",
            new, len(examples), run.predictions_file,
        )  # fmt: skip


def _other(
    trained: Trained, settings: Mapping[str, Any], split: str | None, seed: int, own: ImageDataModule | None
) -> Examples:
    """Take images other than the run's own; `own`: its data, None if they can't be found."""
    preprocessing = dict(trained.module.hparams["preprocessing"]) | {"num_classes": None, "augment": None}
    data = ImageDataModule(**{**settings, **preprocessing}, seed=seed)
    # Nothing is downloaded: whether its classes fit would be known only then.
    data.collection = data.find(download=False, trained=True)
    if own is not None and _same_images(data, own):
        log.info("%s is what the run was trained on: its own %s split is taken", data.data_root, split or "test")
        return _own(trained, own, split)
    _match_classes(data, trained.class_names, multilabel=trained.multilabel)
    published = data.found.published
    split = split or ("test" if "test" in published else "all")
    if split == "all":
        data.splits = {"all": np.arange(len(data.found.targets))}
    elif split in published and len(published) > 1:
        data.splits = {split: published[split]}
    else:
        parts = f"only {', '.join(published)}" if len(published) > 1 else "no parts"
        raise InputError(f"split={split}: {data.data_root} has {parts}; take split=all")
    examples = Examples(data, split, False, None if own is None else count_trained_on(data, split, own), own)
    _warn_of_training(trained, examples)
    return examples


def _same_images(data: ImageDataModule, own: ImageDataModule) -> bool:
    """Tell whether both are the same images under two names; MNIST and CIFAR-10 may share a folder and are not.

    A table may say something else of them, or name further ones: these are other data then.
    """
    if data.data_root.resolve() != own.data_root.resolve():
        return False
    labels, known = _labels(data), _labels(own)
    shared = labels.keys() & known.keys()
    if data.source != "table":
        return bool(shared)
    return labels.keys() <= known.keys() and all(labels[path] == known[path] for path in shared)


def _labels(data: ImageDataModule) -> dict[str, Any]:
    """Return the class of each image, or its labels, by path."""
    found = data.found
    names = np.array([nfc(name) for name in found.class_names])
    said = names[found.targets] if found.targets.ndim == 1 else map(str, found.targets.tolist())
    return dict(zip(found.paths, said, strict=True))


def _match_classes(data: ImageDataModule, class_names: Sequence[str], *, multilabel: bool) -> None:
    """Turn the targets of `data` into those of `class_names`; raise `InputError` for another class."""
    found = data.found
    if multilabel and found.targets.ndim == 1:
        raise InputError(  # `find_examples` has refused the opposite
            f"{found.root} has one class an image, but the checkpoint was trained on several labels an image: say "
            "data=table data.multilabel=true, with a table of such labels"
        )
    places = {nfc(name): place for place, name in enumerate(class_names)}
    if not {nfc(name) for name in found.class_names} <= places.keys():
        raise InputError(
            f"{found.root} has the classes {listed(found.class_names)}, the checkpoint {listed(class_names)}: "
            "a network knows its own classes only: name the folders like them, or take other data"
        )
    if len(found.class_names) < len(class_names):
        some = (len(found.class_names), len(class_names), listed(found.class_names))
        log.info("%d of the checkpoint's %d classes are in the data: %s", *some)
    ours = np.array([places[nfc(name)] for name in found.class_names])
    targets = (
        ours[found.targets] if not multilabel else np.full((len(found.paths), len(class_names)), np.nan, np.float32)
    )
    if multilabel:  # nobody knows of the others
        targets[:, ours] = found.targets
    data.collection = replace(found, targets=targets, class_names=list(class_names))


def count_trained_on(data: ImageDataModule, split: str, own: ImageDataModule) -> int:
    """Count the images that lie where one of the run's training images does; copies elsewhere are unknown."""
    here, there = (os.fspath(module.data_root.resolve()) for module in (data, own))
    learned = {os.path.join(there, path) for path in own.paths("train")}  # noqa: PTH118  # ten times as fast as Path
    return sum(os.path.join(here, path) in learned for path in data.paths(split))  # noqa: PTH118


def _warn_of_training(trained: Trained, examples: Examples) -> None:
    if examples.trained_on is None:
        named = trained.path if trained.run is None else trained.run.shown
        log.warning("nothing is known of the training images of %s: some of these may be among them", named)
    elif examples.trained_on:
        log.warning(
            "%d of the %d images were trained on: the figures say little about new ones",
            examples.trained_on, len(examples),
        )  # fmt: skip


def listed(names: Sequence[str]) -> str:
    """Join class names for one line: of many the first, and how many there are."""
    more = f", … ({len(names)} in all)" if len(names) > NAMED else ""
    return ", ".join(printable(name) for name in names[:NAMED]) + more
