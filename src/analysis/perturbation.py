"""Images changed by a map: pixels removed, put back or imputed in the order of their relevance.

NumPy in and out, with one batch of changed images in memory at a time. Images are normalised: 0 is the data's mean.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..figures import upsample

Predict = Callable[[NDArray[np.float32]], Any]
"""Normalised images (n, C, H, W) → class probabilities (n, K), as anything that NumPy reads as an array."""
Scores = dict[str, dict[str, NDArray[np.float64]]]
Trial = tuple[NDArray[np.float32], NDArray[np.float64], tuple[int, int]]  # an image, and where its answer goes

BASELINES = ("random", "centre blob", "inverted")
EXPLANATIONS = ("map", *BASELINES)
BLUR = 5.0
"""Standard deviation, in pixels, of the blur that hides an image of up to `BLUR_SIDE` px; larger ones in proportion."""
BLUR_SIDE = 224
BLOB = 0.25
"""Standard deviation of the centre blob, as a share of the image's height and width."""
NOISE = 0.01
"""ROAD's noise, as its authors have it, in units of the data's standard deviation."""
TOGETHER = 16
"""How many images are imputed at a time."""


def probabilities(
    predict: Predict,
    images: NDArray[np.float32],
    targets: NDArray[np.integer],
    maps: NDArray[np.floating],
    usable: NDArray[np.int64],
    steps: int,
    removed: Sequence[float],
    seed: int,
    batch_size: int,
    progress: Callable[[float], None] | None,
) -> Scores:
    """Return the explained class's probability for all changed images, (N, …) by change and explanation.

    `deletion` and `insertion`: by step; `most` and `least`: with the most, or least, relevant shares of the pixels
    imputed. NaN for images that are not among the indices `usable`.
    """
    lengths = {"deletion": steps + 1, "insertion": steps + 1, "most": len(removed), "least": len(removed)}
    scores = {
        what: {name: np.full((len(images), length), np.nan) for name in EXPLANATIONS}
        for what, length in lengths.items()
    }
    trials = _trials(images, maps, usable, scores, removed, seed)
    total = len(usable) * (3 + len(EXPLANATIONS) * 2 * (steps - 1) + 2 * 3 * len(removed))
    for done in _answers(predict, trials, targets, batch_size):
        if progress is not None:
            progress(done / total)
    _complete(scores)
    return scores


def _trials(
    images: NDArray[np.float32],
    maps: NDArray[np.floating],
    usable: NDArray[np.int64],
    scores: Scores,
    removed: Sequence[float],
    seed: int,
) -> Iterator[Trial]:
    """Yield all changed images, one by one; `_complete` adds what follows from them."""
    size, random = images.shape[2:], np.random.default_rng(seed)
    pixels = size[0] * size[1]
    blob_order = pixel_order(centre_blob(size), size, seed)
    parts = [round(share * pixels) for share in removed]
    steps = scores["deletion"]["map"].shape[1] - 1
    amounts = [round(step / steps * pixels) for step in range(steps + 1)]
    for i in usable:
        own = int(np.random.default_rng((seed, i)).integers(1 << 32))
        chance = random_map(maps.shape[1:], own)
        order = pixel_order(maps[i], size, own)
        orders = {"map": order, "random": pixel_order(chance, size, own), "centre blob": blob_order}
        orders["inverted"] = order[::-1]
        yield from _one_image(images[i], int(i), orders, amounts, scores)
        for name in ("map", "random"):
            for place, part in enumerate(parts):
                for what, chosen in (("most", orders[name][:part]), ("least", orders[name][pixels - part :])):
                    yield imputed(images[[i]], chosen, random)[0], scores[what][name], (int(i), place)
    for place, part in enumerate(parts):
        for what, chosen in (("most", blob_order[:part]), ("least", blob_order[pixels - part :])):
            for some in np.split(usable, range(TOGETHER, len(usable), TOGETHER)):
                for i, image in zip(some, imputed(images[some], chosen, random), strict=True):
                    yield image, scores[what]["centre blob"], (int(i), place)


def _one_image(
    image: NDArray[np.float32],
    i: int,
    orders: dict[str, NDArray[np.int64]],
    amounts: Sequence[int],
    scores: Scores,
) -> Iterator[Trial]:
    """Yield deletion and insertion; what all explanations share goes to the map's scores."""
    hidden, mean, last = blurred(image), np.zeros_like(image), len(amounts) - 1
    yield image, scores["deletion"]["map"], (i, 0)
    yield mean, scores["deletion"]["map"], (i, last)
    yield hidden, scores["insertion"]["map"], (i, 0)
    for name, order in orders.items():
        for step in range(1, last):
            chosen = order[: amounts[step]]
            yield replaced(image, chosen, mean), scores["deletion"][name], (i, step)
            yield replaced(hidden, chosen, image), scores["insertion"][name], (i, step)


