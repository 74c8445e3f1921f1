"""Classes of unequal size: their weights in the loss (`data.balance=loss`), or even draws (`data.balance=sampler`)."""

from collections.abc import Sequence

import numpy as np


def balanced_weights(targets: np.ndarray, classes: int) -> list[float]:
    """Return the weight (K,) of each class in the loss with which all classes weigh the same.

    It is n / (K · n_c), scikit-learn's "balanced": an image weighs 1 on average.
    """
    counts = np.bincount(targets, minlength=classes)
    return [float(weight) for weight in counts.sum() / (classes * counts)]


def balanced_draws(members: Sequence[np.ndarray], size: int, seed: int, epoch: int) -> np.ndarray:
    """Return the images (size,) of an epoch in which each of K classes comes size/K times, within one.

    Draw t of the whole training, epoch after epoch, belongs to class t mod K. A class's draws run through one
    permutation of its images, then through the next: no image repeats before all others of its class have come, and
    what a large class can't fit into one epoch comes in the next. Both are functions of t, so any epoch can be drawn
    without the ones before it.

    Args:
        members: for each class the indices of its images.
    """
    draws = np.arange(epoch * size, (epoch + 1) * size)
    turns, classes = np.divmod(draws, len(members))
    chosen = np.empty(size, dtype=np.int64)
    for number, images in enumerate(members):
        mine = classes == number
        rounds, places = np.divmod(turns[mine], len(images))
        # a spawn key keeps these draws apart from those of the order and of the augmentation
        orders = {
            k: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, k))).permutation(images)
            for k in np.unique(rounds).tolist()
        }
        chosen[mine] = [orders[k][place] for k, place in zip(rounds.tolist(), places.tolist(), strict=True)]
    return chosen
