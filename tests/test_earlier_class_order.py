"""A run of numeric class folders that an earlier version began keeps its classes' order, and so its splits."""

import re
from pathlib import Path

import pytest
from PIL import Image

from src.runs.folder import RunFolder
from tests.support.command_line import run_here

WORDS = (
    "data=folder", "data.root=photos", "data.image_size=8", "data.batch_size=4", "data.num_workers=0",
    "model=simple_cnn", "model.width=4", "trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none",
    "baseline=false", "cost=false", "hydra.run.dir=run",
)  # fmt: skip


@pytest.fixture
def earlier(tmp_path: Path) -> RunFolder:
    """A run whose settings don't name an order, as before there were two."""
    for number in range(1, 12):
        (tmp_path / "photos" / str(number)).mkdir(parents=True)
        for k in range(4):
            Image.new("RGB", (8, 8), (number * 20, k * 60, 0)).save(tmp_path / "photos" / str(number) / f"{k}.png")
    assert run_here(*WORDS, "data.class_order=plain", cwd=tmp_path).returncode == 0
    run = RunFolder(tmp_path / "run")
    for name in ("config.yaml", "overrides.yaml"):
        file = run.hydra / name
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(line for line in lines if not re.search(r"class_order|^  (exclude|classes): ", line)))
    return run


def test_it_is_resumed_and_measured_in_its_own_order(earlier: RunFolder, tmp_path: Path) -> None:
    before = earlier.predictions()["path"].tolist()
    more = run_here("resume=run", "trainer.max_epochs=2", cwd=tmp_path)
    assert (more.returncode, more.stderr) == (0, "")
    classes = [line.split(",")[0] for line in (earlier.path / "per_class.csv").read_text().splitlines()[1:]]
    assert classes == sorted(map(str, range(1, 12)))
    assert earlier.predictions()["path"].tolist() == before  # another order would draw another test set
    again = run_here("checkpoint=run", "output=evaluated", cwd=tmp_path, verb="evaluate")
    assert (again.returncode, again.stderr) == (0, "")
    assert "not in" not in again.stdout  # the warning of test images that were trained on
    assert RunFolder(tmp_path / "evaluated").predictions()["path"].tolist() == before


def test_another_order_is_refused(earlier: RunFolder, tmp_path: Path) -> None:
    other = run_here("resume=run", "data.class_order=natural", "trainer.max_epochs=2", cwd=tmp_path)
    assert other.returncode == 2
    assert "was begun with data.class_order=plain, now it is natural" in other.stderr
