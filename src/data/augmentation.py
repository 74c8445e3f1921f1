"""Random changes to a whole batch of images in memory, each image by its own draw.

In NumPy, on one thread: PyTorch would split each of these short steps among its threads, which took 50 ms a batch of
CIFAR-10 instead of 3 while another job held one of the 2 cores.
"""

from typing import NamedTuple

import numpy as np
import torch

from .augmented import Augmentation, mirrors
from .policies import changed, changes


class Views(NamedTuple):
    """How each of n images is seen: pixel (y, x) of the view is pixel (y + down, x + right) of the image.

    Attributes:
        mirrored: bool (n,): x counts from the right.
        down, right: (n,), in pixels; what lies outside of the image is black, or its reflection.
    """

    mirrored: np.ndarray
    down: np.ndarray
    right: np.ndarray


def draw_views(turns: np.ndarray, augmentation: Augmentation, random: np.random.Generator) -> Views:
    """Return how a batch is seen; `turns` (n,) are those of `src.data.augmented.mirrors`."""
    down = right = np.zeros(len(turns), dtype=np.int64)
    if augmentation.shift > 0:
        most = augmentation.shift
        down, right = random.integers(0, 2 * most + 1, size=(2, len(turns))) - most
    mirrored = np.zeros(len(turns), dtype=bool)
    if augmentation.flip == "alternate":
        mirrored = turns % 2 == 1
    elif augmentation.flip:
        mirrored = random.random(len(turns)) < 0.5
    return Views(mirrored, down, right)


def draw_view(turn: int, augmentation: Augmentation, random: np.random.Generator) -> tuple[bool, int, int]:
    """Return how `augment` and `augment_square` see one image, as an entry of `Views` has it.

    They mirror before they shift, and draw in this order.
    """
    mirrored, down, right = mirrors(augmentation, turn, random), 0, 0
    if augmentation.shift > 0:
        down, right = (int(n) for n in random.integers(-augmentation.shift, augmentation.shift + 1, size=2))
    return mirrored, -down, right if mirrored else -right


def augment_batch(
    images: np.ndarray, augmentation: Augmentation, random: np.random.Generator, turns: np.ndarray | None = None
) -> np.ndarray:
    """Return uint8 images (N, C, H, W), each shifted and mirrored in its own way. `images` itself stays unchanged."""
    turns = np.zeros(len(images), dtype=np.int64) if turns is None else turns
    views = draw_views(turns, augmentation, random)
    if augmentation.shift > 0:
        images = shift_batch(images, augmentation.shift, views, augmentation.padding)
    if augmentation.flip:
        images = np.where(views.mirrored[:, None, None, None], images[..., ::-1], images)
    if changes(augmentation) and len(images) > 0:
        tensors = [torch.from_numpy(image) for image in np.ascontiguousarray(images)]
        images = torch.stack(changed(tensors, augmentation, random)).numpy()
    return images


def shift_batch(images: np.ndarray, most: int, views: Views, padding: str = "zeros") -> np.ndarray:
    """Move each image by its own whole pixels, at most so many; black or its reflection comes in."""
    count, channels, height, width = images.shape
    if padding == "reflect":
        padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), mode="reflect")
    else:
        padded = np.zeros((count, channels, height + 2 * most, width + 2 * most), dtype=images.dtype)
        padded[..., most : most + height, most : most + width] = images
    # a view (N, C, 2·most+1, 2·most+1, H, W): every place that the image can be seen from
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return windows[np.arange(count), :, views.down + most, views.right + most]
