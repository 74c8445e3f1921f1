"""The report's tables as figures: one row a group, unrounded, fractions and not percent."""

from collections.abc import Sequence
from typing import Any

from ..analysis.metrics import SCORES
from ..frames import pd
from .groups import Group, TestSet


def summary(test_set: TestSet) -> pd.DataFrame:
    """One row a group, best first.

    `label`, `model`, a column for each setting in which groups differ, `n` (runs), `seeds` and, of a cross-validation,
    `folds`. Then means over all of a group's runs, with the sample standard deviation (n − 1; NaN for one run) in the
    column of the same name with `_sd`: test accuracy, macro precision, recall and F1 of the best checkpoint; accuracy
    before training; accuracy on training images without augmentation and on validation images; what the two are
    apart, train − validation, in accuracy (above 0 where it overfits) and loss (below 0 where it does); the epoch of
    the best checkpoint, counted from 1; seconds of training.
    Then `epochs`, `images_per_second` (of training; both means), `parameters`, `macs` of one image, and `latency_ms`,
    one image's, the median over the runs. NaN where no run of the group has the figure.

    The runs of a cross-validation over several seeds count alike, as n = seeds × folds: folds of one seed share
    training images, so that their sd says less than that of as many seeds.
    """
    return _frame([_row(group) for group in test_set.groups], [test_set])


def report_table(test_sets: Sequence[TestSet]) -> pd.DataFrame:
    """The summaries of all test sets below each other, with the name of the test set in the first column."""
    rows = [{"test_set": test_set.name} | _row(group) for test_set in test_sets for group in test_set.groups]
    return _frame(rows, test_sets)


def _frame(rows: Sequence[dict[str, Any]], test_sets: Sequence[TestSet]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    folds = any(run.replicate[1] is not None for t in test_sets for group in t.groups for run in group.runs)
    return frame if folds else frame.drop(columns="folds", errors="ignore")


def _row(group: Group) -> dict[str, Any]:
    runs = group.runs
    metrics = pd.DataFrame([run.metrics for run in runs])
    costs = pd.DataFrame([run.cost or {} for run in runs], index=range(len(runs)))
    seeds = sorted({run.replicate[0] for run in runs})
    folds = sorted({run.replicate[1] for run in runs if run.replicate[1] is not None})
    empty = pd.Series(dtype=float)
    measured = {f"test_{name}": metrics.get(f"test/{name}", empty) for name in SCORES}
    measured["baseline_accuracy"] = metrics.get("baseline/accuracy", empty)
    measured |= {f"{split}_accuracy": metrics[f"{split}/accuracy"] for split in ("train", "val")}
    measured |= {f"gap_{name}": metrics[f"train/{name}"] - metrics[f"val/{name}"] for name in ("accuracy", "loss")}
    measured |= {name: metrics[name] for name in ("best_epoch", "train_seconds")}
    row: dict[str, Any] = {"label": group.label, "model": group.model, **group.differs, "n": len(runs)}
    row |= {"seeds": " ".join(map(str, seeds)), "folds": " ".join(map(str, folds))}
    for name, values in measured.items():
        row |= {name: values.mean(), f"{name}_sd": values.std(ddof=1)}
    return row | {
        "epochs": metrics["epochs"].mean(),
        "images_per_second": metrics["images_per_second"].mean(),
        "parameters": int(metrics["parameters"].iloc[0]),
        "macs": costs.get("macs", empty).median(),
        "latency_ms": costs.get("latency_ms_median", empty).median(),
    }
