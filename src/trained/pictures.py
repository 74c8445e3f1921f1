"""The images that a trained network is asked about, decoded when they are wanted; `open_pictures` finds them."""

import logging
import os
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
from ..data.bucket_copies import is_known
from ..data.collection import Skipped
from ..data.datasets import FileDataset, ImageDataset, ImageLoader
from ..data.defects import find_defects, scan
from ..data.folders import list_files
from ..data.images import reason_against_bands
from ..data.located import object_masks
from ..data.manifest import Verdict
from ..data.splits import round_robin, stratified_subset
from ..data.transforms import Geometry
from ..errors import InputError, first_line
from ..names import nfc
from ..runs.folder import RunFolder
from ..runs.saved_settings import run_settings
from ..urls import is_url
from .checkpoint import Trained
from .listing import SPLITS, fetched, find_paths

log = logging.getLogger(__name__)

UNKNOWN = -1
"""The target of an image whose true class nobody has said."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images as the network wants them, decoded when they are wanted.

    Attributes:
        dataset: gives them as uint8 (C, S, S).
        names: N paths, relative to `root`; of an image without a file a name such as "mnist/test/00042".
        targets: int64 (N,), `UNKNOWN` where the true class is, and where an image has several labels.
        skipped: files that are no images.
        workers: processes that decode.
        labels: float32 (N, K), 1, 0 or NaN, where an image has several labels and they are known; else None.
    """

    dataset: ImageDataset
    names: list[str]
    targets: NDArray[np.int64]
    skipped: list[Skipped] = field(default_factory=list)
    workers: int = 0
    labels: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """Yield all images in order, uint8 (n, C, S, S)."""
        for images, _ in ImageLoader(
            self.dataset, EpochBatchSampler(len(self), batch_size, shuffle=False), self.workers
        ):
            yield images

    def take(self, chosen: Sequence[int] | NDArray[np.int64]) -> torch.Tensor:
        """Stack some of the images, uint8 (n, C, S, S)."""
        return torch.stack([self.dataset[int(index)][0] for index in chosen])

    def ratios(self, chosen: Sequence[int] | NDArray[np.int64]) -> list[float] | None:
        """Return width to height of some of the files' pictures, upright; None of cropped squares or without files."""
        dataset = self.dataset
        if not isinstance(dataset, FileDataset) or dataset.geometry.resize == "crop":
            return None
        sizes = (
            dataset.geometry.read(dataset.root / dataset.paths[int(i)], dataset.geometry.image_size).size
            for i in chosen
        )
        return [width / height for width, height in sizes]

    def places(self, chosen: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where the objects are in some of the images, (n, S, S), and whether that is known of each, (n,)."""
        return object_masks(self.dataset, chosen)

    def some(self, most: int | None, seed: int, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Choose at most `most` images, the classes in turn, the same ones for the same seed: their indices, sorted.

        Args:
            among: the indices (m,) to choose from; None: all.
        """
        among = np.arange(len(self)) if among is None else among
        if most is None or most >= len(among):
            return among
        # The unknown are a class of their own.
        chosen: NDArray[np.int64] = among[np.sort(round_robin(self.targets[among] - UNKNOWN, most, seed))]
        return chosen


def open_pictures(where: str, trained: Trained, data_root: str | None = None) -> Pictures:
    """Find and check the images that `where` means; see `src.trained.listing`.

    The name of a file's own folder, if it is one of the classes, is its true class. Names are relative to a folder, and
    as they were written otherwise.

    Args:
        data_root: where the run's data set lies now; None: where it was.

    Raises:
        InputError: There is no image that can be read, or no run for a split.
    """
    if where in SPLITS:
        return open_run_split(where, trained, data_root)
    where = fetched(where)
    path = Path(where).expanduser()
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for a name that is too long
        return _open_folder(path, trained)
    paths = find_paths(where)
    root = Path()
    if paths == [str(path)]:
        root, paths = path.parent, [path.name]
    # Not by `scan`, which would forget what is known of the other files in the folder.
    return _whole_files(root, paths, find_defects(root, paths), [], trained, where)


def open_run_split(split: str, trained: Trained, data_root: str | None = None) -> Pictures:
    """Open a split of the run that `trained` belongs to; `InputError` without a run."""
    if trained.run is None:
        raise InputError(
            f"images={split} means a run's images, and {trained.path} belongs to none: say images=FILE or images=FOLDER"
        )
    if os.path.lexists(split):
        log.info("images=%s is the run's %s split: say images=./%s for the folder of that name", *[split] * 3)
    return open_split(trained.run, split, trained.geometry, trained.class_names, data_root)


def open_split(
    run: RunFolder,
    split: str,
    geometry: Geometry,
    class_names: list[str],
    data_root: str | None = None,
    most: int | None = None,
) -> Pictures:
    """Open a split of a run's data, divided as for the training, without augmentation.

    `most`: so many images of it at most, as many of each class as it has among all.

    Raises:
        InputError: The data are not where they were, or have other classes now.
    """
    data = open_data(run, data_root, geometry)
    if data.class_names != class_names:
        raise InputError(
            f"{data.data_root} has the classes {', '.join(data.class_names[:5])} …, the checkpoint "
            f"{', '.join(class_names[:5])} …: say data.root=FOLDER of the images that it was trained on"
        )
    workers = data.worker_count()
    chosen = np.arange(data.size(split))
    if most is not None and most < len(chosen):
        chosen = stratified_subset(data.stand_ins(split), most, data.seed)
    paths, dataset = data.paths(split), data.dataset(split, None, chosen)
    names, targets = [paths[i] for i in chosen], data.targets(split)[chosen]
    if targets.ndim > 1:
        return Pictures(dataset, names, np.full(len(names), UNKNOWN), workers=workers, labels=targets)
    return Pictures(dataset, names, targets, workers=workers)


def open_data(run: RunFolder, data_root: str | None = None, geometry: Geometry | None = None) -> ImageDataModule:
    """Make the data module of a run, found and divided as for the training; nothing is downloaded."""
    cfg = run_settings(run)
    try:
        settings: Any = OmegaConf.to_container(cfg.data, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"{run.path}: the settings of its data can't be read ({first_line(error)})") from error
    if data_root is not None:
        settings["root"] = data_root
    elif is_url(place := settings.get("root")) and not is_known(place.rstrip("/")):
        # The run may be a stranger's, and credentials are sent to where it says.
        raise InputError(
            f"{run.path} was trained on images in {place}, from which nothing was fetched here yet: say "
            f"data.root={place} if you trust the run"
        )
    if geometry is not None:
        settings |= geometry.settings
    try:
        data = ImageDataModule(**settings, seed=cfg.seed)
    except (TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{run.path}: the settings of its data are those of another version: {error}") from error
    if geometry is not None:
        data.geometry = geometry  # another network's mean is around a padded picture
    data.batch_size = run.batch_size or data.batch_size
    data.collection = data.find(download=False, trained=geometry is not None)
    data.setup()
    return data


def _open_folder(folder: Path, trained: Trained) -> Pictures:
    files, skipped, passed = list_files(folder, Path())
    if passed:
        log.info("passed over %s", passed)
    # `list_files` calls what lies directly in the folder "./name".
    files = sorted(file._replace(path=file.path.removeprefix("./")) for file in files)
    return _whole_files(folder, [file.path for file in files], scan(folder, files), skipped, trained, str(folder))


def _whole_files(
    root: Path,
    paths: Sequence[str],
    verdicts: Sequence[Verdict],
    others: Sequence[Skipped],
    trained: Trained,
    named: str,
) -> Pictures:
    """Take the files at `paths` that have no reason against them."""
    channels = trained.geometry.in_channels
    verdicts = [one._replace(reason=one.reason or reason_against_bands(*one[1:3], channels)) for one in verdicts]
    found = list(zip(paths, verdicts, strict=True))
    bad = [Skipped(path, verdict.reason) for path, verdict in found if verdict.reason is not None]
    skipped = sorted([*others, *bad], key=lambda entry: entry.path)
    whole = [path for path, verdict in found if verdict.reason is None]
    if not whole:
        first = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
        raise InputError(f"images={named} holds no image that can be read{first}: name another file or folder")
    classes = {nfc(name): index for index, name in enumerate(trained.class_names)}
    targets = np.array([classes.get(nfc((root / path).parent.name), UNKNOWN) for path in whole], dtype=np.int64)
    dataset = FileDataset(root, whole, targets, np.arange(len(whole)), trained.geometry, None, 0)
    return Pictures(dataset, whole, targets, skipped)
