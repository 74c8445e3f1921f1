"""Images changed as a map says: pixels in the order of their relevance, taken away, put back or made up.

NumPy in and out, a batch of changed images in memory at a time. Images are normalised: 0 is the data's mean.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..figures import scale_maps, upsample

Predict = Callable[[NDArray[np.float32]], Any]
"""Normalised images (n, C, H, W) to class probabilities (n, K): anything that NumPy reads as an array."""
Scores = dict[str, dict[str, NDArray[np.float64]]]
Trial = tuple[NDArray[np.float32], NDArray[np.float64], tuple[int, int]]  # an image, and where its answer is written

BASELINES = ("random", "centre blob", "inverted")
EXPLANATIONS = ("map", *BASELINES)
BLUR = 5.0
"""Standard deviation in pixels of the blur that hides an image up to `BLUR_SIDE` px; in proportion above."""
BLUR_SIDE = 224
BLOB = 0.25
"""Standard deviation of the centre blob, as a share of the image's height and width."""
NOISE = 0.01
"""Of ROAD, as its authors have it, in units of the data's standard deviation."""
TOGETHER = 16
"""Images whose pixels are imputed at a time."""


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
    """The explained class's probability for all changed images: (N, …) by what was done and explanation.

    `deletion` and `insertion`: by step; `most` and `least`: without the most, or the least, relevant shares of the
    pixels, imputed; `masked`: faded by the map. NaN for images that are not among the indices `usable`.
    """
    lengths = {"deletion": steps + 1, "insertion": steps + 1, "most": len(removed), "least": len(removed), "masked": 1}
    scores = {
        what: {name: np.full((len(images), length), np.nan) for name in EXPLANATIONS}
        for what, length in lengths.items()
    }
    trials = _trials(images, maps, usable, scores, removed, seed)
    total = len(usable) * (3 + len(EXPLANATIONS) * (2 * (steps - 1) + 1) + 2 * 3 * len(removed))
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
    """All changed images, one after the other; `_complete` writes what follows from them."""
    size, random = images.shape[2:], np.random.default_rng(seed)
    pixels = size[0] * size[1]
    blob = centre_blob(size)
    blob_order = pixel_order(blob, size, seed)
    parts = [round(share * pixels) for share in removed]
    steps = scores["deletion"]["map"].shape[1] - 1
    amounts = [round(step / steps * pixels) for step in range(steps + 1)]
    for i in usable:
        own = int(np.random.default_rng((seed, i)).integers(1 << 32))
        chance = random_map(maps.shape[1:], own)
        order = pixel_order(maps[i], size, own)
        orders = {"map": order, "random": pixel_order(chance, size, own), "centre blob": blob_order}
        orders["inverted"] = order[::-1]
        heats = scale_maps(np.stack([maps[i], chance]).astype(np.float32), size)
        masks = {"map": heats[0], "random": heats[1], "centre blob": blob, "inverted": 1 - heats[0]}
        yield from _one_image(images[i], int(i), orders, masks, amounts, scores)
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
    masks: dict[str, NDArray[np.float32]],
    amounts: Sequence[int],
    scores: Scores,
) -> Iterator[Trial]:
    """Deletion, insertion and the faded image; what is the same for all explanations goes to the map's."""
    hidden, mean, last = blurred(image), np.zeros_like(image), len(amounts) - 1
    yield image, scores["deletion"]["map"], (i, 0)
    yield mean, scores["deletion"]["map"], (i, last)
    yield hidden, scores["insertion"]["map"], (i, 0)
    for name, order in orders.items():
        for step in range(1, last):
            chosen = order[: amounts[step]]
            yield replaced(image, chosen, mean), scores["deletion"][name], (i, step)
            yield replaced(hidden, chosen, image), scores["insertion"][name], (i, step)
        yield image * masks[name], scores["masked"][name], (i, 0)


def _answers(predict: Predict, trials: Iterable[Trial], targets: NDArray[np.integer], batch_size: int) -> Iterator[int]:
    """Write the probabilities to where the trials want them; after each batch, how many are done."""
    trials, done = iter(trials), 0
    while batch := list(islice(trials, batch_size)):
        probabilities = np.asarray(predict(np.stack([image for image, _, _ in batch])))
        if not np.isfinite(probabilities).all():
            raise InputError("faithfulness: the network gives probabilities that are not finite; train it anew")
        for row, (_, store, place) in zip(probabilities, batch, strict=True):
            store[place] = row[targets[place[0]]]
        done += len(batch)
        yield done


