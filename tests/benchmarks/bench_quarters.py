"""Does the map of a label peak where the label's picture stands? By layer and method, on pictures of four quarters.

    python -m tests.benchmarks.bench_quarters RUN PICTURES/labels.csv --layers layer3 layer4 --methods gradcam layercam

RUN was trained on that table (`data=table data.multilabel=true`), which `tests.benchmarks.bench_multilabel` writes. Of
each label that stands in a test picture, the map's largest cell is looked at: of all these labels, and of those among
them that the network decides. By chance one in four would be in its quarter. Half a minute of one core a map of 1,000
pictures (ResNet-18 at 128 px).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from src.analysis.intervals import between, wilson
from src.attribution.cam import Maps, class_activation_maps
from src.data.transforms import load_image
from src.frames import pd
from src.trained.checkpoint import Trained, load_trained
from src.training.label_results import thresholds_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--layers", nargs="+", default=[None], help="by default the one that explain takes")
    parser.add_argument("--methods", nargs="+", default=["gradcam"])
    parser.add_argument("--pictures", type=int, help="so many of the test pictures at most")
    options = parser.parse_args()
    trained = load_trained(options.run, multilabel=True)
    placed = find_placed(trained, options.table, options.pictures)
    for layer in options.layers:
        for method in options.methods:
            print(measure(trained, placed, method, layer), flush=True)


@dataclass(frozen=True)
class Placed:
    """Labels that stand in a picture: the picture (N, C, H, W) uint8, the label (N,), and in which quarter (N,)."""

    images: torch.Tensor
    labels: torch.Tensor
    quarters: NDArray[np.int64]


def find_placed(trained: Trained, table: Path, most: int | None = None) -> Placed:
    """Return all labels of the test pictures of a table that `tests.support.composed_labels` wrote."""
    rows = pd.read_csv(table)
    images, labels, quarters = [], [], []
    for file, text in rows.loc[rows["split"] == "test", ["file", "quarters"]].head(most).itertuples(index=False):
        for name, quarter in json.loads(text).items():
            images.append(load_image(table.parent / file, trained.geometry))
            labels.append(trained.class_names.index(name))
            quarters.append(quarter)
    return Placed(torch.stack(images), torch.tensor(labels), np.array(quarters))


def measure(trained: Trained, placed: Placed, method: str = "gradcam", layer: str | None = None) -> str:
    """Return a line: how many maps peak in their label's quarter, with Wilson's 95 % interval."""
    images = trained.module.normalise(placed.images)
    found = class_activation_maps(trained.module.network, images, method, placed.labels, layer)
    inside = peak_quarters(found.maps) == placed.quarters
    said = found.logits[np.arange(len(inside)), found.targets]
    decided = 1 / (1 + np.exp(-said.astype(np.float64))) >= thresholds_of(trained.module)[found.targets]
    height, width = found.maps.shape[1:]
    dark = np.sum(found.maps.max(axis=(1, 2)) <= 0)
    return (
        f"{method} at {found.layer} ({height}×{width}) peaks in the label's quarter: {shown(inside)} (by chance 0.25), "
        f"of those decided {shown(inside[decided])}; {dark} maps are dark"
    )


def peak_quarters(maps: Maps) -> NDArray[np.int64]:
    """Return in which quarter, 0 to 3 by rows, the largest cell of each map (N, h, w) lies."""
    height, width = maps.shape[1:]
    rows, columns = np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), (height, width))
    return 2 * (2 * rows >= height) + (2 * columns >= width)


def shown(inside: NDArray[np.bool_]) -> str:
    share, count = float(inside.mean()), len(inside)
    return f"{share:.3f} {between(*wilson(share, count))} of {count}"


if __name__ == "__main__":
    main()
