import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from src.data.transforms import Augmentation, Geometry, load_augmented, load_image, random_box, resize_and_crop


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(image: Image.Image) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("size", [(50, 31), (31, 50), (40, 40), (16, 16), (9, 5), (17, 16), (301, 16)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_equals_torchvision(size, interpolation):
    geometry = Geometry(16, 3, interpolation)
    mode = v2.InterpolationMode(interpolation)
    theirs = v2.Compose([v2.Resize(16, mode), v2.CenterCrop(16), v2.PILToTensor()])(noise(*size))
    assert torch.equal(load_image(png(noise(*size)), geometry), theirs)


def test_shape_and_channels():
    assert load_image(png(noise(20, 30)), Geometry(8, 1)).shape == (1, 8, 8)
    image = load_image(png(noise(20, 30)), Geometry(8, 3))
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert resize_and_crop(noise(500, 3), 8, Image.Resampling.BILINEAR).size == (8, 8)


@pytest.mark.parametrize("size", [(1, 30000), (30000, 1)])
def test_a_strip_is_not_blown_up(size, monkeypatch):
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, to, *args: sizes.append(to) or resize(self, to, *args))
    assert resize_and_crop(noise(*size), 224, Image.Resampling.BILINEAR).size == (224, 224)
    assert max(sizes[0]) == 8 * 224


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
