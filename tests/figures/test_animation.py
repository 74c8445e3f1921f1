"""An animation of Grad-CAMs by epoch: small, readable, as long as it should be."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.attribution.archive import save_attribution
from src.attribution.cam import Attribution
from src.callbacks.map_steps import arrays_file
from src.figures import animation
from src.figures.animation import LAST, MOST_BYTES, MOST_FRAMES, chosen_frames, save_animation
from src.runs.arrays import save_arrays
from src.runs.folder import RunFolder
from src.training.animation import FILE, draw_animation


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as image:
        pictures, milliseconds = [], []
        for number in range(image.n_frames):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
            milliseconds.append(image.info["duration"])
        assert image.info["loop"] == 0
    return pictures, milliseconds


def with_maps(run: RunFolder, epochs: int, layer: str = "layer3") -> RunFolder:
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (3, 3, 16, 16), np.uint8)
    names = np.array(["cat", "dog"])
    save_arrays(run.gradcam / "images.npz", images=images, targets=np.array([0, 1, 1]), class_names=names)
    for epoch in range(epochs):
        found = Attribution(
            random.random((3, 4, 4), np.float32), np.eye(3, 2, dtype=np.float32), np.zeros(3, int), layer
        )
        save_attribution(arrays_file(run.gradcam, epoch), found)
    return run


def test_a_frame_an_epoch_and_the_last_one_stays(tmp_path: Path) -> None:
    run = with_maps(RunFolder(tmp_path), 4)
    draw_animation(run, {1: 0.5, 2: 0.75, 3: float("nan")}, best_epoch=2)
    pictures, milliseconds = frames_of(run.figures / FILE)
    assert len(pictures) == 4
    assert milliseconds == [700, 700, 700, LAST]
    assert not (pictures[0] == pictures[1]).all()
    assert (run.figures / FILE).stat().st_size < MOST_BYTES


def test_many_epochs_become_few_frames_with_the_best_among_them() -> None:
    assert chosen_frames(4) == [0, 1, 2, 3]
    places = chosen_frames(300, best=7)
    assert len(places) <= MOST_FRAMES + 1
    assert {0, 7, 299} <= {*places}


def test_what_can_hardly_be_made_smaller_has_fewer_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(animation, "MOST_BYTES", 60_000)
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (200, 200, 3), np.uint8) for _ in range(10)]
    save_animation(noise, tmp_path / "noise.webp")
    pictures, milliseconds = frames_of(tmp_path / "noise.webp")
    assert (tmp_path / "noise.webp").stat().st_size <= 60_000
    assert 2 <= len(pictures) < 10
    assert milliseconds[-1] == LAST
    for there, given in ((pictures[0], noise[0]), (pictures[-1], noise[-1])):
        assert np.corrcoef(there.mean(axis=2).ravel(), given.mean(axis=2).ravel())[0, 1] > 0.3


@pytest.mark.parametrize("epochs", [0, 1])
def test_one_epoch_is_no_animation(epochs: int, tmp_path: Path) -> None:
    draw_animation(with_maps(RunFolder(tmp_path), epochs), {}, best_epoch=1)
    assert not (tmp_path / "figures").exists()
