"""One run on one page: from its folder alone, whatever it left there."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.errors import InputError
from src.reporting.report import write_report
from src.reporting.run_page import write_run_page
from src.runs.folder import RunFolder
from tests.reporting.conftest import MakeRun, edit_json, write_label_run

FIGURES = ("train_batch", "curves", "confusion_matrix", "mistakes", "gradcam_movement")
COST = {
    "parameters": 5_000_000, "macs": 7e6, "latency_ms_median": 1.54, "training_peak_memory_mib": 300.2,
    "device": "A CPU", "threads": 2,
}  # fmt: skip


def draw(run: RunFolder, figures: Sequence[str] = FIGURES, epochs: Sequence[int] = (0, 1, 2, 10)) -> None:
    files = [run.figures / f"{name}.png" for name in figures] + [run.gradcam / f"epoch_{n:03d}.png" for n in epochs]
    for number, file in enumerate(files, start=1):
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (10 + number, 10), "teal").save(file)


def page(run: RunFolder) -> str:
    """The text that a reader sees, on one line."""
    write_run_page(run)
    text = run.page_file.read_text(encoding="utf-8")
    return " ".join(re.sub(r"<(style|[^>]*>).*?", " ", text.partition("</style>")[2]).replace("\xa0", " ").split())


@pytest.fixture
def run(tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    right = np.arange(30) != 7
    words = ("model=resnet18", "data=pictures", "optimizer.lr=0.05", "+data.group=box")
    return make_run(tmp_path / "outputs/pictures/resnet18/mine", *words, correct=right, cost=COST, start="2026")


def test_what_a_reader_finds(run: RunFolder) -> None:
    draw(run)
    edit_json(run.metrics_file, best_epoch=2, baseline__accuracy=0.4)
    edit_json(run.record_file, images={"train": 1204, "val": 12, "test": 30})
    text = page(run)
    assert "of a sample" not in text
    assert "29 of 30 test images right: 0.967 (95 % interval 0.833 to 0.994)." in text
    assert "Before training the accuracy was 0.400." in text
    assert "So few test images say little" in text
    assert "… 95 % interval 0.833 to 0.994" in text
    assert "cat dog" not in text
    assert "dog cat 1 of 15" in text, "the one mistake"
    assert "1 of 30 test images is classified wrongly." in text
    assert text.index("optimizer.lr 0.05 yes") < text.index("data.image_size 28"), "what was typed comes first"
    assert "data.group box yes" in text
    assert "images: train, validation, test 1,204, 12, 30" in text
    assert "Measured on A CPU, 2 threads" in text
    assert "latency of one image, median 1.5 ms" in text
    assert "explain checkpoint=outputs/pictures/resnet18/mine" in text
    assert "predict checkpoint=outputs/pictures/resnet18/mine images=PHOTOS" in text
    html = run.page_file.read_text()
    assert html.count('<img src="data:image/') == len(FIGURES) + 2
    captions = re.findall(r'alt="(Grad-CAM of [^"]*)"', html)
    assert captions == [
        "Grad-CAM of fixed validation images before training",
        "Grad-CAM of fixed validation images after epoch 10; the best checkpoint is of epoch 2",
    ]
    assert "http" not in html.replace("http-equiv", "")


def test_a_page_says_of_how_many_training_images_the_figures_are(run: RunFolder) -> None:
    edit_json(run.metrics_file, train__accuracy=0.9)
    edit_json(run.record_file, images={"train": 1204, "val": 12, "test": 30}, train_images_measured=1000)
    said = "Those of training images are of a sample, 1,000 of 1,204 (accuracy: 95 % interval 0.880 to 0.917)."
    assert said in page(run)
    record = run.record() | {"train_images_measured": None}  # `trainer.limit_test_batches` has decided
    run.record_file.write_text(json.dumps(record))
    assert "of a sample" not in page(run)
    edit_json(run.record_file, images={"train": 20_000, "val": 12, "test": 30})  # an earlier version had no number
    assert "are of a sample, 10,000 of 20,000" in page(run)


def test_nothing_is_said_of_the_place_where_it_lies(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere := run.path.parent / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    assert str(run.path) not in page(run)
    assert "evaluate checkpoint=RUN" in page(run)
    edit_json(run.record_file, command=f"python -m src.train hydra.run.dir={run.path}")
    assert f"evaluate checkpoint={run.path}" in page(run), "the record says it"


def test_a_run_without_pictures_costs_or_mistakes(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run", correct=[True] * 200, baseline=False)
    text = page(run)
    assert "200 of 200 test images right: 1.000 (95 % interval 0.981 to 1.000)" in text
    assert "Before training" not in text
    assert "So few" not in text
    assert "Most confused" not in text
    assert "Its surest mistakes" not in text
    assert "picture missing" not in text


def test_a_test_set_that_was_left_alone(tmp_path: Path, make_run: MakeRun) -> None:
    run = make_run(tmp_path / "run")
    draw(run, ["mistakes", "curves"])
    kept = {name: value for name, value in run.metrics().items() if not name.startswith(("test/", "baseline/"))}
    run.write_metrics(kept | {"val/accuracy": 0.75})
    run.predictions_file.unlink()
    run.per_class_file.unlink()
    text = page(run)
    assert "Accuracy 0.750 on the validation set." in text
    assert "which flatters this figure" in text
    assert "Of the validation images, because the test set was left alone." in text
    assert "95 %" not in text
    with pytest.raises(InputError, match="test=false"):
        write_report(run.path, tmp_path / "report")


def test_several_labels_an_image(tmp_path: Path, make_run: MakeRun) -> None:
    random = np.random.default_rng(0)
    targets = (random.random((60, 3)) < 0.5).astype(np.float32)
    logits = (4 * targets - 2 + random.normal(0, 2, targets.shape)).astype(np.float32)
    run = write_label_run(tmp_path / "run", logits=logits, targets=targets)
    text = page(run)
    found = re.search(r"mAP (\S+) \(95 % interval (\S+) to (\S+)\) on the test set of 60 images\.", text)
    assert found is not None
    value, low, high = map(float, found.groups())
    assert low < value < high
    assert value == pytest.approx(run.metrics()["test/map"], abs=6e-4)
    assert "average precision" in text
    assert "misclassified=" not in text


def test_a_stranger_s_pictures_are_not_followed_out_of_the_folder(run: RunFolder, tmp_path: Path) -> None:
    draw(run)
    Image.new("RGB", (5, 5)).save(tmp_path / "mine.png")
    for name in ("curves", "mistakes"):
        (run.figures / f"{name}.png").unlink()
    (run.figures / "curves.png").symlink_to(tmp_path / "mine.png")
    os.mkfifo(run.figures / "mistakes.png")
    (run.figures / "train_batch.png").write_bytes(b"<svg onload=alert(1)>")
    text = page(run)
    assert text.count("(picture missing)") == 2, "the link, and what is no picture; a pipe is no file"
    assert "svg" not in text


def test_the_report_of_one_run_is_its_page(run: RunFolder) -> None:
    draw(run)
    report = write_report(run.path, run.path / "report")
    first = {path.name for path in report.folder.iterdir()}
    assert {f"figures_{name}.png" for name in FIGURES if name != "confusion_matrix"} < first
    assert {"class_f1.png", "confusion_matrices.png"} < first
    assert "gradcam_epoch_010.png" in first
    assert "How to use it" in (report.folder / "report.html").read_text()
    assert "![Mistakes with" in (report.folder / "report.md").read_text()
    assert "29 of 30" in report.answer[0]
    (run.figures / "mistakes.png").unlink()
    (run.gradcam / "epoch_010.png").unlink()
    write_report(run.path, run.path / "report")
    gone = first - {path.name for path in report.folder.iterdir()}
    assert gone == {"figures_mistakes.png", "gradcam_epoch_010.png"}


def test_a_damaged_run_has_no_page(run: RunFolder) -> None:
    run.predictions_file.write_text("path,target\na,b\n")
    with pytest.raises(InputError, match=r"predictions.csv"):
        write_run_page(run)
    assert not run.page_file.exists()
