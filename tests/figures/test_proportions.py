"""Maps lie where the object is, whatever the network was given."""

import numpy as np
import pytest
from PIL import Image

from src.attribution.cam import Attribution
from src.data.datasets import FileDataset
from src.data.transforms import Geometry, load_image
from src.explanation.image_maps import Explained, panel_rows
from src.figures.proportions import as_photograph
from src.trained.pictures import Pictures


def corners(bright: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is set."""
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("resize", ["pad", "squash"])
@pytest.mark.parametrize("size", [(300, 150), (150, 300), (200, 200), (301, 97)])
def test_a_planted_square_and_its_map_are_square_and_in_their_place(tmp_path, resize: str, size: tuple[int, int]):
    """The square is 30 of a 300 × 150 picture, not 30 × 60, and where it was in it."""
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    picture[20:50, 60:90] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    geometry = Geometry(168, 3, resize=resize, fill=(0, 0, 0) if resize == "pad" else ())
    square = load_image(tmp_path / "a.png", geometry).numpy().transpose(1, 2, 0)
    heat = np.zeros_like(square)
    heat[..., 0] = 255 * (square[..., 0] > 127)  # a map that is right about the square that the network saw
    shown, overlaid = (as_photograph(panel, width / height, resize) for panel in (square, heat))
    scale = 168 / max(size)
    left, top = (168 - round(width * scale)) // 2, (168 - round(height * scale)) // 2
    expected = np.array([left + 60 * scale, top + 20 * scale, left + 90 * scale, top + 50 * scale])
    inside = np.zeros(shown.shape[:2], bool)
    inside[top : top + round(height * scale), left : left + round(width * scale)] = True
    for panel in (shown, overlaid):
        assert np.abs(corners((panel[..., 0] > 127) & inside) - expected).max() <= 1.5
        assert (panel[~inside] == 255).all()


def test_a_cropped_square_stays_as_it_is():
    panel = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert as_photograph(panel, 2.0, "crop") is panel


@pytest.mark.parametrize(("resize", "expected"), [("pad", [2.0, 0.5]), ("squash", [2.0, 0.5]), ("crop", None)])
def test_proportions_are_those_of_the_upright_picture(tmp_path, resize: str, expected: list[float] | None):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (300, 150)).save(tmp_path / "a.jpg")
    Image.new("RGB", (300, 150)).save(tmp_path / "b.jpg", exif=exif)
    geometry = Geometry(32, 3, resize=resize, fill=(0, 0, 0) if resize == "pad" else ())
    dataset = FileDataset(tmp_path, ["a.jpg", "b.jpg"], np.zeros(2, int), np.arange(2), geometry, None, 0)
    assert Pictures(dataset, ["a.jpg", "b.jpg"], np.zeros(2, int)).ratios([0, 1]) == expected


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_explain_shows_photographs_in_their_proportions(resize: str):
    maps = Attribution(np.ones((2, 4, 4), np.float32), np.zeros((2, 3), np.float32), np.zeros(2, int), "layer4")
    images = np.full((2, 3, 32, 32), 9, np.uint8)
    rows, _, _ = panel_rows(Explained(images, ["a", "b"], np.full(2, -1), maps, [2.0, 1.0], resize), None)
    for panel in rows[0]:
        side = len(panel)
        assert (panel[: side // 4 - 1] == 255).all()
        assert (panel[-side // 4 + 1 :] == 255).all()
        assert (panel[side // 4 + 1 : -side // 4 - 1] != 255).any()
    assert all((panel[:9] != 255).any() for panel in rows[1])