def _complete(scores: Scores) -> None:
    """The ends of the curves, which all explanations share, and ROAD of the map turned round, without asking again."""
    deletion, insertion = scores["deletion"], scores["insertion"]
    for name in EXPLANATIONS:
        deletion[name][:, [0, -1]] = deletion["map"][:, [0, -1]]
        insertion[name][:, 0] = insertion["map"][:, 0]
        insertion[name][:, -1] = deletion["map"][:, 0]
    scores["most"]["inverted"], scores["least"]["inverted"] = scores["least"]["map"], scores["most"]["map"]


def ordered(maps: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) whether each raw map (N, h, w) puts pixels in an order: finite, and not the same everywhere."""
    cells = maps.reshape(len(maps), -1)
    finite: NDArray[np.bool_] = np.isfinite(cells).all(axis=1)
    varied: NDArray[np.bool_] = cells.min(axis=1) < cells.max(axis=1)
    return finite & varied


def pixel_order(relevance: NDArray[np.floating], size: tuple[int, int], seed: int) -> NDArray[np.int64]:
    """(H·W,) the pixels of an image of `size`, the most relevant first, as a raw map (h, w) has it once upsampled.

    By the raw values: negative evidence comes last. Pixels that are equal (the corners of a coarse map) come in a
    random order of `seed`; in the order of the rows they would favour the upper edge.
    """
    heat = upsample(relevance[None].astype(np.float64), size).ravel()
    return np.lexsort((np.random.default_rng(seed).permutation(heat.size), -heat)).astype(np.int64)


def random_map(grid: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Evidence that means nothing, even in [0, 1): on the grid (h, w) of the map it is held against, so as smooth."""
    return np.random.default_rng(seed).random(grid, dtype=np.float32)


def centre_blob(size: tuple[int, int]) -> NDArray[np.float32]:
    """A Gaussian (H, W) in (0, 1] about the middle of the image, where photographers put what they photograph."""
    rows, columns = (np.exp(-(((np.arange(side) + 0.5) / side - 0.5) ** 2) / (2 * BLOB**2)) for side in size)
    return (rows[:, None] * columns).astype(np.float32)


def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image (C, H, W) in which little can be told: a Gaussian of σ = 5 px, as RISE's insertion game begins.

    Petsiuk et al. cut their kernel off at 11 × 11 taps, which leaves more of the image; this one is whole.
    """
    from scipy.ndimage import gaussian_filter  # half a second to import

    sigma = BLUR * max(1.0, min(image.shape[1:]) / BLUR_SIDE)
    blurry: NDArray[np.float32] = gaussian_filter(image, (0, sigma, sigma), mode="reflect")
    return blurry


def replaced(image: NDArray[np.float32], pixels: NDArray[np.int64], by: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of `image` (C, H, W) whose `pixels` (of H·W, counted row by row) are those of the image `by`."""
    changed = image.reshape(len(image), -1).copy()
    changed[:, pixels] = by.reshape(len(by), -1)[:, pixels]
    return changed.reshape(image.shape)


def imputed(
    images: NDArray[np.float32], pixels: NDArray[np.int64], random: np.random.Generator, noise: float = NOISE
) -> NDArray[np.float32]:
    """`images` (N, C, H, W) whose `pixels` are made up from those around: ROAD's noisy linear imputation.

    Each missing pixel is the weighted mean of its eight neighbours (1/6 beside, 1/12 across), missing or not, plus
    normal noise of the standard deviation `noise`: nothing tells the network which pixels were taken away. All images
    share one factorisation, for they lack the same pixels. Rong et al. 2022, https://arxiv.org/abs/2202.00449.

    The package's imputer (`pytorch_grad_cam.metrics.road`) gives the same. It is passed by because it takes one image
    at a time, spends longer on writing small systems down than on solving them, and draws from torch's random state.
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
    # The pattern is symmetric: this order of elimination fills in less than the default one for any matrix.
    solver = splu(system.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    made_up = solver.solve(weights @ filled.T)  # (pixels, N·C)
    filled[:, pixels] = (made_up + noise * random.standard_normal(made_up.shape)).T
    return filled.reshape(images.shape).astype(np.float32)


@lru_cache(maxsize=2)
def _neighbours(height: int, width: int) -> Any:
    """Sparse (H·W, H·W): how much each pixel's neighbours weigh in its mean, 1/6 beside and 1/12 across."""
    from scipy.sparse import eye, kron

    rows, columns = (eye(side, k=-1) + 2 * eye(side) + eye(side, k=1) for side in (height, width))
    return ((kron(rows, columns) - 4 * eye(height * width)) / 12).tocsr()
