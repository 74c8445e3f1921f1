"""The report's tables as figures: one row a group, as fractions and unrounded."""

from collections.abc import Sequence
from typing import Any

from ..frames import pd
from .finished import Replicate
from .groups import Group, TestSet
from .tasks import parts_of


def summary(test_set: TestSet) -> pd.DataFrame:
    """Return one row a group, best first.

    The columns are `label`, `model`, each setting in which groups differ, `n` (runs), `seeds`, for a cross-validation
    `folds`, and where there are any `splits` of data.split_seed. Then come means over the group's runs, with the sample
    standard deviation (n − 1; NaN for one run) in the column of the same name with `_sd`: the best checkpoint's test
    metrics; accuracy before training; accuracy on training images, without augmentation, and on validation images; the
    gap between these, train − validation, in accuracy (above 0 when overfitting) and loss (below 0 when overfitting);
    the best checkpoint's epoch, from 1; seconds of training. Then `_low` and `_high` of the test metrics, the 95 %
    intervals that the choice of test images leaves (NaN where there is none), `epochs` and `images_per_second` of
    training (means), `parameters`, `macs` of one image, and `latency_ms` of one image (median). NaN if no run of the
    group has the figure. Where an image has several labels, mAP (`map`) takes the place of accuracy.

    All runs of a cross-validation over several seeds count alike, n = seeds × folds. Folds of one seed share training
    images, so their sd says less than that of as many seeds.
    """
    return _frame([_row(group) for group in test_set.groups])


def report_table(test_sets: Sequence[TestSet]) -> pd.DataFrame:
    """Return the summaries of all test sets in one table, with the test set's name in the first column."""
    rows = [{"test_set": test_set.name} | _row(group) for test_set in test_sets for group in test_set.groups]
    return _frame(rows)


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.drop(columns=[name for name in ("folds", "splits") if name in frame and (frame[name] == "").all()])


def _row(group: Group) -> dict[str, Any]:
    runs, task = group.runs, group.task
    metrics = pd.DataFrame([run.metrics for run in runs])
    costs = pd.DataFrame([run.cost or {} for run in runs], index=range(len(runs)))
    replicates = {
        f"{name}s": sorted({number for run in runs if (number := getattr(run.replicate, name)) is not None})
        for name in Replicate._fields
    }
    empty = pd.Series(dtype=float)
    measured = {f"test_{name}": metrics.get(f"test/{name}", empty) for name in task.scores}
    measured[f"baseline_{task.first}"] = metrics.get(f"baseline/{task.first}", empty)
    measured |= {f"{split}_{task.first}": metrics[f"{split}/{task.first}"] for split in ("train", "val")}
    measured |= {f"gap_{name}": metrics[f"train/{name}"] - metrics[f"val/{name}"] for name in (task.first, "loss")}
    measured |= {name: metrics[name] for name in ("best_epoch", "train_seconds")}
    row: dict[str, Any] = {"label": group.label, "model": group.model, **group.differs, "n": len(runs)}
    row |= {name: " ".join(map(str, numbers)) for name, numbers in replicates.items()}
    for name, values in measured.items():
        row |= {name: values.mean(), f"{name}_sd": values.std(ddof=1)}
    for name, (low, high) in parts_of(task).intervals(group).items():
        row |= {f"test_{name}_low": low, f"test_{name}_high": high}
    return row | {
        "epochs": metrics["epochs"].mean(),
        "images_per_second": metrics["images_per_second"].mean(),
        "parameters": int(metrics["parameters"].iloc[0]),
        "macs": costs.get("macs", empty).median(),
        "latency_ms": costs.get("latency_ms_median", empty).median(),
    }
