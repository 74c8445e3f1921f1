"""The tab that shows a run: its figures, curves, confusion matrix, Grad-CAM by epoch, and what the network costs."""

import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import streamlit as st
from numpy.typing import NDArray
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from ..analysis.classification import confusion_among, most_mistaken
from ..analysis.intervals import right_of
from ..analysis.metrics import SPLITS
from ..analysis.tasks import ONE_CLASS, Task
from ..cost.cost_table import TOLD
from ..data.decoding_cost import reason_against
from ..data.refusal import refuse
from ..figures.confusion import confusion_matrix
from ..figures.style import BLUE, GREY, VERMILLION, to_image
from ..files import open_inside
from ..frames import pd
from ..runs.folder import RunFolder
from ..runs.saved_settings import known_settings
from . import markup

log = logging.getLogger(__name__)

MEASURED = {"precision": "precision", "device": "measured on"}
"""What else of cost.json is shown."""

LABEL_FIGURES = {
    "average_precision": "Average precision",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "threshold": "Threshold",
}
"""Column of per_class.csv -> its name for people."""

MOST_LABELS = 100

MOST_BYTES, MOST_PIXELS = 50 * 10**6, 50_000_000
"""Of a picture of a run: the sheets of Grad-CAMs are the largest, and have some 5 million pixels."""

MOST_EPOCHS = 2000
"""In a chart, which the browser gets with every point as text."""

LEAST_SCALE = 0.68
"""Pictures of a run shrink no further, or small letters would be illegible: a phone scrolls them sideways."""


def show_run(run: RunFolder, task: Task) -> None:
    """Draw the run's figures into the page. What is missing or damaged gets a line instead."""
    with _part("Figures", run.metrics_file):
        _show_metrics(task, run.metrics(), run.images_of_classes())
    with _part("Curves", run.history_file):
        _show_curves(task, run.history(), _best_epoch(run))
    if task is ONE_CLASS:
        with _part("Confusion matrix of the test images", run.predictions_file):
            _show_confusion(run)
    else:
        with _part("Labels of the test images", run.per_class_file):
            _show_labels(run.per_class())
    with _part("Grad-CAM by epoch", run.gradcam):
        _show_gradcam(run)
    with _part("Cost", run.cost_file):
        _show_cost(run.cost())


@contextmanager
def _part(title: str, source: Path) -> Iterator[None]:
    st.header(title, anchor=False)
    try:
        yield
    except FileNotFoundError:
        st.caption(f"This run has no {source.name}.")
    except Exception as error:  # a damaged file can make pandas, NumPy and Pillow raise anything
        log.warning("%s can't be shown: %s", source, error)
        st.caption(f"{source.name} of this run is damaged and can't be shown.")


def _show_metrics(task: Task, metrics: dict[str, float], tested: list[int]) -> None:
    """What sums up the test in large, and all splits in a table; `tested`: images of each class."""
    rows = {
        name: [_four_digits(metrics.get(f"{split}/{figure}")) for figure in task.shown]
        for split, name in SPLITS.items()
        if metrics.get(f"{split}/{task.first}") is not None
    }
    if not rows:
        raise FileNotFoundError
    if f"test/{task.first}" in metrics:
        st.metric(f"Test {task.score.title}", f"{float(metrics[f'test/{task.first}']):.2%}")
    if "test/accuracy" in metrics and tested:
        st.caption(f"Test images: {right_of(float(metrics['test/accuracy']), sum(tested))}.")
    columns = [metric.heading for metric in task.shown.values()]
    st.html(markup.wide_table(rows.items(), columns))
    there = sum(images > 0 for images in tested)
    if there < len(tested):
        st.caption(
            f"Macro figures of the test set are averages over the {there} of {len(tested)} {task.classes} that have "
            "images."
        )
    if "best_epoch" in metrics:
        st.caption(f"The checkpoint of epoch {int(metrics['best_epoch'])} of {int(metrics['epochs'])}.")


