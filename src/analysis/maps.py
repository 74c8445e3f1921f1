"""Figures of attribution maps: how alike two are, and how sharp one is."""

import numpy as np
from numpy.typing import NDArray

from src.figures import upsample


def map_similarity(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's correlation of the positive parts of two sets of raw maps (N, h, w), the mean over the images.

    In [-1, 1]. Images for which a map is constant (no positive evidence) have none; NaN where that is so for all.
    """
    if a.shape != b.shape:
        raise ValueError(f"maps of shapes {a.shape} and {b.shape} lie on different grids")
    one, two = (np.maximum(maps.reshape(len(maps), -1).astype(np.float64), 0) for maps in (a, b))
    varied = (one.min(axis=1) < one.max(axis=1)) & (two.min(axis=1) < two.max(axis=1))  # False for NaN too
    if not varied.any():
        return float("nan")
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(one[varied], two[varied], strict=True)]))


def half_energy_area(maps: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """The smallest share of the image, in (0, 1], that holds half of a map's energy: the less, the sharper. (N,)

    `maps` raw (N, h, w). Energy is the sum of the positive part, laid over an image of `size` (H, W) as the pictures
    show it. 0.5 for a map of one value; NaN for one without positive evidence.
    """
    heat = upsample(np.maximum(maps.astype(np.float64), 0), size).reshape(len(maps), -1)
    gathered = np.cumsum(-np.sort(-heat, axis=1), axis=1)
    half = gathered[:, -1:] / 2
    pixels = 1 + (gathered < half * (1 - 1e-12)).sum(axis=1)  # rounding must not cost a pixel
    return np.where(half[:, 0] > 0, pixels / heat.shape[1], np.nan)
