"""The data of a run: found, divided into train, val and test, and handed out in batches."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from src.data import settings
from src.data.batches import EpochBatchSampler
from src.data.collection import ImageCollection, Skipped
from src.data.datasets import FileDataset, ImageDataset, ImageLoader, MemoryDataset
from src.data.processes import cpu_count
from src.data.sources import IN_MEMORY, check_source, find_images
from src.data.splits import SPLITS, round_robin, split_dataset, stratified_subset
from src.data.transforms import Augmentation, Geometry
from src.errors import InputError


class ImageDataModule(LightningDataModule):
    """Loaders of `(images uint8 (N, C, S, S), targets int64 (N,))`; who trains converts and normalises on the device.

    Args:
        name: a key of `src.data.sources.SOURCES`.
        root: the folder that holds the data set's own folder; for `folder` the folder of class folders itself.
        image_size: S, the side of the square that a network sees, in pixels.
        in_channels: C, 1 or 3, whatever the images have.
        num_classes: what is expected; None: as many as are found.
        mean, std: one value or one for each channel, as fractions of the full range.
        num_workers: processes that decode; "auto": none for a data set in memory, else one a core, at most 8.
        val_fraction, test_fraction: of the training images, where none are published. In (0, 1).
        max_skipped: the fraction of unreadable files from which on a data set is refused.
        augment: see `src.data.transforms.Augmentation`. None: nothing.
        seed: of the division, the order and the augmentation. Not negative.
        options: what a single data set knows, such as `target` of pets.

    Raises:
        InputError: in any method, for what the user can put right.
    """

    # Each decodes some 200 photographs a second, which eight times over feeds a large GPU; more only cost memory.
    MOST_WORKERS = 8

    def __init__(
        self,
        *,
        name: str,
        root: str | Path = "data",
        image_size: int,
        in_channels: int,
        num_classes: int | None = None,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int = 64,
        num_workers: int | str = "auto",
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        max_skipped: float = 0.05,
        augment: Mapping[str, Any] | None = None,
        interpolation: str = "bilinear",
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        check_source(name, options)
        self.source = name
        self.root = Path(root).expanduser()
        self.options = options
        self.geometry = Geometry(
            settings.whole_number("data.image_size", image_size, 1),
            settings.one_of("data.in_channels", in_channels, (1, 3)),
            settings.interpolation(interpolation),
        )
        self.mean = settings.channel_statistics("data.mean", mean, in_channels)
        self.std = settings.channel_statistics("data.std", std, in_channels)
        self.batch_size = settings.whole_number("data.batch_size", batch_size, 1)
        if num_workers != "auto":
            settings.whole_number("data.num_workers", num_workers, 0)
        self.num_workers = num_workers
        self.fractions = {
            "val_fraction": settings.fraction("data.val_fraction", val_fraction, ends=False),
            "test_fraction": settings.fraction("data.test_fraction", test_fraction, ends=False),
        }
        self.max_skipped = settings.fraction("data.max_skipped", max_skipped, ends=True)
        self.augmentation = settings.augmentation(augment, name in IN_MEMORY)
        self.seed = settings.whole_number("seed", seed, 0)
        self.expected_classes = num_classes
        self.collection: ImageCollection | None = None
        self.splits: dict[str, np.ndarray] = {}

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
        self.splits = split_dataset(
            self.collection.targets,
            self.collection.published,
            self.collection.class_names,
            seed=self.seed,
            **self.fractions,
        )

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

    def size(self, split: str) -> int:
        return len(self.indices(split))

    def indices(self, split: str) -> np.ndarray:
        """Which of all images are in the split, sorted."""
        if not self.splits:
            raise RuntimeError("call setup() first")
        if split not in self.splits:
            raise ValueError(f"split {split!r} is none of {SPLITS}")
        return self.splits[split]

    def train_dataloader(self) -> ImageLoader:
        """Augmented, in an order of its own every epoch; see `EpochBatchSampler` for what is promised of it."""
        return self.loader(self.dataset("train", self.augmentation), self.batch_size, training=True)

    def val_dataloader(self) -> ImageLoader:
        return self.evaluation_dataloader("val")

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

    def loader(self, dataset: ImageDataset, batch_size: int, *, training: bool, whole: bool = False) -> ImageLoader:
        alone = whole or self.trainer is None
        # Lightning's switch for overfitting on purpose wants the same batches every epoch
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        batches = EpochBatchSampler(
            len(dataset),
            batch_size,
            shuffle=training and not overfit,
            seed=self.seed,
            smallest=2 if training else 1,
            rank=0 if alone else self.trainer.global_rank,  # type: ignore[union-attr]
            world_size=1 if alone else self.trainer.world_size,  # type: ignore[union-attr]
        )
        return ImageLoader(dataset, batches, self.worker_count())

    def worker_count(self) -> int:
        if isinstance(self.num_workers, int):
            return self.num_workers
        if self.found.images is not None:
            return 0
        # Cats and dogs at 224 px, flipped and cropped, on 2 cores of which one was busy: 0, 1 and 2 workers gave 200,
        # 330 and 400 images/s. A network on these cores trains at 50: there workers mostly wait. A GPU needs them all.
        return min(max(1, cpu_count() // getattr(self.trainer, "num_devices", 1)), self.MOST_WORKERS)