def _answers(predict: Predict, trials: Iterable[Trial], targets: NDArray[np.integer], batch_size: int) -> Iterator[int]:
    """Write the probabilities to their places; yield after each batch how many trials are done."""
    trials, done = iter(trials), 0
    while batch := list(islice(trials, batch_size)):
        probabilities = np.asarray(predict(np.stack([image for image, _, _ in batch])))
        if not np.isfinite(probabilities).all():
            raise InputError("faithfulness: the network's probabilities are not finite; train it again")
        for row, (_, store, place) in zip(probabilities, batch, strict=True):
            store[place] = row[targets[place[0]]]
        done += len(batch)
        yield done


def _complete(scores: Scores) -> None:
    """Fill in the ends of the curves, which all explanations share, and ROAD of the inverted map, by what is known."""
    deletion, insertion = scores["deletion"], scores["insertion"]
    for name in EXPLANATIONS:
        deletion[name][:, [0, -1]] = deletion["map"][:, [0, -1]]
        insertion[name][:, 0] = insertion["map"][:, 0]
        insertion[name][:, -1] = deletion["map"][:, 0]
    scores["most"]["inverted"], scores["least"]["inverted"] = scores["least"]["map"], scores["most"]["map"]


def ordered(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether each raw map (N, h, w) orders pixels, being finite and not constant: (N,)."""
    cells = maps.reshape(len(maps), -1)
    finite: NDArray[np.bool_] = np.isfinite(cells).all(axis=1)
    varied: NDArray[np.bool_] = cells.min(axis=1) < cells.max(axis=1)
    return finite & varied


def pixel_order(relevance: NDArray[np.floating], size: tuple[int, int], seed: int) -> NDArray[np.int64]:
    """Return the pixels (H·W,) of an image of `size`, the most relevant first by a raw map (h, w) once upsampled.

    Negative evidence comes last. Equal pixels (the corners of a coarse map) come in a random order of `seed`; in row
    order they would favour the upper edge.
    """
    heat = upsample(relevance[None].astype(np.float64), size).ravel()
    return np.lexsort((np.random.default_rng(seed).permutation(heat.size), -heat)).astype(np.int64)


def random_map(grid: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Return meaningless evidence, uniform in [0, 1), on the grid (h, w) of the map it is compared with: as smooth."""
    return np.random.default_rng(seed).random(grid, dtype=np.float32)


def centre_blob(size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a Gaussian (H, W) in (0, 1] about the middle of the image, where photographers put their subject."""
    rows, columns = (np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * BLOB**2)) for side in size)
    return (rows[:, None] * columns).astype(np.float32)


def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur an image (C, H, W) until little can be told: a Gaussian of σ = 5 px, the start of RISE's insertion game.

    Petsiuk et al. cut their kernel off at 11 × 11 taps, which leaves more of the image; this one is whole.
    """
    from scipy.ndimage import gaussian_filter  # half a second to import

    sigma = BLUR * max(1.0, min(image.shape[1:]) / BLUR_SIDE)
    blurry: NDArray[np.float32] = gaussian_filter(image, (0, sigma, sigma), mode="reflect")
    return blurry


def replaced(image: NDArray[np.float32], pixels: NDArray[np.int64], by: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a copy of `image` (C, H, W) with `pixels` (of H·W, row by row) taken from the image `by`."""
    changed = image.reshape(len(image), -1).copy()
    changed[:, pixels] = by.reshape(len(by), -1)[:, pixels]
    return changed.reshape(image.shape)


def imputed(
    images: NDArray[np.float32], pixels: NDArray[np.int64], random: np.random.Generator, noise: float = NOISE
) -> NDArray[np.float32]:
    """Return `images` (N, C, H, W) with `pixels` imputed from those around: ROAD's noisy linear imputation.

    Each missing pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across), missing or not, plus
    normal noise of standard deviation `noise`: nothing tells the network which pixels were removed. All images lack the
    same pixels, and so share one factorisation. Rong et al. 2022, https://arxiv.org/abs/2202.00449.

    grad-cam's own imputer (`pytorch_grad_cam.metrics.road`) gives the same, but takes one image at a time, spends
    longer building small systems than solving them, and draws from torch's random state.
    """
    from scipy.sparse import diags  # half a second to import
    from scipy.sparse.linalg import splu

    if not len(pixels):
        return images.copy()
    count, channels, height, width = images.shape
    filled = images.reshape(count * channels, -1).astype(np.float64)
    filled[:, pixels] = 0
    weights = _neighbours(height, width)[pixels]
    system = diags(weights.sum(axis=1).A1) - weights[:, pixels]
    # The pattern is symmetric, and this order of elimination fills in less than the default, which is for any matrix.
    solver = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    made_up = solver.solve(weights @ filled.T)  # (pixels, N·C)
    filled[:, pixels] = (made_up + noise * random.standard_normal(made_up.shape)).T
    return filled.reshape(images.shape).astype(np.float32)


@lru_cache(maxsize=2)
def _neighbours(height: int, width: int) -> Any:
    """Return how much each pixel's neighbours weigh in its mean, 1/6 beside and 1/12 across: sparse (H·W, H·W)."""
    from scipy.sparse import eye, kron

    rows, columns = (eye(side, k=-1) + 2 * eye(side) + eye(side, k=1) for side in (height, width))
    return ((kron(rows, columns) - 4 * eye(height * width)) / 12).tocsr()
