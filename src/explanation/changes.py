"""Images changed in the same way, all of them: a piece covered, put in from another image, or repeated everywhere."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Images = NDArray[np.uint8]
Slices = tuple[slice, slice]


def cells(side: int, number: int) -> list[list[Slices]]:
    """Return the rows and columns of pixels of each cell of a grid (n, n) over images of `side` pixels."""
    edges = np.linspace(0, side, number + 1).round().astype(int)
    parts = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    return [[(row, column) for column in parts] for row in parts]


def pieces(side: int, number: int) -> list[list[Slices]]:
    """Return pieces as large as cells, and nearly where they are: not on the 8×8 grid whose edges show compression."""
    size = side // number
    starts = np.linspace(size / 4, side - size * 1.25, number).round().astype(int)
    parts = [slice(int(start), int(start) + size) for start in starts]
    return [[(row, column) for column in parts] for row in parts]


def greyed(images: Images) -> Images:
    """Return images (N, C, S, S) of one colour each: the mean of all."""
    mean = images.mean(axis=(0, 2, 3), keepdims=True).round().astype(np.uint8)
    return np.broadcast_to(mean, images.shape)


def blurred(images: Images) -> Images:
    """Return the images so blurred that a cell of a 4×4 grid shows its mean colour alone."""
    radius = images.shape[-1] / 8
    return np.stack([_blurred(image, radius) for image in images])


def _blurred(image: Images, radius: float) -> Images:
    channels = [Image.fromarray(channel).filter(ImageFilter.GaussianBlur(radius)) for channel in image]
    return np.stack([np.asarray(channel) for channel in channels])


def put(images: Images, others: Images, place: Slices | NDArray[np.bool_]) -> Images:
    """Return the images with the pixels at `place`, a cell or a mask (S, S) or (N, S, S), from `others`."""
    changed = images.copy()
    if isinstance(place, tuple):
        changed[:, :, place[0], place[1]] = others[:, :, place[0], place[1]]
        return changed
    return np.where(place[..., None, :, :], others, images)


def frame(side: int) -> NDArray[np.bool_]:
    """Return which pixels (S, S) lie in the outer sixteenth on each side, at least two pixels wide."""
    width = max(2, side // 16)
    mask = np.ones((side, side), bool)
    mask[width:-width, width:-width] = False
    return mask


def centre(side: int) -> NDArray[np.bool_]:
    """Return which pixels (S, S) lie in the middle half of height and width: a quarter of the image."""
    mask = np.zeros((side, side), bool)
    mask[side // 4 : side - side // 4, side // 4 : side - side // 4] = True
    return mask


def repeated(images: Images, piece: Slices) -> Images:
    """Return images that show one piece alone, repeated over the whole: what it is made of, and nothing of its place.

    Every other copy is mirrored, so that no edges come between them that weren't there.
    """
    side = images.shape[-1]
    part = images[:, :, piece[0], piece[1]]
    wide = np.concatenate([part, part[..., ::-1]], axis=3)
    block = np.concatenate([wide, wide[:, :, ::-1]], axis=2)
    times = -(-side // min(block.shape[2:])) + 1
    return np.tile(block, (1, 1, times, times))[:, :, :side, :side]


def donors(classes: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """Return for each image the index of one that has another class: the class at random, then one of its images."""
    random = np.random.default_rng(seed)
    by_class = {int(index): np.flatnonzero(classes == index) for index in np.unique(classes)}
    chosen = np.empty(len(classes), np.int64)
    for i, own in enumerate(classes):
        others = [index for index in by_class if index != own]
        chosen[i] = random.choice(by_class[int(random.choice(others))])
    return chosen


def fellows(classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return for each image the index of the next one of its class."""
    chosen = np.arange(len(classes))
    for index in np.unique(classes):
        chosen[classes == index] = np.roll(chosen[classes == index], 1)
    return chosen


def tinted(images: Images, others: Images) -> Images:
    """Return the images with the mean and the spread of each channel of `others`: their light, their tint."""
    pixels, theirs = images.astype(np.float32), others.astype(np.float32)
    mean, spread = (part(pixels, axis=(2, 3), keepdims=True) for part in (np.mean, np.std))
    their_mean, their_spread = (part(theirs, axis=(2, 3), keepdims=True) for part in (np.mean, np.std))
    changed = (pixels - mean) * (their_spread / np.maximum(spread, 1)) + their_mean
    return np.asarray(changed.round().clip(0, 255), np.uint8)


def sharpened(images: Images, others: Images) -> Images:
    """Return the images with as much of each spatial frequency as `others` have: their sharpness, their compression.

    The amplitudes of each ring of frequencies are scaled, as one, to the mean of theirs; phases, which hold the shapes,
    and means stay.
    """
    side = images.shape[-1]
    down, across = np.fft.fftfreq(side)[:, None] * side, np.fft.rfftfreq(side)[None] * side
    ring = np.hypot(down, across).round().astype(int)
    count = np.bincount(ring.ravel())
    changed = np.empty_like(images)
    for number, (image, other) in enumerate(zip(images, others, strict=True)):
        spectra = [np.fft.rfft2(one.astype(np.float32)) for one in (image, other)]
        amount, wanted = (
            np.bincount(ring.ravel(), np.abs(one).mean(axis=0).ravel(), minlength=len(count)) / count for one in spectra
        )
        gain = (wanted + 1e-3) / (amount + 1e-3)
        gain[0] = 1
        pixels = np.fft.irfft2(spectra[0] * gain[ring], s=(side, side))
        changed[number] = pixels.round().clip(0, 255)
    return changed
