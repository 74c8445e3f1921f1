"""The single runs behind a report's means: one row each, as figures and as a compact table."""

from collections.abc import Sequence

from ..analysis.intervals import NONE, wilson
from ..analysis.tasks import ONE_CLASS
from ..frames import pd
from .document import Table
from .finished import Run
from .groups import TestSet

MOST = 60
"""Rows of the table on the page; runs.csv has all of them."""


def runs_table(test_sets: Sequence[TestSet]) -> pd.DataFrame:
    """Return one row a run, in the order of the groups.

    The columns are `test_set`, `label` (its group's), `run` (its folder), `seed`, `fold` (of a cross-validation),
    `split` (its data.split_seed), what sums up its test as `test_accuracy` or `test_map`, `_low` and `_high` of
    Wilson's 95 % interval (of accuracies), the number of its `test_images`, `val_…` of the best checkpoint,
    `best_epoch`, `epochs` and `train_seconds`.
    """
    rows = []
    for test_set in test_sets:
        first = test_set.task.first
        for group in test_set.groups:
            for run in group.runs:
                low, high = _interval(run)
                row = {"test_set": test_set.name, "label": group.label, "run": run.name, **run.replicate._asdict()}
                row |= {f"test_{first}": run.metrics[f"test/{first}"], "test_low": low, "test_high": high}
                row |= {"test_images": len(run.predictions), f"val_{first}": run.metrics.get(f"val/{first}")}
                rows.append(row | {name: run.metrics.get(name) for name in ("best_epoch", "epochs", "train_seconds")})
    frame = pd.DataFrame(rows)
    return frame.drop(columns=[name for name in ("fold", "split") if frame[name].isna().all()])


def _interval(run: Run) -> tuple[float, float]:
    images = len(run.predictions)
    return wilson(run.metrics["test/accuracy"], images) if run.task is ONE_CLASS and images else NONE


def single_runs(test_set: TestSet) -> Table:
    """Return the runs as text, in percent, with their folders."""
    task, frame = test_set.task, runs_table([test_set])
    known = frame["test_low"].notna().any()
    rows = []
    replicates = [str(run.replicate) for group in test_set.groups for run in group.runs]
    for row, replicate in zip(frame.head(MOST).to_dict("records"), replicates, strict=False):
        between = f"{100 * row['test_low']:.1f} to {100 * row['test_high']:.1f}"
        cells = [row["label"], row["run"], replicate, f"{100 * row[f'test_{task.first}']:.1f}"]
        rows.append([*cells, *([between] if known else [])])
    interval = "; 95 % interval: Wilson's, on other images like these" if known else ""
    more = f", the first {MOST} of {len(frame):,}" if len(frame) > MOST else ""
    caption = f"The single runs{more}; all figures are in runs.csv{interval}"
    columns = ["model", "run", "seed", task.score.title, *(["95 % interval"] if known else [])]
    return Table(caption, columns, rows, text_columns=2)
