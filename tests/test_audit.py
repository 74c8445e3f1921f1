"""`python -m src.audit` as a user meets it: the page, the files and the exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure
from omegaconf import DictConfig
from PIL import Image

from src import figures
from src.audit import audit
from src.errors import InputError
from src.figures.samples import duplicates, samples

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "src.audit", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs of each of two classes in train, val and test; one of train is in test too."""
    root = tmp_path / "photos"
    for k, place in enumerate(f"{split}/{name}" for split in ("train", "val", "test") for name in ("cat", "dog")):
        (root / place).mkdir(parents=True)
        for i in range(3):
            cells = np.random.default_rng(10 * k + i).integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(cells).resize((80, 60), Image.Resampling.BICUBIC).save(root / place / f"{i}.png")
    shutil.copy(root / "train/cat/0.png", root / "test/cat/leak.png")
    return root


def test_a_leak_is_shown_and_written_and_with_strict_fails(photos: Path, tmp_path: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in photos.rglob("*"))
    result = run("data=folder", f"data.root={photos}", "data.image_size=32", "output=out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    page = " ".join(result.stdout.split())
    assert "folder: 19 images of 2 classes" in page
    assert "exact, across splits: train/cat/0.png (train, cat) = test/cat/leak.png (test, cat)" in page
    assert "Look at these before training: 1 picture in more than one split" in page
    content = json.loads((tmp_path / "out/audit.json").read_text())
    assert content["images"] == {"train": 6, "val": 6, "test": 7}
    assert content["classes"]["cat"] == {"train": 3, "val": 3, "test": 4}
    assert content["duplicates"]["across_splits"] == 1
    with Image.open(tmp_path / "out/samples.png") as samples, Image.open(tmp_path / "out/duplicates.png") as pairs:
        assert samples.size == (190 + 3 * 104 + 8, 36 + 2 * 104 + 8)
        assert pairs.width == 8 + 3 * 192
        assert len(set(np.asarray(samples)[36 : 36 + 96, 190 : 190 + 96].reshape(-1, 3).sum(1).tolist())) > 20
    strict = run("data=folder", f"data.root={photos}", "strict=true", "output=strict", cwd=tmp_path)
    assert strict.returncode == 1
    assert strict.stderr.startswith("error: the data set is not sound, see ")
    assert strict.stderr.count("\n") == 1
    assert json.loads((tmp_path / "strict/audit.json").read_text()) == content
    assert (tmp_path / "strict/duplicates.png").exists()
    assert sorted((path, path.stat().st_mtime_ns) for path in photos.rglob("*")) == before


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose("audit", overrides=list(overrides))


def test_strict_passes_what_is_sound(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "test/cat/leak.png").unlink()
    content = audit(composed("data=folder", f"data.root={photos}", "strict=true"), tmp_path / "out")
    assert content["sound"]
    assert capsys.readouterr().out.splitlines()[-1] == "Ready to train: no duplicates across splits or classes."
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["audit.json", "samples.png"]


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the data folder 'nowhere' does not exist: set data.root"):
        audit(composed("data=folder", "data.root=nowhere"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_are_whole_whatever_names_and_shapes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    row = [random.integers(0, 256, (1, 28, 28), dtype=np.uint8)] * 2
    name = "a_class_with_a_name_much_longer_than_a_row_is_wide"
    drawn = samples([row, row[:1]], [name, "$x_1$"], "data", "and 3 classes more")
    assert all_inside(drawn)
    wide, tall = (Image.new("RGB", size, "red") for size in ((400, 20), (20, 400)))
    groups = [[wide, tall], [wide, wide]]
    captions = [["x" * 26 + "\ntrain\n" + "y" * 24] * 2] * 2
    assert all_inside(duplicates(groups, captions, ["first", "second"], "data", "1 more"))


def all_inside(figure: Figure) -> bool:
    """Nothing that is drawn is cut off by the edge of the figure (to a pixel)."""
    figures.to_image(figure)
    drawn = figure.get_tightbbox().extents  # inches
    width, height = figure.get_size_inches()
    return bool(min(drawn[:2]) >= -0.01 and drawn[2] <= width + 0.01 and drawn[3] <= height + 0.01)
