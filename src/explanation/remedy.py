"""What a network is worth once its last layer can't use a place: retrained on images whose place says nothing."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..analysis.intervals import said, wilson
from ..errors import InputError
from ..trained.checkpoint import Trained
from ..trained.pictures import open_run_split
from . import changes

if TYPE_CHECKING:
    from .changed_answers import Asked

MOST = 2000
"""Training images whose features the last layer is fitted to."""


def retrained_without(
    trained: Trained,
    asked: "Asked",
    place: tuple[int, int, int] | str,
    *,
    batch_size: int,
    seed: int,
    data_root: str | None,
) -> dict[str, Any] | None:
    """Measure the last layer retrained on images whose `place` is taken from other images, whatever their class.

    Kirichenko et al. 2022, https://arxiv.org/abs/2204.02937. Both networks are asked about test images that have the
    place of another class's image. None where the training images aren't at hand.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if trained.run is None:
        return None
    try:
        pictures = open_run_split("train", trained, data_root)
    except InputError:
        return None
    chosen = pictures.some(MOST, seed)
    images, classes = pictures.take(chosen).numpy(), pictures.targets[chosen]
    if len(np.unique(classes)) < 2:
        return None
    pixels = _pixels(place, images.shape[-1])
    random = np.random.default_rng(seed)
    without = changes.put(images, images[random.permutation(len(images))], pixels)
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, C=0.1))
    head.fit(_features(trained, without, batch_size), classes)

    given = changes.donors(asked.classes, seed)
    swapped = changes.put(asked.images, asked.images[given], pixels)
    features = _features(trained, swapped, batch_size)
    with torch.inference_mode():
        answers = trained.module(torch.from_numpy(features).to(trained.device)).argmax(dim=1).cpu().numpy()
    before = float((answers == asked.classes).mean())
    after = float((head.predict(features) == asked.classes).mean())
    shares = [f"{share:.3f} ({said(wilson(share, len(asked.classes)))})" for share in (before, after)]
    return {
        "place": place,
        "images": len(chosen),
        "before": before,
        "after": after,
        "said": f"With the place of another class's image the network is right in {shares[0]}. With its last layer "
        f"retrained on {len(chosen):,} training images whose place was exchanged at random, in {shares[1]}.",
    }


def _pixels(place: tuple[int, int, int] | str, side: int) -> changes.Slices | NDArray[np.bool_]:
    if isinstance(place, str):
        return changes.frame(side)
    row, column, number = place
    return changes.cells(side, number)[row][column]


def _features(trained: Trained, images: NDArray[np.uint8], batch_size: int) -> NDArray[np.float32]:
    with torch.inference_mode():
        parts = [
            trained.module.features(torch.from_numpy(images[at : at + batch_size]).to(trained.device)).float().cpu()
            for at in range(0, len(images), batch_size)
        ]
    return torch.cat(parts).numpy()
