"""What `data.decode=fast` does to the answers of a network that was trained on whole pixels, and to the time:

    python -m tests.benchmarks.bench_decode RUN                           the run's test images, as they are
    python -m tests.benchmarks.bench_decode RUN --megapixels 4 8 12       … made as large as a camera's, in turn

Each picture is decoded both ways, in turn, in one process, and shown to the same network. Both accuracies, their paired
difference with Tango's interval, how many answers and logits change, and the time from file to input.

An enlarged picture has the content of the original (Lanczos), a camera's grain and its JPEG: quality 92, 4:2:0. It is
softer than a real photograph of its size. Pictures as they are, at an input a quarter of their side, are not.
"""

import argparse
import io
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image

from src.analysis.intervals import between, difference_interval, wilson
from src.data.images import read_image
from src.data.transforms import load_image
from src.trained.checkpoint import Trained, load_trained
from src.trained.examples import open_own
from src.trained.logits import predict
from tests.benchmarks.ratios import show

WAYS = ("exact", "fast")
GRAIN = 5.0  # standard deviation of the noise, in grey levels: ISO 800 or so
TILE = 512


def enlarged(content: bytes, megapixels: float, random: np.random.Generator) -> bytes:
    """The picture as a JPEG of so many million pixels, with grain that no resizing has smoothed."""
    picture = read_image(io.BytesIO(content))
    factor = math.sqrt(megapixels * 1e6 / (picture.width * picture.height))
    pixels = np.asarray(picture.resize([round(side * factor) for side in picture.size], Image.Resampling.LANCZOS))
    grain = np.rint(random.normal(0, GRAIN, (TILE, TILE, 3))).astype(np.int16)  # one tile: drawing takes seconds
    repeats = [-(-side // TILE) for side in pixels.shape[:2]]
    noisy = pixels + np.tile(grain, (*repeats, 1))[: pixels.shape[0], : pixels.shape[1]]
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92, subsampling="4:2:0")
    return file.getvalue()


def files(paths: list[Path], megapixels: list[float]) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for number, path in enumerate(paths):
        content = path.read_bytes()
        yield enlarged(content, megapixels[number % len(megapixels)], random) if megapixels else content


def measure(trained: Trained, contents: Iterator[bytes]) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """The inputs of each way, uint8 (N, C, S, S), and the seconds of each, (N, 2)."""
    geometries = {way: replace(trained.geometry, decode=way) for way in WAYS}
    images: dict[str, list[torch.Tensor]] = {way: [] for way in WAYS}
    seconds = []
    for number, content in enumerate(contents):
        took = {}
        for way in WAYS if number % 2 else reversed(WAYS):
            began = time.perf_counter()
            images[way].append(load_image(io.BytesIO(content), geometries[way]))
            took[way] = time.perf_counter() - began
        seconds.append([took[way] for way in WAYS])
    return {way: torch.stack(some) for way, some in images.items()}, np.array(seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("run", help="a run folder whose test images are files")
    options.add_argument("--root", help="data.root, where it isn't what it was")
    options.add_argument("--images", type=int, help="at most so many of the test images")
    options.add_argument("--megapixels", type=float, nargs="*", default=[], help="what the pictures are enlarged to")
    arguments = options.parse_args()
    trained = load_trained(arguments.run)
    data = open_own(trained, {"root": arguments.root} if arguments.root else None)
    order = np.random.default_rng(0).permutation(data.size("test"))[: arguments.images]
    targets, paths = data.targets("test")[order], [data.data_root / data.paths("test")[i] for i in order]
    images, seconds = measure(trained, files(paths, arguments.megapixels))
    exact, fast = (predict(trained, images[way].split(50)) for way in WAYS)
    right = {way: logits.argmax(1) == targets for way, logits in zip(WAYS, (exact, fast), strict=True)}
    count, moved = len(targets), np.abs(exact - fast).max(axis=1)
    levels = (images["exact"].int() - images["fast"].int()).abs().flatten(1).float()
    size = f"{trained.geometry.image_size} px, " + ("as they are" if not arguments.megapixels else "enlarged")
    print(f"{trained.name} at {size}: {count} test images; Pillow {PIL.__version__}, torch {torch.__version__}")
    for way in WAYS:
        accuracy = right[way].mean()
        print(f"accuracy, {way:<6} {accuracy:.4f} {between(*wilson(accuracy, count))}")
    low, high = difference_interval(right["fast"] & ~right["exact"], right["exact"] & ~right["fast"])
    print(f"fast − exact      {right['fast'].mean() - right['exact'].mean():+.4f} {between(low, high)}")
    print(f"answers changed   {(exact.argmax(1) != fast.argmax(1)).sum()} of {count}")
    print(f"a logit by        {moved.max():.3f} at most, {np.median(moved):.3f} in the median picture")
    print(f"grey levels by    {levels.max():.0f} at most, {levels.mean():.2f} on average")
    print(f"changed at all    {(moved > 0).sum()} of {count} inputs")
    show("seconds of a picture, exact", seconds[:, 0])
    show("seconds of a picture, fast", seconds[:, 1])
    show("exact / fast", seconds[:, 0] / seconds[:, 1])


if __name__ == "__main__":
    main()
