"""Do images of a class share a pattern, pixel by pixel, wherever it lies: a watermark, a logo, a time stamp?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .intervals import Interval, wilson

PAIRS = 300
SHARE = 0.5
"""The share of pairs within a class that must fit each other as almost no pair of different classes does."""


@dataclass(frozen=True)
class Repeat:
    """The class whose images fit each other best after a shift.

    Attributes:
        share: of pairs within the class, those that fit better than 99 % of the pairs of different classes.
    """

    index: int
    share: float
    interval: Interval

    @property
    def found(self) -> bool:
        return self.interval[0] >= SHARE


def repeated_pattern(images: NDArray[np.uint8], classes: NDArray[np.integer], seed: int = 0) -> Repeat | None:
    """Return the class whose images (N, C, S, S) share most; None where no class has four images.

    Two images fit each other as well as the highest peak of their phase correlation: 1 where one is the other, shifted.
    It weighs all frequencies alike, so that it finds what is the same pixel by pixel, and not what is alike in shading.
    Kuglin & Hines 1975.
    """
    random = np.random.default_rng(seed)
    spectra = _spectra(images)
    known = [int(index) for index in np.unique(classes) if (classes == index).sum() >= 4]
    if not known:
        return None
    between = np.array(list(_fits(spectra, _different(classes, random))))
    limit = float(np.quantile(between, 0.99)) if len(between) else np.inf
    found = []
    for index in known:
        own = np.flatnonzero(classes == index)
        pairs = [tuple(random.choice(own, 2, replace=False)) for _ in range(PAIRS)]
        share = float((np.array(list(_fits(spectra, pairs))) > limit).mean())
        # As many independent pairs as images: each image is in several.
        found.append(Repeat(index, share, wilson(share, min(PAIRS, len(own)))))
    return max(found, key=lambda one: one.interval[0])


def _spectra(images: NDArray[np.uint8]) -> NDArray[np.complex64]:
    """Return the phases (N, S, S/2 + 1) of the grey images, without the jump at their edges."""
    grey = images.mean(axis=1, dtype=np.float32)
    window = np.hanning(grey.shape[-1]).astype(np.float32)
    flat = (grey - grey.mean(axis=(1, 2), keepdims=True)) * np.outer(window, window) ** 0.25
    spectra = np.fft.rfft2(flat)
    return (spectra / (np.abs(spectra) + 1e-6)).astype(np.complex64)


def _different(classes: NDArray[np.integer], random: np.random.Generator) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for _ in range(50 * PAIRS):
        first, second = random.integers(0, len(classes), 2)
        if classes[first] != classes[second]:
            pairs.append((int(first), int(second)))
        if len(pairs) == 2 * PAIRS:
            break
    return pairs


def _fits(spectra: NDArray[np.complex64], pairs: list[tuple[int, int]]) -> Iterator[float]:
    side = spectra.shape[1]
    for first, second in pairs:
        yield float(np.fft.irfft2(spectra[first] * spectra[second].conj(), s=(side, side)).max())