def _four_digits(value: float | None) -> str:
    return "–" if value is None else f"{float(value):.4f}"


def _best_epoch(run: RunFolder) -> int | None:
    try:
        return int(run.metrics()["best_epoch"])
    except (OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError):  # overflow: 1e999 is infinite
        return None


def _show_curves(task: Task, history: pd.DataFrame, best: int | None) -> None:
    """Draw a chart for each figure: training dashed, validation solid, the best epoch marked."""
    charts, remarks = [], []
    if len(history) > MOST_EPOCHS:
        step = -(-len(history) // MOST_EPOCHS)
        history = history.iloc[::step]
        remarks.append(f"Of {step} epochs one is shown.")
    best = best if best in set(history["epoch"]) else None
    for figure, title in ((name, metric.heading) for name, metric in task.shown.items() if metric.curve):
        splits = {f"train/{figure}": "train", f"val/{figure}": "validation"}
        rows = history[["epoch", *splits]].rename(columns=splits).melt("epoch", var_name="split", value_name=title)
        rows = rows.astype({"epoch": int, title: float}).dropna()
        finite = np.isfinite(rows[title])  # others have no place on an axis
        if not finite.all():
            remarks.append(f"{_epochs(rows['epoch'][~finite])}: the {title[0].lower()}{title[1:]} is not finite.")
        if finite.any():
            charts.append((rows[finite], title))
    if not charts and not remarks:
        raise FileNotFoundError
    for column, (rows, title) in zip(st.columns(len(charts) or 1), charts, strict=False):  # on a phone below each other
        column.altair_chart(_chart(rows, title, best), width="stretch")
    if best is not None:
        remarks.insert(0, f"The dotted line is at the best epoch, {best}.")
    if task is not ONE_CLASS:
        remarks.append("In the curves labels are decided at a half, in the table at their tuned thresholds.")
    for remark in remarks:
        st.caption(remark)


def _epochs(numbers: pd.Series) -> str:
    """Return `Epoch 4`, or the first few of several."""
    first, *others = sorted(set(numbers))
    return (
        f"Epochs {first}, {', '.join(map(str, others[:4]))}{', …' if others[4:] else ''}"
        if others
        else f"Epoch {first}"
    )


def _chart(rows: pd.DataFrame, title: str, best: int | None) -> alt.LayerChart | alt.FacetChart:
    """`rows` has columns `epoch`, `split` and one called `title`."""
    names = ["train", "validation"]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolSize=400)
    lines = (
        alt.Chart(rows)
        .mark_line(point=rows["epoch"].nunique() < 15)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(zero=False)),
            y=alt.Y(f"{title}:Q", scale=alt.Scale(zero=False)),
            color=alt.Color("split:N", scale=alt.Scale(domain=names, range=[BLUE, VERMILLION]), legend=legend),
            strokeDash=alt.StrokeDash("split:N", scale=alt.Scale(domain=names, range=[[6, 4], [1, 0]]), legend=legend),
            tooltip=["epoch", "split", alt.Tooltip(f"{title}:Q", format=".4f")],
        )
    )
    marked = pd.DataFrame({"epoch": [] if best is None else [best]}, dtype=float)
    rule = alt.Chart(marked).mark_rule(color=GREY, strokeDash=[2, 3]).encode(x="epoch:Q")
    return alt.layer(lines, rule).properties(height=260)


def _show_confusion(run: RunFolder) -> None:
    """Show the run's own picture or, where it is missing or broken, one drawn from predictions.csv."""
    try:
        picture, width = _whole_png(run, "figures/confusion_matrix.png")
    except Exception:
        predictions = run.predictions()
        pairs = predictions[["target", "predicted"]].astype(str).to_numpy()
        names, places = np.unique(pairs.astype(object), return_inverse=True)
        targets, predicted = places.reshape(pairs.shape).T
        classes = most_mistaken(targets, predicted, len(names))
        counts = confusion_among(targets, predicted, classes, len(names))
        pixels = to_image(confusion_matrix(counts, names[classes], len(names)))
        picture, width = _png(pixels), pixels.shape[1]
    _show_picture(picture, width, "confusion matrix", run)


