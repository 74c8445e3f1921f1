import numpy as np
import pytest

from src.data.augmentation import augment_batch
from src.data.augmented import Augmentation

IMAGES = np.random.default_rng(0).integers(1, 256, (200, 3, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_each_image_is_shifted_by_its_own_draw(padding):
    shifted = augment_batch(IMAGES, Augmentation(shift=2, padding=padding), np.random.default_rng(3))
    mode = {"zeros": "constant", "reflect": "reflect"}[padding]
    padded = np.pad(IMAGES, ((0, 0), (0, 0), (2, 2), (2, 2)), mode=mode)
    seen = set()
    for image, result in zip(padded, shifted, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if np.array_equal(image[:, y : y + 6, x : x + 5], result)]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 25  # every offset occurs among 200 images


def test_every_second_image_is_mirrored():
    mirrored = augment_batch(IMAGES, Augmentation(flip=True), np.random.default_rng(0))
    same = [np.array_equal(a, b) for a, b in zip(IMAGES, mirrored, strict=True)]
    turned = [np.array_equal(a[..., ::-1], b) for a, b in zip(IMAGES, mirrored, strict=True)]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 70 < sum(turned) < 130


def test_the_images_in_memory_stay_as_they_are():
    before = IMAGES.copy()
    augment_batch(IMAGES, Augmentation(flip=True, shift=1), np.random.default_rng(0))[:] = 0
    np.testing.assert_array_equal(IMAGES, before)
