"""A real TensorBoard over the folder of two runs: what its HTTP API lists is what a person sees in the browser."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from src.analysis.metrics import METRICS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a sweep, from the command line."""
    folder = tmp_path_factory.mktemp("two_runs")
    subprocess.run(
        [sys.executable, "-m", "src.train", "-m", "optimizer.lr=0.05,0.02", "model=simple_cnn", "trainer=cpu",
         "trainer.max_epochs=2", "sweep=two"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=300, check=True,
    )  # fmt: skip
    return folder / "outputs"


@pytest.fixture(scope="module")
def ask(outputs: Path) -> Iterator[Callable[..., Any]]:
    """`ask("scalars/tags")`: the JSON answer of a TensorBoard that reads `outputs`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(outputs), "--port", "0", "--host", "127.0.0.1",
         "--load_fast", "false", "--reload_interval", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = next(match[0] for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))

        def answer(route: str, body: dict[str, Any] | None = None) -> Any:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{address}/data/plugin/{route}", data, headers)
            with urllib.request.urlopen(request, timeout=60) as response:
                content = response.read()
            return json.loads(content) if response.headers.get_content_type() == "application/json" else content

        yield answer
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def test_scalars_of_both_runs_are_listed(ask: Callable[..., Any]) -> None:
    tags = ask("scalars/tags")
    assert set(tags) == {"sweeps/two/0_lr=0.05", "sweeps/two/1_lr=0.02"}
    for run in tags.values():
        assert {"train/accuracy", "val/accuracy", "train/f1", "val/f1", "train/lr"} <= set(run)
        # in the order of the browser
        assert {tag.partition("/")[0] for tag in run} == {"train", "val", "whole_run"}
    points = ask("scalars/scalars?run=sweeps%2Ftwo%2F0_lr%3D0.05&tag=val%2Faccuracy")
    assert len(points) == 2
    assert 0 <= points[-1][2] <= 1


def test_gradcam_plays_the_training_under_one_tag(ask: Callable[..., Any]) -> None:
    tags = ask("images/tags")
    assert {"val/gradcam", "whole_run/confusion_matrix_test"} <= set(tags["sweeps/two/0_lr=0.05"])
    images = ask("images/images?run=sweeps%2Ftwo%2F0_lr%3D0.05&tag=val%2Fgradcam&sample=0")
    assert [image["step"] for image in images] == [0, 1, 2]
    picture = Image.open(BytesIO(ask(f"images/individualImage?{images[-1]['query']}")))
    assert picture.size[0] > 400


def test_train_and_val_share_a_chart(ask: Callable[..., Any]) -> None:
    (category,) = ask("custom_scalars/layout")["category"]
    assert [chart["title"] for chart in category["chart"]] == [*METRICS]
    assert category["chart"][1]["multiline"]["tag"] == ["^train/accuracy$", "^val/accuracy$"]


def test_hparams_compare_the_runs(ask: Callable[..., Any]) -> None:
    experiment = ask("hparams/experiment", {"experimentName": "", "hparamsLimit": 1000})
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert names == {
        "model.name", "data.name", "data.image_size", "data.batch_size", "*optimizer.lr", "optimizer.lr",
        "trainer.max_epochs", "model.freeze", "seed", "trainer", "recipe",
    }  # fmt: skip
    metrics = {info["name"]["tag"].removeprefix("whole_run/") for info in experiment["metricInfos"]}
    assert metrics == {
        "test_accuracy", "val_accuracy", "baseline_accuracy", "test_f1", "val_f1", "baseline_f1",
        "train_seconds", "images_per_second", "best_epoch", "parameters",
    }  # fmt: skip
    columns = [{"hparam": "*optimizer.lr", "includeInResult": True}]
    wanted = {"name": {"tag": "whole_run/test_accuracy", "group": ""}}
    groups = ask(
        "hparams/session_groups",
        {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING"],
         "colParams": [*columns, {"metric": wanted["name"]}], "startIndex": 0, "sliceSize": 10},
    )["sessionGroups"]  # fmt: skip
    assert sorted(group["hparams"]["*optimizer.lr"] for group in groups) == [0.02, 0.05]
    for group in groups:
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        assert 0 < values["whole_run/test_accuracy"] <= 1
