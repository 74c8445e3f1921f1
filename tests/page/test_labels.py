"""A network of several labels an image on the page, in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.page import server
from src.page.exhibits import Exhibition, open_exhibition
from src.runs.folder import RunFolder
from src.trained.logits import predict
from src.training.label_results import probabilities
from tests.page.visitor import CHANGED, CONTROLS, Visitor


@pytest.fixture(scope="module")
def shown(label_run: Path) -> Exhibition:
    return open_exhibition(str(label_run), torch.device("cpu"))


@pytest.fixture
def visitor(chromium: Any, url: str, shown: Exhibition, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    monkeypatch.setattr(server, "_exhibition", shown)
    visitor = Visitor(chromium, url)
    yield visitor
    assert visitor.elsewhere == []
    visitor.close()


def test_labels_have_probabilities_and_thresholds_and_each_a_map(
    visitor: Visitor, shown: Exhibition, label_run: Path
) -> None:
    (exhibit,) = shown.exhibits
    trained, thresholds = exhibit.trained, exhibit.thresholds
    assert thresholds is not None
    assert f"test mAP {RunFolder(label_run).metrics()['test/map']:.3f}" in exhibit.facts
    file = label_run.parent / "pictures/images/00003.png"
    visitor.upload([file])
    card = visitor.card(file.name)
    image = torch.from_numpy(np.asarray(Image.open(file)).transpose(2, 0, 1).copy())
    said = probabilities(predict(trained, [image[None]]))[0]
    decided = [name for name, share, at in zip(trained.class_names, said, thresholds, strict=True) if share >= at]
    assert sorted(row.split()[1] for row in card.locator(".rl-first").all_inner_texts()) == sorted(decided)
    rows = {row.removeprefix("✓ ").split()[0]: row for row in map(in_a_line, card.locator(".rl-bar").all())}
    for name, share, at in zip(trained.class_names, said, thresholds, strict=True):
        assert rows[name].endswith(f"{100 * share:.1f} % from {100 * at:.1f} %")
    likeliest = trained.class_names[int(said.argmax())]
    assert card.get_by_text(f"vidence for {likeliest}").is_visible()
    other = next(name for name in trained.class_names if name != likeliest)
    before = visitor.overlay(file.name)
    visitor.open(CONTROLS)
    visitor.choose("Evidence for", other)
    visitor.page.wait_for_function(CHANGED, arg=[before])
    assert card.get_by_text(f"vidence for {other}").is_visible()


def test_a_test_image_has_its_true_labels_and_the_run_a_row_for_each_label(
    visitor: Visitor, shown: Exhibition, label_run: Path
) -> None:
    examples = shown.examples
    assert not isinstance(examples, str)
    assert examples.pictures.labels is not None
    index = int(next(i for i in examples.chosen if np.isnan(examples.pictures.labels[i]).any()))
    name, true = examples.pictures.names[index], examples.true(index)
    assert ", unknown " in true
    visitor.choose("Or a test image of the run", f"{name} ({true})")
    visitor.page.locator(".rl-name", has_text=f"{name} · true labels {true}").wait_for()
    visitor.page.get_by_role("tab", name="Run").click()
    visitor.page.get_by_text("Test mAP", exact=True).wait_for()
    table = visitor.page.locator("table").filter(has_text="Average precision")
    table.wait_for()
    rows = RunFolder(label_run).per_class()
    for name, support in zip(rows["class"], rows["support"], strict=True):
        assert table.get_by_role("row", name=f"{name} {support}").is_visible()
    visitor.page.get_by_text("In the curves labels are decided at a half").wait_for()
    assert visitor.page.get_by_text("damaged").count() == 0
    assert visitor.page.get_by_text("Confusion").count() == 0


def in_a_line(bar: Any) -> str:
    return " ".join(bar.inner_text().split())
