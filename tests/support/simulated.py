"""Simulated test sets: networks that share images and mistakes, of which the true figures are known."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from src.analysis.class_intervals import Said
from src.analysis.metrics import SCORES, Counts

SHARES = np.array([0.35, 0.25, 0.20, 0.12, 0.08])
"""Of the classes among all images: in 50 images, the rarest has four."""
HARD = np.array([0.7, 0.9, 1.0, 1.4, 1.9])
"""How often a class is mistaken, compared with the others: the rare ones more often."""
LIKE = np.array([[0, 4, 2, 1, 1], [3, 0, 3, 1, 1], [2, 3, 0, 2, 1], [1, 1, 3, 0, 3], [1, 2, 1, 4, 0]], dtype=float)
"""For which class it is taken, row by row."""
TOGETHER = 0.6
"""Correlation of what makes an image hard for one network and for another: of 10 % that are mistaken by one of them,
44 % are by the other."""
USUAL = 0.6
"""How often a mistaken image is taken for what others take it for."""


@dataclass(frozen=True)
class World:
    """Images of K classes and networks that classify them."""

    shares: np.ndarray
    hard: np.ndarray
    like: np.ndarray

    @property
    def classes(self) -> int:
        return len(self.shares)

    def mistaken(self, error: float) -> np.ndarray:
        """Return how often images of each class are mistaken, (K,), by a network with this error."""
        return np.minimum(0.98, error * self.hard / (self.shares * self.hard).sum())

    def truth(self, metric: str, error: float) -> float:
        """Return the figure on infinitely many images."""
        mistaken, like = self.mistaken(error), self.like / self.like.sum(axis=1, keepdims=True)
        hits = self.shares * (1 - mistaken)
        counts = Counts(self.shares, hits + (self.shares * mistaken) @ like, hits)
        of_counts = SCORES[metric].of_counts
        assert of_counts is not None
        return float(of_counts(counts))

    def draw(self, random: np.random.Generator, images: int, errors: list[float]) -> list[Said]:
        """Return what networks with these errors say about the same new images."""
        targets = random.choice(self.classes, images, p=self.shares)
        difficulty, usual = random.normal(size=images), random.random(images)
        like = self.like / self.like.sum(axis=1, keepdims=True)
        runs = []
        for error in errors:
            felt = np.sqrt(TOGETHER) * difficulty + np.sqrt(1 - TOGETHER) * random.normal(size=images)
            wrong = ndtr(felt) < self.mistaken(error)[targets]
            taste = np.where(random.random(images) < USUAL, usual, random.random(images))
            taken = (taste[:, None] > like[targets].cumsum(axis=1)).sum(axis=1).clip(0, self.classes - 1)
            runs.append(Said(targets, np.where(wrong, taken, targets), np.arange(images)))
        return runs


UNEQUAL = World(SHARES, HARD, LIKE)
TEN = World(np.full(10, 0.1), np.linspace(0.6, 1.6, 10), 1 - np.eye(10))
"""Ten equal classes, in 50 images five each, taken for any other alike."""
