"""The tab of a run shows all that there is, and a line for what is missing or damaged."""

import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib import _pylab_helpers
from PIL import Image
from streamlit.runtime import Runtime
from streamlit.testing.v1 import AppTest

from src.analysis.metrics import SHOWN
from src.runs.folder import RunFolder
from tests.data.bombs import large_png
from tests.page.visitor import EVIL

COST = {"parameters": 11_172_810, "latency_ms_median": 19.29, "training_images_per_second": None, "device": EVIL}


@pytest.fixture(autouse=True)
def _server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves Streamlit without its runtime, on which the server of other tests may still depend."""
    monkeypatch.setattr(Runtime, "_instance", Runtime._instance)


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> RunFolder:
    """A run with everything in it, to write in."""
    folder = RunFolder(shutil.copytree(digits_run, tmp_path / "a run, ä"))
    folder.gradcam.mkdir()
    for epoch in (0, 1, 2):
        Image.fromarray(np.full((40, 300, 3), 80 * epoch, np.uint8)).save(folder.gradcam / f"epoch_{epoch:03d}.png")
    folder.write_cost(COST)
    return folder


def shown(folder: RunFolder) -> AppTest:
    def page(path: str) -> None:
        from src.analysis.tasks import ONE_CLASS
        from src.page.run_tab import show_run
        from src.runs.folder import RunFolder

        show_run(RunFolder(path), ONE_CLASS)

    app = AppTest.from_function(page, args=(str(folder.path),), default_timeout=30).run()
    assert not app.exception
    return app


def lines(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.caption)


def tables(app: AppTest) -> list[list[list[str]]]:
    """The cells of the tables, as a browser shows them."""
    bodies = [element.proto.body for element in app.get("html") if "<table" in element.proto.body]
    rows = [[row.findall(".//") for row in ElementTree.fromstring(body).iter("tr")] for body in bodies]
    return [[["".join(c.itertext()) for c in row if c.tag in ("th", "td")] for row in table] for table in rows]


def test_all_of_a_run_is_shown(run: RunFolder) -> None:
    app = shown(run)
    assert [part.value for part in app.header] == [
        "Figures", "Curves", "Confusion matrix of the test images", "Grad-CAM by epoch", "Cost",
    ]  # fmt: skip
    metrics = run.metrics()
    assert app.metric[0].value == f"{metrics['test/accuracy']:.2%}"
    figures, costs = tables(app)
    assert figures[0] == ["", *(metric.heading for metric in SHOWN.values())]
    assert {"Accuracy", "Macro precision", "Macro F1", "Loss"} <= set(figures[0])
    assert [row[0] for row in figures[1:]] == ["train", "validation", "test"]
    assert figures[3][1:] == [f"{metrics[f'test/{name}']:.4f}" for name in SHOWN]
    assert costs == [["parameters", "11.2 M"], ["latency of one image, median", "19.3 ms"], ["measured on", EVIL]]
    assert len(app.get("image")) == 2
    charts = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    assert [chart["layer"][0]["encoding"]["y"]["field"] for chart in charts] == ["Accuracy", "Macro F1", "Loss"]
    assert "damaged" not in lines(app)
    assert "has no" not in lines(app)
    read_as_markdown = [element for kind in ("markdown", "table", "arrow_data_frame") for element in app.get(kind)]
    assert read_as_markdown == []


def test_it_says_over_how_many_classes_macro_figures_are_averaged(run: RunFolder) -> None:
    said = "averages over the"
    assert said not in lines(shown(run))
    head, first, *rest = run.per_class_file.read_text().splitlines()
    name, _, *figures = first.split(",")
    run.per_class_file.write_text("\n".join([head, ",".join([name, "0", *figures]), *rest]) + "\n")
    assert f"averages over the {len(rest)} of {len(rest) + 1} classes" in lines(shown(run))


def test_the_slider_chooses_the_epoch_of_the_sheet(run: RunFolder) -> None:
    app = shown(run)
    assert app.select_slider[0].options == ["0", "1", "2"]
    last = app.get("image")[1].proto.imgs[0].url
    app.select_slider[0].set_value(0).run()
    assert not app.exception
    assert app.get("image")[1].proto.imgs[0].url != last


def test_the_slider_opens_at_the_epoch_of_the_checkpoint(run: RunFolder) -> None:
    run.write_metrics(run.metrics() | {"best_epoch": 1})
    assert shown(run).select_slider[0].value == 1
    run.write_metrics(run.metrics() | {"best_epoch": 9})  # no sheet of it
    assert shown(run).select_slider[0].value == 2


@pytest.mark.parametrize(
    ("weights", "words"), [("null", ", untrained."), ("imagenet", ", with the weights that it was given.")]
)
def test_epoch_0_of_a_fine_tuned_network_is_not_untrained(run: RunFolder, weights: str, words: str) -> None:
    settings = run.hydra / "config.yaml"
    settings.write_text(re.sub(r"^weights: .*$", f"weights: {weights}", settings.read_text(), flags=re.MULTILINE))
    assert f"Epoch 0 is the network before training{words}" in lines(shown(run))


def test_one_sheet_has_no_slider(run: RunFolder) -> None:
    for epoch in (1, 2):
        (run.gradcam / f"epoch_{epoch:03d}.png").unlink()
    app = shown(run)
    assert not app.select_slider
    assert len(app.get("image")) == 2


def test_a_run_that_has_just_begun_gets_a_line_a_part(tmp_path: Path) -> None:
    app = shown(RunFolder(tmp_path / "none"))
    expected = ("metrics.json", "metrics.csv", "predictions.csv", "gradcam", "cost.json")
    assert lines(app).split("\n") == [f"This run has no {name}." for name in expected]


PARTS = ("metrics.json", "metrics.csv", "gradcam/epoch_002.png", "cost.json")
DAMAGED = {
    "cut off": (b'{"test/accuracy": 0.9', b"epoch,train/loss\n1,0.5\n", b"\x89PNG\r\n\x1a\nhalf", b"{"),
    "other types": (b"[1, 2]", b"\xff\xfe\x00\x01", b"GIF89a", b"null"),
    "other values": (
        b'{"test/accuracy": "<script>alert(1)</script>", "test/f1": 1, "test/loss": 1}',
        b"epoch,train/accuracy,val/accuracy\none,two,three\n",
        b"",
        b'{"parameters": "many"}',
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_what_is_damaged_gets_a_line_and_the_rest_is_shown(run: RunFolder, kind: str) -> None:
    for name, content in zip(PARTS, DAMAGED[kind], strict=True):
        (run.path / name).write_bytes(content)
    app = shown(run)
    damaged = [f"{name.split('/')[0]} of this run is damaged and can't be shown." for name in PARTS]
    assert [line for line in lines(app).split("\n") if "damaged" in line] == damaged
    assert len(app.header) == 5
    assert len(app.get("image")) == 1  # the confusion matrix


def test_other_files_among_the_sheets_are_passed_over(run: RunFolder) -> None:
    (run.gradcam / "epoch_two.png").write_bytes(b"")
    (run.gradcam / "epoch_3.txt").write_bytes(b"")
    assert shown(run).select_slider[0].options == ["0", "1", "2"]


def test_a_matrix_without_its_picture_is_drawn_from_the_predictions(run: RunFolder) -> None:
    picture = run.figures / "confusion_matrix.png"
    picture.write_bytes(picture.read_bytes()[:500])
    app = shown(run)
    assert len(app.get("image")) == 2
    run.predictions_file.write_text("path,target\na,b\n")
    assert "predictions.csv of this run is damaged" in lines(shown(run))


def test_a_run_without_validation_or_a_single_epoch_has_its_curves(run: RunFolder) -> None:
    history = run.history()
    history[[name for name in history if name.startswith("val/")]] = np.nan
    history.head(1).to_csv(run.history_file, index=False)
    charts = [json.loads(chart.proto.spec) for chart in shown(run).get("vega_lite_chart")]
    assert len(charts) == 3
    assert all(chart["layer"][0]["mark"]["point"] for chart in charts)  # a line of one point is invisible
    pd.DataFrame({"epoch": []}).to_csv(run.history_file, index=False)
    assert "metrics.csv of this run is damaged" in lines(shown(run))


def test_what_is_not_finite_is_said_and_left_out(run: RunFolder) -> None:
    history = pd.concat([run.history().head(1)] * 9, ignore_index=True)
    history["epoch"] = range(1, 10)
    history.loc[history.index[-1], ["train/loss", "val/loss"]] = np.inf
    history.loc[:, ["train/f1", "val/f1"]] = -np.inf
    history.to_csv(run.history_file, index=False)
    run.metrics_file.write_text(run.metrics_file.read_text().replace("}", ', "best_epoch": 1e999}'))
    app = shown(run)
    charts = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    assert [chart["layer"][0]["encoding"]["y"]["field"] for chart in charts] == ["Accuracy", "Loss"]
    said = lines(app).split("\n")
    assert re.fullmatch(r"Test images: \d+ of 180 right: 0\.\d{3} \(95 % interval 0\.\d{3} to \d\.\d{3}\)\.", said[0])
    assert said[1:4] == [
        "metrics.json of this run is damaged and can't be shown.",  # its fault, not that of metrics.csv
        "Epochs 1, 2, 3, 4, 5, …: the macro F1 is not finite.",
        "Epoch 9: the loss is not finite.",
    ]


def test_nothing_stays_behind_in_matplotlib(run: RunFolder) -> None:
    (run.figures / "confusion_matrix.png").unlink()
    for _ in range(2):
        shown(run)
    assert not _pylab_helpers.Gcf.figs


def test_a_matrix_of_many_classes_shows_some_and_stays_small(run: RunFolder) -> None:
    (run.figures / "confusion_matrix.png").unlink()
    rows = "".join(f"{n},c{n},c{n + 1},0.5\n" for n in range(15_000))
    run.predictions_file.write_text("path,target,predicted,confidence\n" + rows)
    tracemalloc.start()
    app = shown(run)
    assert tracemalloc.get_traced_memory()[1] < 300e6  # a matrix of 15,000² would be 1,800 MB
    tracemalloc.stop()
    assert len(app.get("image")) == 2


def test_a_picture_that_is_a_bomb_or_a_pipe_is_not_waited_for(run: RunFolder) -> None:
    bomb = large_png(12_000, 12_000)
    for epoch in range(3):
        (run.gradcam / f"epoch_{epoch:03d}.png").write_bytes(bomb)
    pipe = run.figures / "confusion_matrix.png"
    pipe.unlink()
    os.mkfifo(pipe)
    app = shown(run)
    assert "gradcam of this run is damaged and can't be shown." in lines(app)
    assert len(app.get("image")) == 1  # the matrix, drawn anew


def test_a_chart_of_many_epochs_has_every_nth(run: RunFolder) -> None:
    history = pd.concat([run.history().head(1)] * 9000, ignore_index=True)
    history["epoch"] = range(1, 9001)
    history.to_csv(run.history_file, index=False)
    app = shown(run)
    assert "Of 5 epochs one is shown." in lines(app)
