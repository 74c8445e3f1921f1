"""How often intervals hold the truth: `python -m tests.support.coverage` prints the table of evaluation's guide."""

import sys
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from src.analysis.class_intervals import class_interval
from src.analysis.intervals import Interval, difference_interval, share_interval
from src.analysis.metrics import SCORES
from tests.support.simulated import TEN, UNEQUAL, World

IMAGES = (50, 200, 1000)
ACCURACIES = {0.6: 0.05, 0.9: 0.02, 0.99: 0.005, 1.0: 0.0}
"""And by how much the second network of a pair is worse."""
SEEDS = (1, 3)
BETTER_AND_WORSE = {1: (1.0,), 3: (0.9, 1.0, 1.1)}
"""The errors of the seeds, in multiples of their mean."""
CLASS_FIGURES = ("f1", "recall", "precision", "mcc")
FIGURES = ("accuracy", "paired difference", *CLASS_FIGURES)
TITLES = ("accuracy", "paired difference", *(SCORES[name].title for name in CLASS_FIGURES))

Covered = dict[str, float]


def intervals(
    world: World, random: np.random.Generator, images: int, errors: list[float], others: list[float]
) -> Iterator[tuple[str, Interval, float]]:
    """Draw a test set, and yield the name of each figure, its interval and the truth."""
    runs = world.draw(random, images, [*errors, *others])
    right = np.array([run.targets == run.predicted for run in runs])
    mine, theirs = right[: len(errors)], right[len(errors) :]
    true, other = (float(np.mean([world.truth("accuracy", error) for error in some])) for some in (errors, others))
    yield "accuracy", share_interval(mine.mean(axis=0)), true
    better, worse = (mine & ~theirs).mean(axis=0), (~mine & theirs).mean(axis=0)
    yield "paired difference", difference_interval(better, worse), true - other
    for name in CLASS_FIGURES:
        true = float(np.mean([world.truth(name, error) for error in errors]))
        yield name, class_interval(SCORES[name], runs[: len(errors)], world.classes), true


def coverage(world: World, images: int, accuracy: float, seeds: int, simulations: int = 1000) -> Covered:
    """Return by figure in what share of simulated test sets the interval holds the truth."""
    random = np.random.default_rng([images, round(1000 * accuracy), seeds])
    error, gap = 1 - accuracy, ACCURACIES[accuracy]
    errors, others = ([share * some for share in BETTER_AND_WORSE[seeds]] for some in (error, error + gap))
    held: dict[str, list[bool]] = defaultdict(list)
    for _ in range(simulations):
        for name, (low, high), true in intervals(world, random, images, errors, others):
            if low <= high:  # there is none of a correlation where all images are of one class
                held[name].append(low - 1e-12 <= true <= high + 1e-12)
    return {name: float(np.mean(some)) for name, some in held.items()}


def rows(world: World, simulations: int) -> Iterator[str]:
    """Yield the table's rows, in Markdown."""
    yield f"| images | accuracy | runs | {' | '.join(TITLES)} |"
    yield f"|{'---|' * (3 + len(FIGURES))}"
    for images in IMAGES:
        for accuracy in ACCURACIES:
            for seeds in SEEDS:
                found = coverage(world, images, accuracy, seeds, simulations)
                cells = " | ".join(f"{found[name]:.3f}" for name in FIGURES)
                yield f"| {images} | {accuracy:g} | {seeds} | {cells} |"


if __name__ == "__main__":
    for row in rows(TEN if "ten" in sys.argv else UNEQUAL, 1000):
        print(row, flush=True)
