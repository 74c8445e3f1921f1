"""Data sets that fit in memory: their images are one uint8 tensor."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .cache import cache_file, write_cache
from .collection import ImageCollection
from .defects import may_pass
from .folders import Listing, select
from .manifest import Verdict
from .processes import map_files
from .refusal import UnreadableImageError
from .transforms import Geometry, load_image

log = logging.getLogger(__name__)


def in_memory(
    name: str, root: Path, class_names: Sequence[str], parts: dict[str, tuple[torch.Tensor, Sequence[int]]]
) -> ImageCollection:
    """Return a collection of the published parts: split → (images uint8 (N, C, H, W), targets (N,))."""
    ends = np.cumsum([len(targets) for _, targets in parts.values()])
    starts = [0, *ends[:-1]]
    # We divide a part that is the only one: named "train", an image of our test split would look like a training image.
    prefixes = {split: f"{name}/{split}" if len(parts) > 1 else name for split in parts}
    return ImageCollection(
        root=root,
        class_names=list(class_names),
        targets=np.concatenate([np.asarray(targets, dtype=np.int64) for _, targets in parts.values()]),
        paths=[f"{prefixes[split]}/{i:05d}" for split, (_, targets) in parts.items() for i in range(len(targets))],
        published={split: np.arange(a, b) for split, a, b in zip(parts, starts, ends, strict=True)},
        images=torch.cat([images for images, _ in parts.values()]),
    )


def decode_into_memory(listing: Listing, geometry: Geometry) -> ImageCollection:
    """Return small image files as one tensor, remembered in the cache as long as no file changes."""
    content = repr([(*file, target) for file, target in zip(listing.files, listing.targets, strict=True)])
    fingerprint = hashlib.sha256(f"1 {geometry} {content}".encode()).hexdigest()
    path = cache_file(listing.root, "images.npz")
    remembered = read_array(path, fingerprint)
    if remembered is None:
        blank = np.zeros((geometry.in_channels, geometry.image_size, geometry.image_size), dtype=np.uint8)
        work = partial(decode, listing.root, geometry, blank)
        paths = [file.path for file in listing.files]
        decoded = map_files(work, paths, "Reading images", lost=lambda reason: (blank, reason))
        images = np.stack([image for image, _ in decoded])
        reasons = [reason for _, reason in decoded]
        arrays = {
            "fingerprint": np.array(fingerprint),
            "images": images,
            "reasons": np.array([r or "" for r in reasons]),
        }
        if not any(may_pass(reason) for reason in reasons):
            write_cache(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    else:
        images, reasons = remembered
    good = np.array([reason is None for reason in reasons])
    found = select(listing, [Verdict(reason) for reason in reasons])
    return replace(found, images=torch.from_numpy(images[good]), verdicts=None)


def decode(root: Path, geometry: Geometry, blank: np.ndarray, path: str) -> tuple[np.ndarray, str | None]:
    """Return a file's pixels, uint8 (C, S, S), and None; or `blank` and why it can't be read."""
    try:
        return load_image(root / path, geometry).numpy(), None
    except UnreadableImageError as error:
        return blank, error.reason


def read_array(path: Path | None, fingerprint: str) -> tuple[np.ndarray, list[str | None]] | None:
    """Return the remembered images and reasons, or None where there are none, other ones, or broken ones."""
    if path is None or not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) != fingerprint:
                return None
            return arrays["images"], [str(reason) or None for reason in arrays["reasons"]]
    except Exception as error:  # zipfile raises nearly anything on flipped bytes
        log.info("the cache %s is broken (%s): reading the images again", path, type(error).__name__)
        return None
