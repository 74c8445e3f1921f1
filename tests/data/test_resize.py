"""How a picture becomes a square: its centre, all of it with bars, or all of it whatever its shape."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from src.data.augmented import Augmentation, load_augmented
from src.data.transforms import GEOMETRY, Geometry, load_image
from src.errors import InputError
from src.settings.schema.data import Data

MEAN = {1: [0.3], 3: [0.485, 0.456, 0.406]}


def geometry(resize: str, channels: int = 3, size: int = 24) -> Geometry:
    told = {"image_size": size, "in_channels": channels, "interpolation": "bilinear", "decode": "fast", "range": "own"}
    return Geometry.of({**told, "resize": resize, "color": "srgb", "mean": MEAN[channels]})


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(48, 16), (16, 48), (24, 24), (7, 5), (400, 9), (1, 3000)])
def test_padding_keeps_all_of_a_picture_in_its_shape(width: int, height: int, channels: int) -> None:
    picture = noise(width, height).convert("L" if channels == 1 else "RGB")
    found = load_image(encoded(picture), geometry("pad", channels)).numpy()
    inner = [max(1, round(24 * side / max(width, height))) for side in (width, height)]
    left, top = ((24 - side) // 2 for side in inner)
    expected = np.array(picture.resize((inner[0], inner[1]), Image.Resampling.BILINEAR))
    if channels == 1:
        expected = expected[..., None]
    region = found[:, top : top + inner[1], left : left + inner[0]]
    np.testing.assert_array_equal(region.transpose(1, 2, 0), expected)
    bars = np.ones((24, 24), dtype=bool)
    bars[top : top + inner[1], left : left + inner[0]] = False
    for channel, mean in zip(found, MEAN[channels], strict=True):
        assert set(channel[bars].tolist()) <= {round(255 * mean)}


@pytest.mark.parametrize(("width", "height"), [(48, 16), (16, 48), (24, 24), (1, 3000)])
def test_squashing_keeps_all_of_a_picture_in_no_shape(width: int, height: int) -> None:
    found = load_image(encoded(noise(width, height)), geometry("squash")).numpy()
    expected = np.array(noise(width, height).resize((24, 24), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found.transpose(1, 2, 0), expected)


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_a_picture_is_turned_upright_first(resize: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(noise(48, 16).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    np.testing.assert_array_equal(
        load_image(turned, geometry(resize)), load_image(encoded(noise(48, 16)), geometry(resize))
    )


@pytest.mark.parametrize("resize", ["crop", "pad", "squash"])
def test_a_square_picture_is_the_same_in_every_way(resize: str) -> None:
    picture = encoded(noise(50, 50))
    np.testing.assert_array_equal(
        load_image(picture, geometry(resize)), load_image(picture, replace(geometry("crop"), resize="crop"))
    )


@pytest.mark.parametrize("resize", ["pad", "squash"])
def test_random_crops_reach_what_a_central_crop_leaves_out(resize: str) -> None:
    """The left end of the picture is white, all else black: by centre crops of any kind it is never seen."""
    picture = Image.new("RGB", (90, 30))
    picture.paste((255, 255, 255), (0, 0, 12, 30))
    file, some = encoded(picture), Augmentation(scale=0.3)
    crops = [load_augmented(file, geometry(resize), some, np.random.default_rng(seed)).numpy() for seed in range(20)]
    assert any((crop == 255).any() for crop in crops)
    assert len({crop.tobytes() for crop in crops}) > 10
    again = load_augmented(file, geometry(resize), some, np.random.default_rng(3)).numpy()
    np.testing.assert_array_equal(again, crops[3])


def test_without_a_mean_the_bars_are_black() -> None:
    found = load_image(encoded(noise(48, 16)), Geometry(24, 3, resize="pad"))
    assert found[:, 0].max() == 0


def test_the_settings_of_a_geometry_are_those_of_the_data() -> None:
    assert set(GEOMETRY) <= Data.model_fields.keys()
    assert replace(geometry("pad"), fill=()) == Geometry(**geometry("pad").settings)
    with pytest.raises(InputError, match=r"data.resize=letterbox is not possible: take crop or pad or squash"):
        Data.read({"resize": "letterbox"}, "data")
