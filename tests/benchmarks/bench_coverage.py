"""Does the interval of a search hold what its pick is worth on images that nobody has seen? Resampled cheap searches.

    python -m tests.benchmarks.bench_coverage --root data --weights FILE [--searches 400]

A search here is the choice among 12 logistic regressions, of 4 numbers of principal components and 3 penalties, on
MNIST's pixels or on what a frozen ResNet-18 makes of CIFAR-10, by the validation images of its own draw: with
`src.selection`'s own ranking, its interval of the test images, and, as without test images, its corrected one
(BBC-CV). The truth is the accuracy of the same pick on 20,000 other images; coverage is that of nominal 95 %.
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from src.analysis.intervals import wilson
from src.data import ImageDataModule
from src.selection.judge import corrected, ranked
from src.selection.record import Measured

UNSEEN = 20_000
POOL = 25_000
COMPONENTS, PENALTIES = (4, 8, 16, 32), (0.01, 1.0, 100.0)

Floats = NDArray[np.float64]


class Draw(NamedTuple):
    """One search: how good its pick is on unseen images, on validation and on test images, and both intervals.

    The regret is how far the pick is behind the best of all on unseen images; the usual one that of the pick with the
    highest accuracy on validation images.
    """

    truth: float
    validated: float
    tested: tuple[float, float]
    corrected: tuple[float, float]
    estimate: float
    regret: float
    usual_regret: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="data")
    parser.add_argument("--weights", help="a .pth file of a ResNet-18; without it MNIST alone")
    parser.add_argument("--searches", type=int, default=400)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # that few iterations have not converged to the last digit
    print("| data | training, validation, test images | test interval holds | corrected interval holds | "
          "validation too high by, points | corrected by | regret, points | … of the highest accuracy |")  # fmt: skip
    print("|" + "---|" * 8)
    for name, features, targets in sets(options.root, options.weights):
        for sizes in ((300, 100, 100), (300, 100, 500), (1000, 300, 300)):
            draws = [searched(features, targets, sizes, seed) for seed in range(options.searches)]
            print(line(name, sizes, draws), flush=True)


def sets(root: str, weights: str | None) -> Iterator[tuple[str, Floats, NDArray[np.int64]]]:
    """Yield names, features (N, F) and targets (N,)."""
    yield "MNIST", *features_of(ImageDataModule(name="mnist", root=root, in_channels=1, image_size=14), None)
    if weights is not None:
        data = ImageDataModule(name="cifar10", root=root, image_size=32)
        yield "CIFAR-10, features", *features_of(data, weights)


def features_of(data: ImageDataModule, weights: str | None) -> tuple[Floats, NDArray[np.int64]]:
    data.prepare_data()
    data.setup()
    network: Any = None if weights is None else torchvision_backbone(weights)
    rows, targets = [], []
    for images, classes in data.evaluation_dataloader("train", POOL):
        targets.append(classes.numpy())
        pixels = images.float() / 255
        with torch.no_grad():
            rows.append((pixels if network is None else network(2 * (pixels - 0.45) / 0.45)).flatten(1).numpy())
    return np.concatenate(rows).astype(np.float64), np.concatenate(targets)


def torchvision_backbone(weights: str) -> torch.nn.Module:
    from torchvision.models import resnet18

    network = resnet18(num_classes=202)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.fc = torch.nn.Identity()  # type: ignore[assignment]
    return network.eval()


def searched(features: Floats, targets: NDArray[np.int64], sizes: tuple[int, int, int], seed: int) -> Draw:
    order = np.random.default_rng(seed).permutation(len(targets))
    train, val, test, unseen = np.split(order[: sum(sizes) + UNSEEN], np.cumsum(sizes))
    whole = PCA(max(COMPONENTS), random_state=0).fit(features[train])
    seen = whole.transform(features[order]) / np.sqrt(whole.explained_variance_)
    placed = {index: place for place, index in enumerate(order)}
    parts = {name: np.array([placed[i] for i in some]) for name, some in
             (("train", train), ("val", val), ("test", test), ("unseen", unseen))}  # fmt: skip
    figures: dict[str, Measured] = {}
    models: dict[str, tuple[int, LogisticRegression]] = {}
    for components in COMPONENTS:
        for penalty in PENALTIES:
            name = f"{components} components, C={penalty:g}"
            model = LogisticRegression(C=penalty, max_iter=60).fit(seen[parts["train"], :components], targets[train])
            shares = model.predict_proba(seen[parts["val"], :components])
            columns = np.searchsorted(model.classes_, targets[val]).clip(max=len(model.classes_) - 1)
            own = np.where(model.classes_[columns] == targets[val], shares[np.arange(len(val)), columns], 1e-9)
            right = model.classes_[shares.argmax(axis=1)] == targets[val]
            figures[name] = Measured(1, 1.0, right, -np.log(own), 1.0, 0.0, 1.0, 1.0)
            models[name] = (components, model)
    pick = ranked(figures)[0]

    def accuracy(part: str, indices: NDArray[np.int64], name: str = pick) -> float:
        components, model = models[name]
        return float((model.predict(seen[parts[part], :components]) == targets[indices]).mean())

    estimate, interval = corrected(list(figures.values()), seed) or (np.nan, (np.nan, np.nan))
    tested = wilson(accuracy("test", test), len(test))
    truth = {name: accuracy("unseen", unseen, name) for name in models}
    usual = max(figures, key=lambda name: figures[name].rank)
    best = max(truth.values())
    validated = figures[pick].accuracy
    return Draw(truth[pick], validated, tested, interval, estimate, best - truth[pick], best - truth[usual])


def line(name: str, sizes: tuple[int, int, int], draws: list[Draw]) -> str:
    truth = np.array([draw.truth for draw in draws])

    def holds(which: str) -> str:
        low, high = np.array([getattr(draw, which) for draw in draws]).T
        within = int(((low <= truth) & (truth <= high)).sum())
        return f"{within} of {len(draws)} ({100 * within / len(draws):.1f} %)"

    high = 100 * np.mean([draw.validated - draw.truth for draw in draws])
    rest = 100 * np.mean([draw.estimate - draw.truth for draw in draws])
    shown = ", ".join(map(str, sizes))
    regrets = " | ".join(_points([getattr(draw, which) for draw in draws]) for which in ("regret", "usual_regret"))
    return f"| {name} | {shown} | {holds('tested')} | {holds('corrected')} | {high:+.1f} | {rest:+.1f} | {regrets} |"


def _points(regrets: list[float]) -> str:
    return f"{100 * np.mean(regrets):.2f} ± {100 * np.std(regrets, ddof=1) / len(regrets) ** 0.5:.2f}"


if __name__ == "__main__":
    main()
