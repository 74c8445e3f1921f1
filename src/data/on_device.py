"""Images that live on the device that trains: gathered, flipped and shifted there, with the pixels of the host's way.

What is random is drawn on the host as without it, by the same generators; three numbers an image travel to the device
instead of its pixels. No worker is needed, and nothing waits for the device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..tables import gibibytes
from .augmented import Augmentation
from .batches import Batch
from .datasets import FileDataset, ImageDataset, ImagesAndTargets, PictureDataset

SHARE_OF_FREE = 0.25
"""Of the device's free memory, which images may take unasked: the rest is for the network, and for larger batches."""

COSTLY = ("scale", "color", "policy", "erase")
"""Changes that need the host."""

AT_ONCE = 1024
"""Images that are read before they are sent."""


@dataclass(frozen=True)
class Resident:
    """Images on a device.

    Attributes:
        pixels: uint8 (R, C, S, S).
        rows: int64 (M,): where each of all images stands among them.
    """

    pixels: Tensor
    rows: np.ndarray


class DeviceDataset(ImageDataset):
    """A split whose images are resident: it draws as `host` does, and makes the same batches on the device."""

    def __init__(self, host: PictureDataset, resident: Resident) -> None:
        super().__init__(host.targets, host.geometry, host.augmentation, host.seed)
        self.host = host
        self.pixels = resident.pixels
        self.rows = resident.rows[host.indices]

    def __getitems__(self, batch: Batch) -> ImagesAndTargets:
        return self.images(batch), self._send(self.targets[batch.indices])

    def images(self, batch: Batch) -> Tensor:
        rows = self.rows[batch.indices]
        if self.augmentation is None:
            return self.pixels[self._send(rows)]
        numbers = self._send(np.stack([rows, *self.host.views(batch)]))
        return seen(self.pixels, *numbers, padding=self.augmentation.padding)

    def _send(self, numbers: np.ndarray) -> Tensor:
        sent = torch.from_numpy(numbers)
        if self.pixels.is_cuda:  # from pinned memory, or the copy would wait for all that the device has to do
            sent = sent.pin_memory()
        return sent.to(self.pixels.device, non_blocking=True)


def seen(pixels: Tensor, rows: Tensor, mirrored: Tensor, down: Tensor, right: Tensor, *, padding: str) -> Tensor:
    """Return images of `pixels` (R, C, S, S) as `src.data.augmentation.Views` has them: (N, C, S, S)."""
    channels, side = pixels.shape[1:3]
    ahead = torch.arange(side, device=pixels.device)
    y = ahead + down[:, None]  # (N, S)
    x = torch.where(mirrored[:, None] == 1, ahead.flip(0), ahead) + right[:, None]
    channel = torch.arange(channels, device=pixels.device)[None, :, None, None]
    if padding == "reflect":
        y, x = _reflected(y, side), _reflected(x, side)
        return pixels[rows[:, None, None, None], channel, y[:, None, :, None], x[:, None, None, :]]
    inside = ((y >= 0) & (y < side))[:, None, :, None] & ((x >= 0) & (x < side))[:, None, None, :]
    y, x = y.clamp(0, side - 1), x.clamp(0, side - 1)
    return pixels[rows[:, None, None, None], channel, y[:, None, :, None], x[:, None, None, :]] * inside


def _reflected(places: Tensor, side: int) -> Tensor:
    """Do as `src.data.augmented.reflected`."""
    period = max(1, 2 * (side - 1))
    places = places % period
    return torch.minimum(places, period - places)


def put(
    datasets: Mapping[str, PictureDataset],
    augmentation: Augmentation | None,
    wanted: bool | str,
    device: torch.device,
    free: Callable[[torch.device], int],
) -> Resident | None:
    """Put the images of all splits on the device; None where `data.on_device` doesn't want them there.

    Args:
        datasets: The splits, unchanged by augmentation.
        augmentation: That of the training.
        wanted: `data.on_device`.
        free: Tells the bytes of memory that are free on the device.

    Raises:
        InputError: They are wanted there and can't be.
    """
    if wanted is False or (wanted == "auto" and device.type == "cpu"):
        return None
    room = free(device)
    if why := reason_against(datasets, augmentation, room if wanted is True else int(SHARE_OF_FREE * room)):
        if wanted is True:
            raise InputError(f"data.on_device=true is not possible: {why}, or say data.on_device=auto")
        return None
    indices = np.concatenate([dataset.indices for dataset in datasets.values()])
    rows = np.full(indices.max() + 1, -1)
    rows[indices] = np.arange(len(indices))
    geometry = next(iter(datasets.values())).geometry
    shape = (len(indices), geometry.in_channels, geometry.image_size, geometry.image_size)
    pixels, filled = torch.empty(shape, dtype=torch.uint8, device=device), 0
    for dataset in datasets.values():
        for start in range(0, len(dataset), AT_ONCE):
            part = np.arange(start, min(start + AT_ONCE, len(dataset)))
            pixels[filled : filled + len(part)] = dataset.images(Batch(0, 0, part, np.zeros_like(part)))
            filled += len(part)
    return Resident(pixels, rows)


def reason_against(datasets: Mapping[str, PictureDataset], augmentation: Augmentation | None, room: int) -> str:
    """Return why images can't live on the device, and what to change; empty where they can."""
    if augmentation is not None and not augmentation.is_cheap:
        usual = Augmentation()
        costly = [name for name in COSTLY if getattr(augmentation, name) != getattr(usual, name)]
        words = " ".join(
            f"data.augment.{name}={getattr(usual, name):{'' if name == 'policy' else 'g'}}" for name in costly
        )
        return f"images are flipped and shifted there, and no more: say {words}"
    if any(isinstance(dataset, FileDataset) and not dataset.is_kept for dataset in datasets.values()):
        return "not all decoded images are kept: say data.cache=memory or disk, with room for them"
    geometry = next(iter(datasets.values())).geometry
    size = sum(map(len, datasets.values())) * geometry.in_channels * geometry.image_size**2
    return (
        f"images would take {gibibytes(size)}, of {gibibytes(room)}: take fewer or smaller ones" if size > room else ""
    )
