"""Figures of attribution maps: how alike two maps are, and how sharp one is."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..figures import upsample
from .intervals import mean_interval


def map_similarity(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Pearson's correlation of the positive parts of two sets of raw maps (N, h, w), averaged over the images.

    In [-1, 1]. Images with a constant map (no positive evidence) are left out; NaN if that leaves none.
    """
    if a.shape != b.shape:
        raise ValueError(f"maps of shapes {a.shape} and {b.shape} lie on different grids")
    one, two = (np.maximum(maps.reshape(len(maps), -1).astype(np.float64), 0) for maps in (a, b))
    varied = (one.min(axis=1) < one.max(axis=1)) & (two.min(axis=1) < two.max(axis=1))  # False for NaN too
    if not varied.any():
        return float("nan")
    return float(np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(one[varied], two[varied], strict=True)]))


def half_energy_area(maps: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the smallest share of each image that holds half of its map's energy, (N,) in (0, 1]: small is sharp.

    Energy is the sum of the positive part of the raw `maps` (N, h, w), laid over an image of `size` (H, W) as the
    pictures show it. 0.5 for a constant positive map; NaN for one without positive evidence.
    """
    heat = upsample(np.maximum(maps.astype(np.float64), 0), size).reshape(len(maps), -1)
    gathered = np.cumsum(-np.sort(-heat, axis=1), axis=1)
    half = gathered[:, -1:] / 2
    pixels = 1 + (gathered < half * (1 - 1e-12)).sum(axis=1)  # rounding must not add a pixel
    return np.where(half[:, 0] > 0, pixels / heat.shape[1], np.nan)


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Spearman's correlation of two sets of raw maps (N, h, w), image by image: (N,) in [-1, 1].

    Ties share their mean rank. NaN where a map is constant or not finite, and so has no ranks.
    """
    if a.shape != b.shape:
        raise ValueError(f"maps of shapes {a.shape} and {b.shape} lie on different grids")
    pairs = [maps.reshape(len(maps), -1).astype(np.float64) for maps in (a, b)]
    finite = np.isfinite(np.concatenate(pairs, axis=1)).all(axis=1, keepdims=True)  # (N, 1)
    one, two = (np.array([_ranks(row) for row in np.where(finite, maps, 0)]) for maps in pairs)
    one, two = (ranks.reshape(maps.shape) for ranks, maps in zip((one, two), pairs, strict=True))  # of no maps, too
    one, two = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, two))
    spread = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    together = (one * two).sum(axis=1)
    correlations: NDArray[np.float64] = np.divide(together, spread, out=np.full(len(a), np.nan), where=spread > 0)
    return correlations


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value (n,), from 1; ties share their mean.

    As `scipy.stats.rankdata`, whose import takes half a second of every training.
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


@dataclass(frozen=True)
class Agreement:
    """How well other maps of the same images agree with the maps under test on which cells come first.

    Attributes:
        stage: what was done to the network, or where else the maps come from.
        correlation: Spearman's, averaged over draws and `n` images, with its 95 % interval over the images.
        absolute: the same for magnitudes: a map that keeps its outlines and loses its signs has learned little, too.
        draws: the signed mean of each random draw by itself, as the interval doesn't cover how draws differ.
    """

    stage: str
    correlation: float
    low: float
    high: float
    absolute: float
    absolute_low: float
    absolute_high: float
    n: int
    draws: tuple[float, ...]


def agreements(maps: NDArray[np.floating], others: Iterable[tuple[str, NDArray[np.floating]]]) -> list[Agreement]:
    """Return one row for each stage of `others` (stage, maps), in their order; maps of one stage are random draws.

    All maps are raw and (N, h, w). Draws are averaged image by image. A constant map, such as that of a layer silenced
    by random weights, has no correlation; an image counts with the draws in which it has one.
    """
    signed: dict[str, list[NDArray[np.float64]]] = {}
    absolute: dict[str, list[NDArray[np.float64]]] = {}
    for stage, other in others:
        signed.setdefault(stage, []).append(rank_correlation(maps, other))
        absolute.setdefault(stage, []).append(rank_correlation(np.abs(maps), np.abs(other)))
    rows = []
    for stage, draws in signed.items():
        ours, magnitudes = _by_image(draws), _by_image(absolute[stage])
        means = tuple(float(draw.mean()) if len(draw) else float("nan") for draw in map(_measured, draws))
        figures = (*_mean(ours), *_mean(magnitudes))
        rows.append(Agreement(stage, *figures, n=len(ours), draws=means))
    return rows


def _by_image(draws: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over the draws of each image that has a correlation in any."""
    stacked = np.stack(draws)  # (draws, N)
    counts = np.isfinite(stacked).sum(axis=0)
    means: NDArray[np.float64] = np.nansum(stacked, axis=0)[counts > 0] / counts[counts > 0]
    return means


def _measured(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean and its interval, which is NaN where there is none; three times NaN without values."""
    if not len(values):
        return (float("nan"),) * 3
    return float(values.mean()), *mean_interval(values)
