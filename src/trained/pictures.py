"""The images that a trained network is asked about: files, a folder, or a split of the data that it was trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ..data import ImageDataModule
from ..data.batches import EpochBatchSampler
from ..data.collection import Skipped
from ..data.datasets import FileDataset, ImageDataset, ImageLoader
from ..data.folders import list_files
from ..data.scan import find_defects, scan
from ..data.splits import round_robin
from ..data.transforms import Geometry
from ..errors import InputError, first_line
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from .checkpoint import Trained

SPLITS = ("train", "val", "test")
UNKNOWN = -1
"""The target of an image whose true class nobody has said."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images as the network wants them, decoded when they are asked for.

    Attributes:
        dataset: gives them as uint8 (C, S, S).
        names: N paths, relative to `root`; of an image without a file a name such as "mnist/test/00042".
        targets: int64 (N,), `UNKNOWN` where the true class is.
        skipped: files that are no images.
        workers: processes that decode.
    """

    dataset: ImageDataset
    names: list[str]
    targets: NDArray[np.int64]
    skipped: list[Skipped] = field(default_factory=list)
    workers: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """All images in order, uint8 (n, C, S, S)."""
        for images, _ in ImageLoader(
            self.dataset, EpochBatchSampler(len(self), batch_size, shuffle=False), self.workers
        ):
            yield images

    def take(self, chosen: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
        """Some of the images, uint8 (n, C, S, S)."""
        return torch.stack([self.dataset[int(index)][0] for index in chosen])

    def some(self, most: int | None, seed: int, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Indices of at most so many images, in order: the classes in turn, the same ones for the same seed.

        `among` (m,) are the indices to choose from, by default all.
        """
        among = np.arange(len(self)) if among is None else among
        if most is None or most >= len(among):
            return among
        # The unknown are a class of their own.
        return among[np.sort(round_robin(self.targets[among] - UNKNOWN, most, seed))]


def open_pictures(where: str, trained: Trained, data_root: str | None = None) -> Pictures:
    """`where` is a file, a folder, or `train`, `val` or `test`: that split of the run that `trained` belongs to.

    In a folder the name of an image's own folder, where it is one of the classes, is its true class. `data_root` says
    where the run's data set lies now. Raises `InputError` where there is no image.
    """
    if where in SPLITS:
        if trained.run is None:
            raise InputError(
                f"images={where} are those of a run, and {trained.path} lies in none: say images=FILE or images=FOLDER"
            )
        return open_split(trained.run, where, trained.geometry, trained.class_names, data_root)
    path = Path(where).expanduser()
    if path.is_dir():
        return _open_folder(path, trained)
    if not path.is_file():
        raise InputError(f"images={where} does not exist: name a file or a folder, or say {', '.join(SPLITS)}")
    # Not by `scan`, which would forget what is known of the other files in the folder.
    return _whole_files(path.parent, [path.name], find_defects(path.parent, [path.name]), [], trained, where)


def open_split(
    run: RunFolder, split: str, geometry: Geometry, class_names: list[str], data_root: str | None = None
) -> Pictures:
    """A split of a run's data as it was divided for the training, without augmentation.

    Raises `InputError` where the data are not where they were, or have other classes now.
    """
    data = open_data(run, data_root, geometry)
    if data.class_names != class_names:
        raise InputError(
            f"{data.data_root} has the classes {', '.join(data.class_names[:5])} …, the checkpoint "
            f"{', '.join(class_names[:5])} …: say data.root=FOLDER of the images that it was trained on"
        )
    workers = data.worker_count()
    return Pictures(data.dataset(split, None), data.paths(split), data.targets(split), workers=workers)


def open_data(run: RunFolder, data_root: str | None = None, geometry: Geometry | None = None) -> ImageDataModule:
    """The data module of a run, found and divided as they were for the training; nothing is downloaded."""
    cfg = run_settings(run)
    try:
        settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{run.path}: the settings of its data can't be read ({first_line(error)})") from error
    if data_root is not None:
        settings["root"] = data_root
    if geometry is not None:
        settings |= {"image_size": geometry.image_size, "in_channels": geometry.in_channels}
    try:
        data = ImageDataModule(**settings, seed=cfg.seed)
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{run.path}: the settings of its data are those of another version: {error}") from error
    data.batch_size = run.batch_size or data.batch_size
    data.collection = data.find(download=False)
    data.setup()
    return data


def _open_folder(folder: Path, trained: Trained) -> Pictures:
    files, skipped = list_files(folder, Path())
    # `list_files` calls what lies directly in the folder "./name".
    files = sorted(file._replace(path=file.path.removeprefix("./")) for file in files)
    return _whole_files(folder, [file.path for file in files], scan(folder, files), skipped, trained, str(folder))


def _whole_files(
    root: Path,
    paths: Sequence[str],
    reasons: Sequence[str | None],
    others: Sequence[Skipped],
    trained: Trained,
    named: str,
) -> Pictures:
    """The files at `paths` with no reason against them."""
    bad = [Skipped(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason is not None]
    skipped = sorted([*others, *bad], key=lambda entry: entry.path)
    whole = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    if not whole:
        first = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise InputError(f"images={named} holds no image that can be read{first}: name another file or folder")
    classes = {name: index for index, name in enumerate(trained.class_names)}
    targets = np.array([classes.get((root / path).parent.name, UNKNOWN) for path in whole], dtype=np.int64)
    dataset = FileDataset(root, whole, targets, np.arange(len(whole)), trained.geometry, None, 0)
    return Pictures(dataset, whole, targets, skipped)