def _show_labels(table: pd.DataFrame) -> None:
    """Draw a row for each label, those with the lowest average precision first."""
    ranked = table.sort_values("average_precision", kind="stable").head(MOST_LABELS)
    rows = {
        str(row["class"]): [f"{row['support']:,.0f}", *(f"{row[name]:.4f}" for name in LABEL_FIGURES)]
        for row in ranked.to_dict("records")
    }
    columns = ["Images", *LABEL_FIGURES.values()]
    st.html(markup.wide_table(rows.items(), columns))
    note = f"Of {len(table):,} labels the {len(ranked):,} worst. " if len(table) > len(ranked) else ""
    st.caption(f"{note}Each label's threshold has the best F1 on the validation images.")


def _show_gradcam(run: RunFolder) -> None:
    sheets = {int(path.stem.removeprefix("epoch_")): path.name for path in sorted(run.gradcam.glob("epoch_[0-9]*.png"))}
    if not sheets:
        raise FileNotFoundError
    epoch = max(sheets)
    if len(sheets) > 1:  # a slider needs two ends
        best = _best_epoch(run)
        epoch = best if best in sheets else epoch
        epoch = st.select_slider("Epoch", list(sheets), value=epoch, key=f"epoch of {run.path}")
    _show_picture(*_whole_png(run, f"gradcam/{sheets[epoch]}"), "Grad-CAM", run)
    if 0 in sheets:
        st.caption(f"Epoch 0 is the network before training{_beginning(run)}.")


def _beginning(run: RunFolder) -> str:
    """Say from which weights the training started, as far as the run tells."""
    with suppress(OmegaConfBaseException, KeyError):
        given = known_settings(run)["model"].get("weights") is not None
        return ", with the weights that it was given" if given else ", untrained"
    return ""


def _show_cost(cost: dict[str, Any]) -> None:
    rows = {name: [write(float(cost[key]))] for key, (name, write) in TOLD.items() if cost.get(key) is not None}
    rows |= {name: [str(cost[key])] for key, name in MEASURED.items() if cost.get(key) is not None}
    st.html(markup.table(rows.items()))  # st.table would read words as Markdown and load the pictures that they name


def _show_picture(png: bytes, width: int, name: str, run: RunFolder) -> None:
    """Show a picture `width` pixels wide, with a hint where it must be scrolled; `name` is unique within the run."""
    key = f"picture_{zlib.crc32(f'{name} of {run.path}'.encode(errors='surrogateescape'))}"
    least = round(LEAST_SCALE * width)
    st.html(
        f"<style>.st-key-{key} {{overflow-x: auto; container-type: inline-size}}"
        f".st-key-{key} img {{min-width: {least}px}}"
        f"@container (max-width: {least - 1}px) {{.st-key-{key} .rl-hint {{display: block}}}}</style>"
    )
    with st.container(key=key):
        st.html('<p class="rl-note rl-hint">Wider than the screen: scroll it sideways. →</p>')
        st.image(png, alt=name)


def _whole_png(run: RunFolder, name: str) -> tuple[bytes, int]:
    """Return the bytes and the width of a PNG file, whose checksums must be right: half a file is a broken picture.

    Raise `UnreadableImageError` for one that is too large for Streamlit, which may decode it to fit it to the page.
    """
    with open_inside(run.path, name) as file:
        content = file.read(MOST_BYTES + 1)
    refuse("too large" if len(content) > MOST_BYTES else reason_against(BytesIO(content)))
    with Image.open(BytesIO(content), formats=("PNG",)) as image:
        refuse("too large" if image.width * image.height > MOST_PIXELS else None)
        image.verify()
        return content, image.width


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
