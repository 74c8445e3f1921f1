"""Random changes to a whole batch of images in memory, each image by its own draw.

In NumPy, on one thread: PyTorch would split each of these short steps among its threads, which took 50 ms a batch of
CIFAR-10 instead of 3 while another job held one of the 2 cores.
"""

import numpy as np
import torch

from .augmented import Augmentation
from .policies import changed, changes


def augment_batch(images: np.ndarray, augmentation: Augmentation, random: np.random.Generator) -> np.ndarray:
    """Return uint8 images (N, C, H, W), each shifted and mirrored in its own way. `images` itself stays unchanged."""
    if augmentation.shift > 0:
        images = shift_batch(images, augmentation.shift, random)
    if augmentation.flip:
        mirrored = random.random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[..., ::-1], images)
    if changes(augmentation) and len(images) > 0:
        tensors = [torch.from_numpy(image) for image in np.ascontiguousarray(images)]
        images = torch.stack(changed(tensors, augmentation, random)).numpy()
    return images


def shift_batch(images: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """Move each image by whole pixels, uniform in -most…most down and right, with black where nothing comes in."""
    count, channels, height, width = images.shape
    down, right = random.integers(0, 2 * most + 1, size=(2, count))
    padded = np.zeros((count, channels, height + 2 * most, width + 2 * most), dtype=images.dtype)
    padded[..., most : most + height, most : most + width] = images
    # a view (N, C, 2·most+1, 2·most+1, H, W): every place that the image can be seen from
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return windows[np.arange(count), :, down, right]
