"""The data of a run: found, divided into train, val and test, and handed out in batches."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from ..errors import InputError
from ..settings.check import problem
from ..settings.defaults import read_defaults
from ..settings.schema.data import Data, channel_values
from .augmented import Augmentation, chosen_augmentation
from .batches import EpochBatchSampler
from .collection import ImageCollection, Skipped, census
from .datasets import FeatureDataset, FileDataset, ImageDataset, ImageLoader, MemoryDataset, PictureDataset
from .defects import checked_by
from .first_look import FirstLook
from .groups import warn_of_shared
from .keeping import Kept, describe, keep_pictures, open_shelves
from .kept_kinds import Kind
from .label_kinds import LabelKind, kind_of
from .members import shards_of
from .on_device import DeviceDataset, Resident, put
from .picture_store import Shelf
from .policies import check_channels
from .processes import worker_count
from .shared_memory import fit_workers, say_fewer
from .sources import SOURCES, check_source, find_images
from .splits import SPLITS, permute_labels, round_robin, stratified_subset
from .transforms import GEOMETRY, Geometry
from .value_range import measure_range, of_channels, report_range, said_range

UNTIL_FOUND = 32  # the batch size for `auto`, until the training has found how many images fit

FEWEST_MEASURED, MOST_MEASURED = 1_000, 10_000  # training images


class ImageDataModule(LightningDataModule):
    """Loaders of `(images uint8 (N, C, S, S), targets int64 (N,))`; training normalises them on the device.

    With `multilabel` targets are float32 (N, K): 1 or 0, NaN where nobody knows.

    Args:
        name: a key of `src.data.sources.SOURCES`.
        seed: of the order and the augmentation, and of the division unless `split_seed` says it. Not negative.
        settings: those of `src.settings.schema.data.Data`, and what a single data set knows, such as `target` of pets.
            What is missing is as in conf/data/base.yaml. With `batch_size="auto"` the training finds how many images
            fit, and sets the attribute; evaluation takes twice as many. With `balance="sampler"` training draws the
            classes evenly, but not while Lightning overfits on purpose; for "loss" see `class_weights`. For
            `cache_features` the training calls `keep_features`.

    Attributes:
        seen: what the pretrained network that the training begins with makes of the images of a split, (N, F), where
            another training has computed it already.

    Raises:
        InputError: in any method, for what the user can put right.
    """

    def __init__(self, *, name: str, seed: int = 0, **settings: Any) -> None:
        super().__init__()
        defaults = read_defaults("data")
        self.options = {key: value for key, value in settings.items() if key not in defaults}
        usual = defaults | ({"root": None} if "table" in settings else {})  # the table's folder, as in conf/data
        check_source(name, self.options, settings.get("root"))
        chosen = Data.read(usual | settings | {"name": name}, "data")
        self.chosen = chosen
        self.source = name
        self.root = chosen.folder
        self.mean = channel_values("mean", chosen.mean, chosen.in_channels)
        self.std = channel_values("std", chosen.std, chosen.in_channels)
        self.geometry = Geometry.of(
            chosen.model_dump(include={*GEOMETRY}) | {"mean": self.mean, "range": said_range(chosen.range)}
        )
        self.batch_size = UNTIL_FOUND if chosen.batch_size == "auto" else chosen.batch_size
        self.num_workers = chosen.num_workers
        self.balance = chosen.balance
        self.cache_features = chosen.cache_features
        self.augmentation = chosen_augmentation(chosen.augment, in_memory=SOURCES[name].in_memory)
        if self.augmentation is not None:
            check_channels(self.augmentation.policy, chosen.in_channels)
        if chosen.cache in ("memory", "disk") and self.augmentation is not None:
            self.augmentation = replace(self.augmentation, reserve=self.augmentation.crops)
        if wrong := problem("seed", seed):
            raise InputError(f"seed={seed} is not possible: {wrong}")
        self.seed = seed
        self.split_seed = seed if chosen.split_seed is None else chosen.split_seed
        self.collection: ImageCollection | None = None
        self.splits: dict[str, np.ndarray] = {}
        self.features: dict[str, torch.Tensor] = {}
        self.seen: dict[str, torch.Tensor] = {}
        self.shelves: dict[Kind, Shelf] = {}
        self.first_look: FirstLook | None = None
        self.resident: Resident | None = None
        self.fewest_measured = FEWEST_MEASURED
        self._said_fewer = False

    def prepare_data(self) -> None:
        """Download what is missing and check every file once. In a distributed run one process does it for all."""
        if self.collection is None:
            self.collection = self.find(download=True)

    def take(self, found: ImageCollection) -> None:
        """Take what `find` has returned, here or in another process."""
        self.collection = found

    def look_at(self, found: ImageCollection) -> None:
        """Look whether this machine has the images that another one has found; download them, or raise `InputError`."""
        if found.images is not None or all(
            describe(found.root, path) is not None for path in found.paths[:: max(1, len(found.paths) // 100)]
        ):
            return
        own = self.find(download=True)
        if census(own.paths, own.targets) != census(found.paths, found.targets):
            raise InputError(f"{found.root} on {gethostname()} has other images than on the first machine: copy them")

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Find and divide the images, once. Without a trainer this also downloads what is missing."""
        if self.splits:
            return
        if self.collection is None:
            self.collection = self.find(download=self.trainer is None)
        found, chosen = self.collection, self.chosen
        splits = self.labels.split(
            found.targets,
            found.published,
            found.class_names,
            val_fraction=chosen.val_fraction,
            test_fraction=chosen.test_fraction,
            seed=self.split_seed,
            folds=chosen.folds,
            fold=chosen.fold,
            groups=found.groups,
        )
        if found.groups is not None:
            warn_of_shared(found.groups, splits)
        train = self.labels.thin(
            splits["train"],
            found.targets,
            imbalance=chosen.imbalance,
            fraction=chosen.train_fraction,
            max_images=chosen.max_images,
            seed=self.split_seed,
        )
        if chosen.shuffle_labels:
            self.collection = replace(found, targets=permute_labels(found.targets, train, self.split_seed))
        self.splits = splits | {"train": train}
        self.settle_range()

    def settle_range(self) -> None:
        """Measure what becomes black and white, unless it was said; say what it is."""
        if self.found.verdicts is None:
            return
        verdicts, measured = of_channels(self.found.verdicts, self.geometry.in_channels), self.chosen.range == "auto"
        if measured:
            self.geometry = replace(self.geometry, range=measure_range(verdicts, self.splits))
        report_range(self.geometry.range, verdicts, self.splits, measured=measured)

    def find(self, *, download: bool, trained: bool = False, free: int | None = None) -> ImageCollection:
        """Return the data set before it is divided. Raise `InputError` for another number of classes than expected.

        Args:
            trained: whether it is for a network that is trained already.
            free: bytes of memory that this process can still take, where `keep_pictures` will be called: the pictures
                that are decoded for the first time are kept already, unless a part of the images is all that trains.
        """
        chosen = self.chosen
        thin = chosen.train_fraction < 1 or chosen.max_images is not None or chosen.imbalance != 1
        if free is not None and chosen.cache != "none" and not thin:
            knows = chosen.range != "auto"
            self.first_look = FirstLook(self.squares, self.crops, chosen.cache, free, knows_range=knows)
        with checked_by(self.first_look):
            found = find_images(
                self.source,
                self.root,
                download=download,
                max_skipped=chosen.max_skipped,
                options=self.options,
                group=chosen.group,
                exclude=chosen.exclude,
                in_channels=self.geometry.in_channels,
                trained=trained,
                copy_limit=chosen.copy_limit,
            )
        if self.chosen.num_classes not in (None, len(found.class_names)):
            raise InputError(
                f"data.num_classes={self.chosen.num_classes}, but {found.root} has {len(found.class_names)} classes: "
                "set data.num_classes=null to count them."
            )
        if chosen.shuffle == "shards" and not trained:
            if shards_of(found.root, found.paths[:1]) is None:
                raise InputError(f"data.shuffle=shards, but {found.root} holds no tar shards: set data.shuffle=images")
            if chosen.balance == "sampler":
                raise InputError("data.shuffle=shards leaves no choice to data.balance=sampler: set data.balance=loss")
        return found

    @property
    def found(self) -> ImageCollection:
        if self.collection is None:
            raise RuntimeError("call setup() first")
        return self.collection

    @property
    def labels(self) -> LabelKind:
        """What is done with targets of one class, or of several labels, an image."""
        return kind_of(self.found.targets)

    @property
    def class_names(self) -> list[str]:
        return self.found.class_names

    @property
    def num_classes(self) -> int:
        return len(self.found.class_names)

    @property
    def skipped(self) -> list[Skipped]:
        return self.found.skipped

    @property
    def data_root(self) -> Path:
        """The data set's own folder: what `paths` and `skipped` are relative to."""
        return self.found.root

    @property
    def place(self) -> str:
        """Where a person finds the images: the data set's own folder, or the address of what was copied."""
        return self.root if isinstance(self.root, str) else str(self.data_root)

    @property
    def labelled_by(self) -> Path:
        """What says what the images show: the table that was named, or the folder."""
        return Path(self.options.get("table") or self.data_root)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Return what a checkpoint must hold to treat an image as in training, as plain values."""
        return {**self.geometry.settings, "mean": self.mean, "std": self.std}

    def targets(self, split: str) -> np.ndarray:
        """Return int64 (N,), or float32 (N, K) of several labels, in the order of `paths`."""
        targets: np.ndarray = self.found.targets[self.indices(split)]
        return targets

    def stand_ins(self, split: str) -> np.ndarray:
        """Return a class for each image, int64 (N,), for draws in which classes take turns."""
        return self.labels.stand_ins(self.targets(split))

    def paths(self, split: str) -> list[str]:
        """Return N paths relative to `data_root`; of an image without a file a name such as "mnist/test/00042"."""
        return [self.found.paths[i] for i in self.indices(split)]

    def state_dict(self) -> dict[str, str]:
        """Return what a checkpoint keeps of the images: the `census` of each split."""
        return self.census

    @cached_property
    def census(self) -> dict[str, str]:
        """`1204 images 5a4f2d9c01b3e67f` of each split."""
        return {split: census(self.paths(split), self.targets(split)) for split in SPLITS}

    def class_weights(self) -> list[float] | None:
        """Return the weight (K,) of each class in the loss with balance "loss", else None."""
        return self.labels.weights(self.targets("train"), self.num_classes) if self.balance == "loss" else None

    def classes_without(self, split: str) -> list[str]:
        """Return the names of the classes that have no image in the split."""
        counts = self.labels.counts(self.targets(split), self.num_classes)
        return [name for name, count in zip(self.class_names, counts, strict=True) if not count]

    def size(self, split: str) -> int:
        return len(self.indices(split))

    @property
    def train_images_measured(self) -> int:
        """How many training images are measured without augmentation, a stratified, seeded sample of them.

        The figure is there for its distance from that of the validation images, whose own error is the larger one: with
        three times as many, an interval of the gap is 15 % wider than with all. Of 1,000, an accuracy has a standard
        error of at most 1.6 points, of 10,000 below 0.5. All would take a third of an epoch more. A run that an earlier
        version began has `fewest_measured` set to `MOST_MEASURED`, as then.
        """
        return min(self.size("train"), max(self.fewest_measured, min(3 * self.size("val"), MOST_MEASURED)))

    def indices(self, split: str) -> np.ndarray:
        """Return which of all images are in the split, sorted."""
        if not self.splits:
            raise RuntimeError("call setup() first")
        if split not in self.splits:
            raise ValueError(f"split {split!r} is none of {SPLITS}")
        return self.splits[split]

    def keep_features(self, split: str, features: torch.Tensor) -> None:
        """Serve these (N, F) instead of images in training and validation, one row for each of `paths(split)`.

        All other loaders still serve images.
        """
        if len(features) != self.size(split):
            raise ValueError(f"{len(features)} features for the {self.size(split)} images of {split}")
        self.features[split] = features

    def keep_pictures(self, free: int) -> list[Kept]:
        """Decode the images of all splits, as far as `data.cache` and `free` bytes of memory allow, for `use_kept`."""
        if self.found.images is not None:
            return []
        train = self.paths("train")
        measured = [path for split in ("val", "test") for path in self.paths(split)]
        wanted = [(self.squares, measured), (self.squares, train)]
        if self.crops is not None:
            wanted.insert(1, (self.crops, train))
        before = (self.first_look.decoded, self.first_look.seconds) if self.first_look else (0, 0.0)
        return keep_pictures(self.found.root, wanted, self.chosen.cache, free, *before)

    def use_kept(self, kept: Sequence[Kept]) -> None:
        """Serve the pictures that `keep_pictures` has kept, here or in another process of this training."""
        self.shelves = open_shelves(self.found, kept)

    @property
    def squares(self) -> Kind:
        return Kind.squares(self.geometry)

    @property
    def crops(self) -> Kind | None:
        """What random crops are taken from, where training has some."""
        changes = self.augmentation
        return Kind.of_crops(self.geometry, changes) if changes is not None and changes.crops else None

    def put_on_device(self, device: torch.device, free: Callable[[torch.device], int]) -> None:
        """Let the images of all splits live on the device, as far as `data.on_device` allows; loaders use them there.

        Args:
            free: tells the bytes of memory that are free on a device.
        """
        splits = {split: self.dataset(split, None) for split in SPLITS}
        self.resident = put(splits, self.augmentation, self.chosen.on_device, device, free)

    def shelf(self, augmentation: Augmentation | None) -> Shelf | None:
        """Return what is kept of the files as evaluation or training needs it, if anything."""
        if augmentation is not None and augmentation.crops:
            return self.shelves.get(Kind.of_crops(self.geometry, augmentation))
        return self.shelves.get(self.squares)

    def train_dataloader(self) -> ImageLoader:
        """Return augmented images, in a new order every epoch; see `EpochBatchSampler` for what it guarantees."""
        dataset = self.feature_dataset("train") or self.dataset("train", self.augmentation)
        return self.loader(dataset, self.batch_size, training=True)

    def val_dataloader(self) -> ImageLoader:
        dataset = self.feature_dataset("val") or self.dataset("val", None)
        return self.loader(dataset, 2 * self.batch_size, training=False)

    def test_dataloader(self) -> ImageLoader:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str, limit: int | None = None) -> ImageLoader:
        """Return images without augmentation, in the order of `paths(split)`; distributed, one process's share.

        A share's last batch is empty where there are fewer images left than processes.

        Args:
            limit: at most so many images, a seeded choice with the classes in the split's proportions.
        """
        chosen = None
        if limit is not None and limit < self.size(split):
            chosen = stratified_subset(self.stand_ins(split), limit, self.seed)
        # without gradients twice as many images fit
        return self.loader(self.dataset(split, None, chosen), 2 * self.batch_size, training=False)

    def sample(self, split: str, n: int) -> tuple[torch.Tensor, np.ndarray, list[str]]:
        """Return at most `n` images as evaluation sees them, the classes in turn; the same ones every time.

        Returns:
            images uint8 (n, C, S, S), targets as in `targets`, n paths.
        """
        targets, paths = self.targets(split), self.paths(split)
        chosen = round_robin(self.stand_ins(split), n, self.seed)
        dataset = self.dataset(split, None, chosen)
        images = torch.stack([dataset[i][0] for i in range(len(chosen))])
        return images, targets[chosen], [paths[i] for i in chosen]

    def dataset(
        self, split: str, augmentation: Augmentation | None, chosen: np.ndarray | None = None
    ) -> PictureDataset:
        """Return a split, or the `chosen` (n,) of its images, in this order."""
        indices = self.indices(split) if chosen is None else self.indices(split)[chosen]
        found, settings_ = self.found, (self.geometry, augmentation, self.seed)
        if found.images is not None:
            return MemoryDataset(found.images, found.targets, indices, *settings_)
        shelf = self.shelf(augmentation)
        return FileDataset(found.root, found.paths, found.targets, indices, *settings_, shelf=shelf)

    def feature_dataset(self, split: str) -> FeatureDataset | None:
        if split not in self.features:
            return None
        return FeatureDataset(self.features[split], self.targets(split), self.geometry, self.seed)

    def loader(self, dataset: ImageDataset, batch_size: int, *, training: bool) -> ImageLoader:
        if self.resident is not None and isinstance(dataset, PictureDataset):
            dataset = DeviceDataset(dataset, self.resident)
        # Lightning's switch for overfitting on purpose wants the same batches every epoch
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        by_shard = self.chosen.shuffle == "shards"
        batches = EpochBatchSampler(
            len(dataset),
            batch_size,
            shuffle=training and not overfit,
            seed=self.seed,
            balanced=dataset.targets if training and self.balance == "sampler" else None,
            shards=shards_of(self.found.root, self.paths("train")) if training and by_shard else None,
            smallest=2 if training else 0,
            rank=0 if self.trainer is None else self.trainer.global_rank,
            world_size=1 if self.trainer is None else self.trainer.world_size,
        )
        quick = isinstance(dataset, FileDataset) and dataset.needs_no_workers and self.num_workers == "auto"
        alone = isinstance(dataset, FeatureDataset | DeviceDataset)
        wanted = 0 if quick or alone else self.worker_count()
        size = batch_size * self.geometry.in_channels * self.geometry.image_size**2
        workers, ahead = fit_workers(wanted, size, getattr(self.trainer, "num_devices", 1))
        if workers < wanted and not self._said_fewer:
            self._said_fewer = True
            say_fewer(workers, wanted)
        # With trainer=cpu on a machine with a GPU nothing is copied to it.
        on_cpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cpu"
        pinned = not on_cpu and not isinstance(dataset, DeviceDataset)
        return ImageLoader(dataset, batches, workers, ahead, pinned=pinned)

    def worker_count(self) -> int:
        """Return how many processes decode; "auto": none for a data set in memory."""
        if self.num_workers == "auto" and self.found.images is not None:
            return 0
        return worker_count(self.num_workers, getattr(self.trainer, "num_devices", 1))
