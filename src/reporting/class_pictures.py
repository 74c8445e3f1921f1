"""What a report draws of each class by itself, as the task has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .. import figures
from ..analysis.binary import curves_of_scores
from ..analysis.classification import MOST_CLASSES, confusion_among, most_mistaken
from ..figures.binary_curves import BinaryLine
from ..figures.style import GROUP_COLOURS
from ..frames import pd
from .document import Picture
from .groups import Group, TestSet


@dataclass(frozen=True)
class Drawing:
    """Saves figures in `folder` under names that begin with `prefix`."""

    folder: Path
    prefix: str

    def __call__(self, figure: Figure | None, name: str, caption: str) -> list[Picture]:
        """Return the saved picture in a list; an empty list if there is no figure."""
        if figure is None:
            return []
        file = f"{self.prefix}{name}.png"
        figures.save(figure, self.folder / file)
        return [Picture(file, caption)]


def classes_one_by_one(test_set: TestSet, draw: Drawing) -> list[Picture]:
    """Draw F1 and confusion matrices."""
    names = test_set.class_names
    said = {group.label: _indices(group, names) for group in test_set.groups}
    targets, predicted = map(np.concatenate, zip(*said.values(), strict=True))
    shown = most_mistaken(targets, predicted, len(names))
    counts = {label: confusion_among(*pair, shown, len(names)) for label, pair in said.items()}
    few = ", of the best models" if len(names) == 2 and len(test_set.groups) > len(GROUP_COLOURS) else ""
    note = f"; of {len(names):,} classes the {MOST_CLASSES:,} with most mistakes" if len(shown) < len(names) else ""
    return [
        *draw(figures.class_heat_map(_means(test_set, "f1")), "class_f1", "F1 of each class, mean over the runs"),
        *draw(
            figures.confusion_matrices(counts, [names[place] for place in shown]),
            "confusion_matrices",
            "Confusion matrices of all runs of a group together: rows are the true classes, columns the "
            f"predicted{note}",
        ),
        *draw(_binary(test_set), "roc", "ROC and precision-recall curves over all thresholds, a line a run" + few),
    ]


def _binary(test_set: TestSet) -> Figure | None:
    """Draw the curves of two classes, the last of which is the positive one; None of others.

    predictions.csv has six digits of a confidence, so that the images that a network is surest of may be ties.
    """
    names = test_set.class_names
    if len(names) != 2:
        return None
    groups = {}
    for group in test_set.groups[: len(GROUP_COLOURS)]:
        lines = []
        for run in group.runs:
            said, true = run.predictions, (run.predictions["target"] == names[1]).to_numpy()
            if true.all() or not true.any():
                continue
            called, sure = said["predicted"] == names[1], said["confidence"]
            found = curves_of_scores(sure.where(called, 1 - sure).to_numpy(), true)
            lines.append(BinaryLine(**found.parts()))
        if lines:
            groups[group.label] = lines
    return figures.binary_curves(groups, names[1], f"{names[1]} or {names[0]}") if groups else None


def labels_one_by_one(test_set: TestSet, draw: Drawing) -> list[Picture]:
    """Draw average precision and F1; where an image has several labels, nothing says which was taken for which."""
    found = []
    for name, title in (("average_precision", "Average precision"), ("f1", "F1")):
        chart = figures.class_heat_map(_means(test_set, name), title, "labels")
        found += draw(chart, f"class_{name}", f"{title} of each label, mean over the runs")
    return found


def _means(test_set: TestSet, figure: str) -> pd.DataFrame:
    """Return a figure of per_class.csv: a row a class, a column a group, mean over its runs."""
    return pd.DataFrame(
        {
            group.label: pd.concat([run.per_class.set_index("class")[figure] for run in group.runs], axis=1).mean(
                axis=1
            )
            for group in test_set.groups
        }
    )


def _indices(group: Group, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the true and the predicted class of the test images in all runs of a group, as indices."""
    places = {name: place for place, name in enumerate(names)}
    said = pd.concat([run.predictions for run in group.runs])
    return said["target"].map(places).to_numpy(), said["predicted"].map(places).to_numpy()
