import io
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import v2

from src.data.augmented import Augmentation, load_augmented, random_box
from src.data.transforms import Geometry, load_image, resize_and_crop


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(image: Image.Image) -> io.BytesIO:
    return encoded(image, "PNG")


def encoded(image: Image.Image, format: str, **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    buffer.seek(0)
    return buffer


def photograph(width: int, height: int) -> Image.Image:
    """Waves that get finer to the lower right, and noise: what decoding at a part of the size changes."""
    y, x = np.mgrid[:height, :width]
    waves = 127 + 90 * np.sin(x * y / 900)[..., None] * np.array([1, 0.5, -1])
    grain = np.random.default_rng(0).normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(waves + grain, 0, 255).astype(np.uint8))


def torchvisions(file: io.BytesIO, geometry: Geometry) -> np.ndarray:
    """The picture by Pillow's own means and torchvision's Resize and CenterCrop, (C, S, S)."""
    with Image.open(file) as image:
        picture = ImageOps.exif_transpose(image).convert("L" if geometry.in_channels == 1 else "RGB")
    resize = v2.Resize(geometry.image_size, v2.InterpolationMode(geometry.interpolation))
    return v2.Compose([resize, v2.CenterCrop(geometry.image_size), v2.PILToTensor()])(picture).numpy()


def farthest(one: torch.Tensor | np.ndarray, other: torch.Tensor | np.ndarray) -> int:
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


