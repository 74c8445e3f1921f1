"""Pictures for tests of what is kept of them, and what a training sees."""

import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from src.data import ImageDataModule
from src.data.picture_store import Store

PLENTY = 1 << 40

CROPS = {"flip": True, "shift": 1, "scale": 0.35, "color": 0.0}


def make_photos(root: Path) -> Path:
    """JPEGs of two classes, of sizes at which some are decoded at a half or a quarter for 16 px, and one upright."""
    random = np.random.default_rng(0)
    for name, size in (("a", (150, 110)), ("b", (40, 60))):
        (root / name).mkdir(parents=True)
        for number in range(8):
            small = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
            picture = small.resize((size[0] + 30 * number, size[1]), Image.Resampling.BICUBIC)
            exif = Image.Exif()
            exif[0x0112] = 6 if number == 3 else 1
            picture.save(root / name / f"{number}.jpg", quality=90, exif=exif)
    return root


def bits(data: ImageDataModule) -> str:
    """Of all that training and evaluation see in two epochs."""
    sha, train = hashlib.sha256(), data.train_dataloader()
    for epoch in range(2):
        train.batch_sampler.set_epoch(epoch)
        for loader in (train, data.val_dataloader(), data.test_dataloader(), data.evaluation_dataloader("train")):
            for images, targets in loader:
                sha.update(images.numpy().tobytes() + targets.numpy().tobytes())
    return sha.hexdigest()


def garble(root: Path) -> None:
    """Make every file unreadable, and let it look as before: whoever decodes one fails."""
    for path in root.rglob("*.jpg"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def stores(cache: Path) -> list[Store]:
    return [Store(path.with_suffix(".pixels"), path) for path in sorted(cache.glob("*_pictures/*.index"))]


@contextmanager
def limited(which: int, most: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)
