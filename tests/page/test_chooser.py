"""Choosing other networks on the page, its table of many pictures, and what axe-core says of it, in a real browser."""

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from src.page import server
from src.page.exhibits import Exhibition
from tests.page.visitor import CONTROLS, Visitor
from tests.support.command_line import run_here


@pytest.fixture(scope="module")
def runs(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of the page, one of another image size, and one that has no checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(run, folder / "digits/simple_cnn/small")
    shutil.copytree(run, folder / "digits/simple_cnn/empty")
    (folder / "digits/simple_cnn/empty/checkpoints/best.ckpt").unlink()
    result = run_here(
        *("model=simple_cnn", "model.width=8", "data.image_size=24", "epochs=1", "cost=false", "baseline=false"),
        *("hydra.run.dir=digits/simple_cnn/large", "callbacks=none", "logger=none"),
        cwd=folder,
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(autouse=True)
def offering(exhibitions: dict[str, Exhibition], runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page offers the `runs` as well."""
    monkeypatch.setattr(server, "_exhibition", replace(exhibitions["one"], runs=runs))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scans")
    files = [folder / name for name in ("=scan, ä.png", "b.png", "c.png")]
    for file, pixels in zip(files, load_digits().images, strict=False):
        Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((64, 64)).save(file)
    return files


def test_other_networks_are_chosen_and_pictures_of_another_size_asked_for_again(
    visitor: Visitor, scans: list[Path]
) -> None:
    visitor.upload(scans[1:2])
    before = visitor.first("b.png")
    page = visitor.page
    page.get_by_role("button", name="Other networks").click()
    box = page.get_by_role("combobox", name="A run, or two side by side")
    box.click()
    offered = page.get_by_role("option")
    offered.first.wait_for()
    names = [name for name in offered.all_inner_texts() if name != "Select all"]
    assert sorted(name.split(" · ")[0] for name in names) == ["large", "small"]
    page.get_by_role("option", name="small").click()
    box.press("Escape")
    facts = page.locator(".rl-facts")
    facts.filter(has_text="small").wait_for()
    assert visitor.first("b.png") == before  # the same network under another name, and the picture is still there
    box.click()
    page.get_by_role("option", name="large").click()
    facts.nth(1).wait_for()
    assert [fact.split(" · ")[1] for fact in facts.all_inner_texts()] == ["small", "large"]
    refusal = page.locator(".rl-refused")
    refusal.wait_for()
    assert "choose this one again" in refusal.inner_text()


def test_many_pictures_have_a_table_that_can_be_kept(visitor: Visitor, scans: list[Path]) -> None:
    visitor.upload(scans)
    answers = {scan.name: visitor.first(scan.name) for scan in scans}
    visitor.open("All 3 pictures in a table")
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("button", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    said = {row["picture"]: f"{row['predicted']} {100 * float(row['confidence']):.1f} %" for row in rows}
    assert said == {name.replace("=scan", "./=scan"): answer for name, answer in answers.items()}
    cells = visitor.page.locator(".rl-wide table tbody tr").all_inner_texts()
    assert [cell.split("\t")[0] for cell in cells] == [row["picture"].removeprefix("./") for row in rows]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious(visitor: Visitor, scans: list[Path], scheme: Any, width: int) -> None:
    """Contrast, names, roles and what the keyboard reaches, on the page of pictures and on that of the run."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visitor.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    visitor.upload(scans)
    visitor.card(scans[0].name)
    visitor.open(CONTROLS)
    page.get_by_role("combobox", name="Method").wait_for()
    visitor.open("All 3 pictures in a table")
    page.get_by_role("button", name="Download as CSV").wait_for()
    found = axe.run(page).response["violations"]
    page.get_by_role("tab", name="Run").click()
    page.get_by_role("slider", name="Epoch").wait_for()
    found += axe.run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_two_networks_answer_above_the_fold(
    visitor: Visitor, exhibitions: dict[str, Exhibition], scans: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_exhibition", exhibitions["two"])
    visitor.page.reload()
    visitor.upload(scans[1:2])
    answers = visitor.card("b.png").locator(".rl-answer")
    answers.nth(1).wait_for()
    box = answers.nth(1).locator(".rl-bar").last.bounding_box()
    assert box["y"] + box["height"] <= 900