@pytest.mark.parametrize("size", [(50, 31), (31, 50), (40, 40), (16, 16), (9, 5), (17, 16), (301, 16)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_equals_torchvision(size, interpolation):
    geometry = Geometry(16, 3, interpolation)
    mode = v2.InterpolationMode(interpolation)
    theirs = v2.Compose([v2.Resize(16, mode), v2.CenterCrop(16), v2.PILToTensor()])(noise(*size))
    assert torch.equal(load_image(png(noise(*size)), geometry), theirs)


JPEGS = {
    "baseline": {"quality": 92},
    "progressive": {"quality": 80, "progressive": True},
    "full colour": {"quality": 92, "subsampling": 0},
}


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_exact_pixels_are_those_of_torchvision(mode, in_channels, interpolation):
    files = {
        (size, name): encoded(photograph(*size).convert(mode), "JPEG", **options)
        for size in ((301, 200), (130, 500), (64, 64), (20, 31), (40, 600), (1000, 24))  # the last two are strips
        for name, options in JPEGS.items()
    }
    if mode != "CMYK":
        files |= {name: encoded(photograph(300, 200).convert(mode), name) for name in ("PNG", "TIFF", "WEBP", "BMP")}
    for name, file in files.items():
        for image_size in (8, 25, 64):
            geometry = Geometry(image_size, in_channels, interpolation)
            assert farthest(load_image(file, geometry), torchvisions(file, geometry)) <= 2, (name, image_size)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exact_pixels_are_turned_first(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for size in ((300, 203), (40, 601)):
        file = encoded(photograph(*size), "JPEG", exif=exif)
        assert farthest(load_image(file, Geometry(24, 3)), torchvisions(file, Geometry(24, 3))) <= 2


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_fast_keeps_its_bits(mode, in_channels):
    """What it was before there was a choice, in Pillow's own words. It does differ from exact."""
    file = encoded(photograph(400, 300).convert(mode), "JPEG", quality=92)

    def drafted(side: int) -> Image.Image:
        image = Image.open(file)
        image.draft(None, (2 * side, 2 * side))
        return image.convert("L" if in_channels == 1 else "RGB")

    size, half, least = 32, (42, 32), 0.3
    expected = drafted(size).resize(half, Image.Resampling.BILINEAR).crop((5, 0, 37, 32))
    fast = load_image(file, Geometry(size, in_channels, decode="fast"))
    assert farthest(fast[0] if in_channels == 1 else fast.permute(1, 2, 0), expected) == 0
    assert farthest(fast, load_image(file, Geometry(size, in_channels))) > 0

    small = drafted(math.ceil(size / math.sqrt(least * 3 / 4)))
    box = random_box(small.size, least, np.random.default_rng(5))
    expected = small.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    crop = load_augmented(
        file, Geometry(size, in_channels, decode="fast"), Augmentation(scale=least), np.random.default_rng(5)
    )
    assert farthest(crop[0] if in_channels == 1 else crop.permute(1, 2, 0), expected) == 0


def test_an_exact_crop_is_resized_from_all_its_pixels():
    picture = photograph(900, 700)
    file = encoded(picture, "JPEG", quality=92)
    box = random_box(picture.size, 0.3, np.random.default_rng(5))
    expected = Image.open(file).resize((32, 32), Image.Resampling.BILINEAR, box=box)
    crops = {
        decode: load_augmented(file, Geometry(32, 3, decode=decode), Augmentation(scale=0.3), np.random.default_rng(5))
        for decode in ("exact", "fast")
    }
    assert farthest(crops["exact"].permute(1, 2, 0), expected) == 0
    assert farthest(crops["exact"], crops["fast"]) > 2


def test_shape_and_channels():
    assert load_image(png(noise(20, 30)), Geometry(8, 1)).shape == (1, 8, 8)
    image = load_image(png(noise(20, 30)), Geometry(8, 3))
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert resize_and_crop(noise(500, 3), Geometry(8, 3)).size == (8, 8)


@pytest.mark.parametrize("size", [(1, 30000), (30000, 1)])
@pytest.mark.parametrize(("decode", "longest"), [("fast", 8 * 224), ("exact", 224)])
def test_a_strip_is_not_blown_up(size, decode, longest, monkeypatch):
    sizes = []
    resize = Image.Image.resize

    def noted(self, to, *args, **options):
        sizes.append(to)
        return resize(self, to, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", noted)
    assert resize_and_crop(noise(*size), Geometry(224, 3, decode=decode)).size == (224, 224)
    assert [max(to) for to in sizes] == [longest]


def test_random_boxes_have_the_area_and_the_shape_asked_for():
    random = np.random.default_rng(0)
    boxes = np.array([random_box((200, 150), 0.35, random) for _ in range(2000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert boxes.min() >= 0
    assert boxes[:, 2].max() <= 200
    assert boxes[:, 3].max() <= 150
    area = width * height / 30000
    assert 0.34 < area.min() < 0.4
    assert 0.9 < area.max() <= 1
    assert (width / height).min() > 0.73
    assert (width / height).max() < 1.36
    assert random_box((1000, 10), 0.9, random) == (495, 0, 505, 10)  # no such crop of a strip: its centre


def test_nothing_random_without_augmentation():
    plain = load_image(png(noise(20, 16)), Geometry(8, 3))
    assert torch.equal(
        load_augmented(png(noise(20, 16)), Geometry(8, 3), Augmentation(), np.random.default_rng(0)), plain
    )


@pytest.mark.parametrize("change", [{"flip": True}, {"shift": 3}, {"scale": 0.3}, {"color": 0.5}])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_each_augmentation_changes_and_repeats(change, in_channels):
    def draw(seed: int) -> torch.Tensor:
        random = np.random.default_rng(seed)
        return load_augmented(png(noise(20, 16)), Geometry(8, in_channels), Augmentation(**change), random)

    assert all(torch.equal(draw(seed), draw(seed)) for seed in range(4))
    assert len({draw(seed).numpy().tobytes() for seed in range(8)}) > 1
    assert draw(0).shape == (in_channels, 8, 8)


def test_shift_is_a_shift():
    image = load_image(png(noise(8, 8)), Geometry(8, 3))
    shifted = load_augmented(png(noise(8, 8)), Geometry(8, 3), Augmentation(shift=2), np.random.default_rng(2))
    down, right = np.random.default_rng(2).integers(-2, 3, size=2)
    expected = torch.zeros_like(image)
    for y in range(8):
        for x in range(8):
            if 0 <= y - down < 8 and 0 <= x - right < 8:
                expected[:, y, x] = image[:, y - down, x - right]
    assert (down, right) != (0, 0)
    assert torch.equal(shifted, expected)
