"""The data of a run: found, divided into train, val and test, and handed out in batches."""

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from ..errors import InputError
from ..settings.check import problem
from ..settings.defaults import read_defaults
from ..settings.schema.data import Augment, Data, channel_values
from .batches import EpochBatchSampler
from .collection import ImageCollection, Skipped
from .datasets import FeatureDataset, FileDataset, ImageDataset, ImageLoader, MemoryDataset
from .processes import cpu_count
from .sources import SOURCES, check_source, find_images
from .splits import FRACTION_DRAW, SPLITS, round_robin, split_dataset, stratified_subset, thin_out
from .transforms import Augmentation, Geometry

UNTIL_FOUND = 32  # the batch size for `auto`, until whoever trains has found out how many images fit
LABEL_DRAW = FRACTION_DRAW + 1  # a draw of its own, behind those of `src.data.splits`


class ImageDataModule(LightningDataModule):
    """Loaders of `(images uint8 (N, C, S, S), targets int64 (N,))`; who trains converts and normalises on the device.

    Args:
        name: a key of `src.data.sources.SOURCES`.
        seed: of the division, the order and the augmentation. Not negative.
        settings: those of `src.settings.schema.data.Data`, and what a single data set knows, such as `target` of pets.
            What is missing is as in conf/data/base.yaml. With `batch_size="auto"` who trains finds out how many images
            fit, and sets the attribute; evaluation takes twice as many. With `balance="sampler"` training draws the
            classes evenly, but not while Lightning overfits on purpose; for "loss" see `class_weights`. For
            `shuffle_labels` see Zhang et al. 2017 (https://arxiv.org/abs/1611.03530): each class keeps its number of
            training images, and all other labels stay true. For `cache_features` who trains calls `keep_features`.

    Raises:
        InputError: in any method, for what the user can put right.
    """

    # Each decodes some 200 photographs a second, which eight times over feeds a large GPU; more only cost memory.
    MOST_WORKERS = 8

    def __init__(self, *, name: str, seed: int = 0, **settings: Any) -> None:
        super().__init__()
        defaults = read_defaults("data")
        self.options = {key: value for key, value in settings.items() if key not in defaults}
        check_source(name, self.options)
        chosen = Data.read(defaults | settings | {"name": name}, "data")
        self.source = name
        self.root = Path(cast(str, chosen.root)).expanduser()  # `Data` lets null pass for a root alone
        self.geometry = Geometry(chosen.image_size, chosen.in_channels, chosen.interpolation)
        self.mean = channel_values("mean", chosen.mean, chosen.in_channels)
        self.std = channel_values("std", chosen.std, chosen.in_channels)
        self.batch_size = UNTIL_FOUND if chosen.batch_size == "auto" else chosen.batch_size
        self.num_workers = chosen.num_workers
        self.fractions = {"val_fraction": chosen.val_fraction, "test_fraction": chosen.test_fraction}
        self.folds, self.fold = chosen.folds, chosen.fold
        self.thinning: dict[str, Any] = {
            "imbalance": chosen.imbalance,
            "fraction": chosen.train_fraction,
            "max_images": chosen.max_images,
        }
        self.balance = chosen.balance
        self.shuffle_labels = chosen.shuffle_labels
        self.cache_features = chosen.cache_features
        self.max_skipped = chosen.max_skipped
        self.augmentation = _augmentation(chosen.augment, in_memory=SOURCES[name].in_memory)
        if wrong := problem("seed", seed):
            raise InputError(f"seed={seed} is not possible: {wrong}")
        self.seed = seed
        self.expected_classes = chosen.num_classes
        self.collection: ImageCollection | None = None
        self.splits: dict[str, np.ndarray] = {}
        self.features: dict[str, torch.Tensor] = {}

    def prepare_data(self) -> None:
        """Downloads what is missing and checks every file once. In a distributed run one process does it for all."""
        if self.collection is None:
            self.collection = self.find(download=True)

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002
        """Finds and divides the images, once. Without a trainer it calls `prepare_data` itself."""
        if self.splits:
            return
        if self.collection is None:
            self.collection = self.find(download=self.trainer is None)
        targets = self.collection.targets
        splits = split_dataset(
            targets,
            self.collection.published,
            self.collection.class_names,
            seed=self.seed,
            folds=self.folds,
            fold=self.fold,
            **self.fractions,
        )
        train = thin_out(splits["train"], targets, seed=self.seed, **self.thinning)
        if self.shuffle_labels:
            targets = targets.copy()
            targets[train] = np.random.default_rng((self.seed, LABEL_DRAW)).permutation(targets[train])
            self.collection = replace(self.collection, targets=targets)
        self.splits = splits | {"train": train}

    def find(self, *, download: bool) -> ImageCollection:
        found = find_images(
            self.source,
            self.root,
            download=download,
            max_skipped=self.max_skipped,
            options=self.options,
        )
        if self.expected_classes not in (None, len(found.class_names)):
            raise InputError(
                f"data.num_classes={self.expected_classes}, but {found.root} has {len(found.class_names)} classes: "
                "set data.num_classes=null to count them."
            )
        return found

    @property
    def found(self) -> ImageCollection:
        if self.collection is None:
            raise RuntimeError("call setup() first")
        return self.collection

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
    def preprocessing(self) -> dict[str, Any]:
        """What a checkpoint must hold to treat an image as in training, as plain values."""
        return {
            "image_size": self.geometry.image_size,
            "in_channels": self.geometry.in_channels,
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.geometry.interpolation,
        }

    def targets(self, split: str) -> np.ndarray:
        """int64 (N,), in the order of `paths`."""
        return self.found.targets[self.indices(split)]

    def paths(self, split: str) -> list[str]:
        """N paths relative to `data_root`; of an image without a file a name such as "mnist/test/00042"."""
        return [self.found.paths[i] for i in self.indices(split)]

    def state_dict(self) -> dict[str, str]:
        """What a checkpoint keeps of the images: of each split their number, and a digest of their names and labels."""
        return self.census

    @cached_property
    def census(self) -> dict[str, str]:
        """Of each split such as `1204 images 5a4f2d9c01b3e67f`."""
        found = {}
        for split in SPLITS:
            lines = zip(self.paths(split), self.targets(split), strict=True)
            text = "".join(f"{path}\0{target}\0" for path, target in lines)
            digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
            found[split] = f"{self.size(split)} images {digest[:16]}"
        return found

    def class_weights(self) -> list[float] | None:
        """With balance "loss" the weight (K,) of each class in the loss, else None.

        It is n / (K · n_c) of the training images, scikit-learn's "balanced": all classes weigh the same, and an image
        weighs 1 on average.
        """
        if self.balance != "loss":
            return None
        counts = np.bincount(self.targets("train"), minlength=self.num_classes)
        return (counts.sum() / (self.num_classes * counts)).tolist()

    def size(self, split: str) -> int:
        return len(self.indices(split))

    def indices(self, split: str) -> np.ndarray:
        """Which of all images are in the split, sorted."""
        if not self.splits:
            raise RuntimeError("call setup() first")
        if split not in self.splits:
            raise ValueError(f"split {split!r} is none of {SPLITS}")
        return self.splits[split]

    def keep_features(self, split: str, features: torch.Tensor) -> None:
        """From now on training and validation get these (N, F), one row for each of `paths(split)`, and no images.

        All other loaders go on with images.
        """
        if len(features) != self.size(split):
            raise ValueError(f"{len(features)} features for the {self.size(split)} images of {split}")
        self.features[split] = features

    def train_dataloader(self) -> ImageLoader:
        """Augmented, in an order of its own every epoch; see `EpochBatchSampler` for what is promised of it."""
        dataset = self.feature_dataset("train") or self.dataset("train", self.augmentation)
        return self.loader(dataset, self.batch_size, training=True)

    def val_dataloader(self) -> ImageLoader:
        dataset = self.feature_dataset("val") or self.dataset("val", None)
        return self.loader(dataset, 2 * self.batch_size, training=False)

    def test_dataloader(self) -> ImageLoader:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str, limit: int | None = None, *, whole: bool = False) -> ImageLoader:
        """No augmentation, in the order of `paths(split)`; in a distributed run, one process's share.

        Args:
            limit: at most so many images, a seeded choice with the classes in the split's proportions.
            whole: every process gets all images. All do the same work then, and each has the predictions of all.
        """
        chosen = None
        if limit is not None and limit < self.size(split):
            chosen = stratified_subset(self.targets(split), limit, self.seed)
        # without gradients twice as many images fit
        return self.loader(self.dataset(split, None, chosen), 2 * self.batch_size, training=False, whole=whole)

    def sample(self, split: str, n: int) -> tuple[torch.Tensor, np.ndarray, list[str]]:
        """At most `n` images as evaluation sees them, the classes in turn; the same ones every time.

        Returns:
            images uint8 (n, C, S, S), targets int64 (n,), n paths.
        """
        targets, paths = self.targets(split), self.paths(split)
        chosen = round_robin(targets, n, self.seed)
        dataset = self.dataset(split, None, chosen)
        images = torch.stack([dataset[i][0] for i in range(len(chosen))])
        return images, targets[chosen], [paths[i] for i in chosen]

    def dataset(self, split: str, augmentation: Augmentation | None, chosen: np.ndarray | None = None) -> ImageDataset:
        """A split, or the `chosen` (n,) of its images, in this order."""
        indices = self.indices(split) if chosen is None else self.indices(split)[chosen]
        found, settings_ = self.found, (self.geometry, augmentation, self.seed)
        if found.images is not None:
            return MemoryDataset(found.images, found.targets, indices, *settings_)
        return FileDataset(found.root, found.paths, found.targets, indices, *settings_)

    def feature_dataset(self, split: str) -> FeatureDataset | None:
        if split not in self.features:
            return None
        return FeatureDataset(self.features[split], self.targets(split), self.geometry, self.seed)

    def loader(self, dataset: ImageDataset, batch_size: int, *, training: bool, whole: bool = False) -> ImageLoader:
        alone = whole or self.trainer is None
        # Lightning's switch for overfitting on purpose wants the same batches every epoch
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        batches = EpochBatchSampler(
            len(dataset),
            batch_size,
            shuffle=training and not overfit,
            seed=self.seed,
            balanced=dataset.targets if training and self.balance == "sampler" else None,
            smallest=2 if training else 1,
            rank=0 if alone else self.trainer.global_rank,  # type: ignore[union-attr]
            world_size=1 if alone else self.trainer.world_size,  # type: ignore[union-attr]
        )
        return ImageLoader(dataset, batches, 0 if isinstance(dataset, FeatureDataset) else self.worker_count())

    def worker_count(self) -> int:
        if isinstance(self.num_workers, int):
            return self.num_workers
        if self.found.images is not None:
            return 0
        # Cats and dogs at 224 px, flipped and cropped, on 2 cores of which one was busy: 0, 1 and 2 workers gave 200,
        # 330 and 400 images/s. A network on these cores trains at 50: there workers mostly wait. A GPU needs them all.
        return min(max(1, cpu_count() // getattr(self.trainer, "num_devices", 1)), self.MOST_WORKERS)


def _augmentation(chosen: Augment | None, *, in_memory: bool) -> Augmentation | None:
    """What training changes at random; None where that is nothing."""
    made = Augmentation() if chosen is None else Augmentation(**chosen.model_dump(exclude_unset=True))
    if in_memory and (made.scale < 1 or made.color > 0):
        raise InputError("data.augment: scale and color are for image files; this data set knows flip and shift.")
    return made if made != Augmentation() else None
